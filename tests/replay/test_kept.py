"""Results kept beside a recording: the same events as if every node had run again, and only what changed runs again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from harness import PROJECT

from flowrt import Event, Message, Tracks
from flowrt.cli import main
from flowrt.config import load
from flowrt.testing.recording import Recording, Writer
from flowrt.testing.replay import Arrival, replay
from flowrt.testing.replay_cache import ReplayCache
from flowrt_nodes.traffic_flow import TrafficFlow
from flowrt_nodes.violation.speeding import Speeding

FLOW = PROJECT / "flows" / "intersection.yaml"
RULES = {
    "red_light", "wrong_way", "speeding", "turns", "stopped", "on_crosswalk", "on_amber", "jaywalking", "yielding", "near_misses",
}  # fmt: skip
KEPT = {"speeds", "zones", "lanes"} | RULES


def plain(message: Event) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


def told(arrivals: list[Arrival]) -> list[tuple[str, dict[str, object]]]:
    """Every field of every event, in order."""
    return [(outbox, plain(m)) for outbox, m in arrivals if isinstance(m, Event)]


@pytest.fixture
def path(recorded: tuple[list[Arrival], Path], tmp_path: Path) -> Path:
    """A recording of its own, nothing kept beside it."""
    return Path(shutil.copy(recorded[1], tmp_path / "run.rec"))


@pytest.fixture
def rerun(path: Path) -> Callable[..., set[str]]:
    """Replays with what is kept, holds the events against those of a replay without, and tells which nodes ran."""

    def run(**overrides: str) -> set[str]:
        flow = load(FLOW, overrides={name.replace("__", "."): value for name, value in overrides.items()})
        before = files(path)
        arrivals = replay(Recording(path), flow, Event, kept=ReplayCache(Recording(path)))
        afresh = replay(Recording(path), flow, Event)
        assert len(told(afresh)) > 20
        assert told(arrivals) == told(afresh)
        return {name.rpartition("-")[0] for name in files(path) - before}

    return run


def files(path: Path) -> set[str]:
    return {file.name for file in path.with_name(path.name + ".kept").glob("*.results")}


def test_only_what_changed_runs_again(rerun: Callable[..., set[str]]) -> None:
    assert rerun() == KEPT
    assert rerun() == set()
    assert rerun(speeding__limit_kmh="20", speeding__lanes="[in_1, in_2]") == {"speeding"}
    assert rerun(speeding__limit_kmh="20", speeding__lanes="[in_1, in_2]", zones__dwell_s="2") == KEPT - {"speeds"}


def test_another_speed_or_scene_runs_all_again(rerun: Callable[..., set[str]], path: Path) -> None:
    assert rerun() == KEPT
    assert rerun(speeds__process_noise="4") == KEPT
    flow = load(FLOW)
    north = flow.sections["scene"]["north"]
    line = north.lines["stop_line"]
    moved = msgspec.structs.replace(line, points=tuple((x, y + 4) for x, y in line.points))
    scene = msgspec.structs.replace(north, lines={**north.lines, "stop_line": moved})
    flow = msgspec.structs.replace(flow, sections={"scene": {**flow.sections["scene"], "north": scene}})
    before = files(path)
    arrivals = replay(Recording(path), flow, Event, kept=ReplayCache(Recording(path)))
    assert told(arrivals) == told(replay(Recording(path), flow, Event))
    assert not before & files(path)


def test_a_recording_that_was_added_to_runs_all_again(rerun: Callable[..., set[str]], path: Path) -> None:
    assert rerun() == KEPT
    recording = Recording(path)
    tracks = [message for node, message in recording if isinstance(message, Tracks)]
    writer = Writer(path, recording.header)
    writer.write("tracks", tracks[-1].replace(time_s=tracks[-1].time_s + 0.1))
    writer.close()
    assert rerun() == KEPT


def test_what_a_node_made_that_failed_is_not_kept(
    rerun: Callable[..., set[str]], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Speeding, tracks: Tracks, view: object) -> None:
        raise ValueError("broken")

    with monkeypatch.context() as broken:
        broken.setattr(Speeding, "find", fails)
        assert rerun() == KEPT - {"speeding"}
    assert rerun() == {"speeding"}


class Odour(Message, frozen=True, kw_only=True, eq=False):
    """A message type of a `nodes/` folder."""

    port: ClassVar[str] = "odours"


def test_what_a_recording_would_not_give_back_is_not_kept(
    rerun: Callable[..., set[str]], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = TrafficFlow.process

    def smells(self: TrafficFlow, tracks: Tracks) -> list[Message]:
        return [*find(self, tracks), Odour(time_s=tracks.time_s)]

    monkeypatch.setattr(Odour, "__module__", "flowrt_local_odour")
    monkeypatch.setattr(TrafficFlow, "process", smells)
    assert rerun() == KEPT - {"lanes"}


def test_of_a_damaged_recording_nothing_is_kept(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])
    recording = Recording(path)
    assert len(replay(recording, load(FLOW), Event, kept=ReplayCache(recording))) > 20
    assert recording.torn
    assert files(path) == set()


def test_damaged_results_are_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["replay", str(path), "--flow", str(FLOW), "--type", "zone_events"]
    assert main(words) == 0
    capsys.readouterr()
    results = next(path.with_name(path.name + ".kept").glob("zones-*.results"))
    results.write_bytes(results.read_bytes()[:-7])
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "these results of an earlier replay are damaged" in said
    assert "--fresh" in said
    assert main([*words, "--fresh"]) == 0


def test_where_nothing_can_be_kept_the_replay_goes_on(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.with_name(path.name + ".kept").write_text("a file of that name")
    assert main(["replay", str(path), "--flow", str(FLOW), "--type", "zone_events"]) == 0
    assert "the next replay will run every node again" in capsys.readouterr().err
