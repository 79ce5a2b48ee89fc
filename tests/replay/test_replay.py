"""Recording a run of the shipped flow and replaying it: the same events, from the file alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import PROJECT

from flowrt import Event, FlowError, Tracks
from flowrt.cli import main
from flowrt.config import load
from flowrt.flow import Flow
from flowrt.testing.recording import Recording
from flowrt.testing.replay import Arrival, recorder, replay, substitute, usual_nodes
from flowrt.testing.suite import read_suite
from flowrt.testing.suite_checks import prepare
from flowrt.testing.suite_run import run_case

FLOW = PROJECT / "flows" / "intersection.yaml"


def events(arrivals: list[Arrival]) -> list[tuple[str, str, str]]:
    return [(outbox, m.id, str(getattr(m, "phase", ""))) for outbox, m in arrivals if isinstance(m, Event)]


def test_what_is_worth_recording(flow: Flow) -> None:
    assert usual_nodes(flow) == ["north", "signals", "tracks"]


def test_a_replay_gives_the_same_events_in_the_same_order(flow: Flow, recorded: tuple[list[Arrival], Path]) -> None:
    arrivals, path = recorded
    again = replay(Recording(path), flow)
    assert len(events(arrivals)) > 20
    assert events(again) == events(arrivals)


def test_a_changed_threshold_changes_the_events(flow: Flow, recorded: tuple[list[Arrival], Path]) -> None:
    strict = load(FLOW, overrides={"speeding.limit_kmh": "20", "speeding.lanes": "[in_1, in_2]", "zones.dwell_s": "2"})
    _, path = recorded
    assert len(set(events(replay(Recording(path), strict)))) > len(set(events(replay(Recording(path), flow))))


def test_what_lies_upstream_is_cut_out(flow: Flow) -> None:
    cut = substitute(flow, {"tracks": (), "signals": ()})
    assert "north" not in cut.nodes
    assert "objects" not in cut.nodes
    assert cut.nodes["tracks"].edges == ()
    assert all(edge.source in cut.nodes for edge in cut.edges)


def test_a_flow_without_a_recorded_node_is_refused(recorded: tuple[list[Arrival], Path], flow: Flow) -> None:
    other = substitute(flow, {"speeds": ()})
    with pytest.raises(FlowError, match="no node 'north', which was recorded"):
        replay(Recording(recorded[1]), other)


def test_unknown_nodes_and_pictures_cannot_be_recorded(flow: Flow, tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="no node 'trakcs'"):
        recorder(flow, ["trakcs"], tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_flow_tests_take_recordings(recorded: tuple[list[Arrival], Path], tmp_path: Path) -> None:
    (tmp_path / "run.recording").write_bytes(recorded[1].read_bytes())
    test = tmp_path / "a.test.yaml"
    counted = f"""flow: {FLOW}
tests:
  - name: traffic is counted
    input: {{tracks: {{recorded: run.recording}}, signals: {{recorded: run.recording, node: signals}}}}
    expect: [{{from: to_history, measurement: traffic_flow, at_least: 1}}]
"""
    test.write_text(counted)
    [ready] = prepare(read_suite(test))
    assert run_case(ready).passed
    test.write_text(
        f"""{counted}
  - name: nothing of that name was recorded
    input: {{tracks: {{recorded: run.recording, node: speeds}}}}
    expect: [{{from: to_history, measurement: traffic_flow}}]
"""
    )
    with pytest.raises(FlowError, match="nothing of a node 'speeds'"):
        prepare(read_suite(test))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera, detector, tracker and signals for a few seconds of virtual time; then the recording alone."""
    monkeypatch.chdir(tmp_path)
    small = ["--set", "north.uri=sim://four-way?seed=7&camera=north&fps=5"]
    assert main(["record", str(FLOW), "--out", "r", "--until", "4", *small]) == 0
    kinds = {node for node, _ in Recording(Path("r"))}
    assert kinds == {"north", "signals", "tracks"}
    tracks = [message for _, message in Recording(Path("r")) if isinstance(message, Tracks)]
    assert len(tracks) >= 18
    capsys.readouterr()
    assert main(["replay", "r", "--flow", str(FLOW), "--format", "json", "--type", "traffic_flow"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["lane_id"] for row in rows} == {"in_1", "in_2", "out_1", "out_2"}


def test_replaying_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r").write_text("hello")
    assert main(["replay", str(tmp_path / "r"), "--flow", str(FLOW)]) == 1
    assert "no recording" in capsys.readouterr().err
