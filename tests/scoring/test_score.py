"""The shipped flow scored on simulated traffic, with true boxes: the rules present, speeds, counts, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from harness import PROJECT

from flowrt import Detections, Message
from flowrt.cli import main
from flowrt.config import load
from flowrt.diagnostics import FlowError
from flowrt.flow import Flow
from flowrt.testing.replay import rehearse, tapped
from flowrt_scoring.reference import TruthError, read_truth, simulate
from flowrt_scoring.score import Score, add_run, world_of
from flowrt_scoring.simulated import Boxes, Faults, cameras, detecting, on_simulation
from flowrt_sim.command import write_violations
from flowrt_sim.source import SimCamera
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.simulation import Simulation

FLOW = PROJECT / "flows" / "intersection.yaml"
SPEEDS = """
flow: speeds
include: {scenes}
nodes:
  north: {{type: camera, uri: "sim://four-way?seed=7&camera=north&fps=10"}}
  objects: {{type: detect, from: north, model: flowrt-traffic-int8.xml}}
  tracks: {{type: track, from: objects}}
  speeds: {{type: speed, from: tracks, scene: north}}
  speeding: {{type: violation.speeding, from: speeds, scene: north}}
  seen: {{type: debug, from: speeding}}
"""
NUMBERS = {
    "truth", "found", "true_positives", "false_positives", "false_negatives", "precision", "recall", "f1",
}  # fmt: skip


@pytest.fixture(scope="module")
def flow() -> Flow:
    return load(FLOW)


@pytest.mark.slow
def test_two_minutes_of_wrong_way_drivers(flow: Flow) -> None:
    score = Score()
    world = replace(world_of(flow, seed=69, duration_s=120), scenario="wrong_way")
    add_run(score, flow, world, boxes="truth", faults=Faults())
    facts = score.facts()
    assert facts["minutes"] == 2
    assert facts["rules"]["wrong_way"]["truth"] >= 1
    assert facts["rules"]["wrong_way"]["f1"] >= 0.95
    assert facts["rules"]["red_light"]["false_positives"] == 0
    assert facts["speed_mae_kmh"] < 2.0
    assert facts["count_error"] < 0.1


@pytest.mark.slow
def test_without_signals_no_rule_that_needs_them_reports(flow: Flow) -> None:
    score = Score()
    world = replace(world_of(flow, seed=63, duration_s=40), scenario="red_light")
    add_run(score, flow, world, boxes="truth", faults=Faults(no_signal=True, drop=0.3, jitter=0.4))
    rules = score.facts()["rules"]
    assert rules["red_light"]["truth"] >= 1
    for rule in ("red_light", "stopped_on_crosswalk", "amber_acceleration"):
        assert rules[rule]["found"] == 0


def test_speeds_stand_a_network_that_delays_pictures(tmp_path: Path) -> None:
    """50 ms as a standard deviation, correlated: with the times of arrival 2.6 km/h would be lost."""
    file = tmp_path / "flow.yaml"
    file.write_text(SPEEDS.format(scenes=PROJECT / "flows" / "scenes" / "four-way.yaml"))
    errors = []
    for jitter_ms in (0.0, 50.0):
        score = Score()
        flow = load(file)
        world = world_of(flow, seed=5, duration_s=12)
        add_run(score, flow, world, boxes="truth", faults=Faults(stamp_jitter_ms=jitter_ms))
        assert len(score.speed_errors_kmh) > 30
        errors.append(score.facts()["speed_mae_kmh"])
    assert abs(errors[1] - errors[0]) <= 0.1


def test_visible_boxes_are_those_of_whom_enough_is_seen(flow: Flow) -> None:
    """All road users in the picture, or the visible ones, with their footprints."""
    world = world_of(flow, seed=7, duration_s=3)

    def given(boxes: Boxes) -> list[Detections]:
        running = on_simulation(flow, world, Motion(Simulation(world.seed)), boxes=boxes, faults=Faults())
        seen: list[Message] = []
        running = tapped(running, detecting(flow), lambda _, message: seen.append(message))
        rehearse(running, until_s=world.duration_s)
        return [each for each in seen if isinstance(each, Detections)]

    present, visible = given("truth"), given("visible")
    camera = SimCamera(replace(cameras(flow)["north"], seed=7, start=world.start, duration_s=3))
    assert len(present) == len(visible) == 3 * camera.fps
    for every, seen in zip(present, visible, strict=True):
        truth = camera.truth(every.frame_number)
        assert every.boxes_px == pytest.approx(truth.boxes_px, abs=0.01)
        assert seen.boxes_px == pytest.approx(truth.boxes_px[truth.visible >= 0.3], abs=0.01)
        assert every.footprints_px is not None
        assert every.footprints_px[:, :4] == pytest.approx(truth.footprints_px, abs=0.01)
    assert sum(map(len, visible)) < sum(map(len, present))


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["score", str(FLOW), "--truth", "sim", "--seeds", "5", "--minutes", "0.2", "--boxes", "truth"]
    assert main([*words, "--format", "json", "--pictures", str(tmp_path / "pictures")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"minutes", "rules", "speed_mae_kmh", "count_error"}
    assert "red_light" in facts["rules"]
    assert all(set(rule) == NUMBERS for rule in facts["rules"].values())
    assert (tmp_path / "pictures").is_dir()


def test_truth_of_a_file_is_the_worlds_own(flow: Flow, tmp_path: Path) -> None:
    world = world_of(flow, seed=9, duration_s=60)
    write_violations(world, tmp_path)
    options, violations = read_truth(tmp_path)
    assert (options.seed, options.duration_s, options.start) == (9, 60, world.start)
    own = sorted((v.rule, v.actor) for v in simulate(world).violations)
    assert sorted((v.rule, v.actor) for v in violations) == own
    assert own


def test_a_file_that_is_no_truth(tmp_path: Path) -> None:
    (tmp_path / "truth.ndjson").write_text('{"type": "frame"}\n')
    with pytest.raises(TruthError, match="header"):
        read_truth(tmp_path)
    with pytest.raises(TruthError, match="can't be read"):
        read_truth(tmp_path / "nothing.ndjson")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "x"], "--seeds x"),
        (["--drop", "1.5"], "--drop 1.5"),
        (["--minutes", "0"], "--minutes 0"),
        (["--truth", "nothing.ndjson"], "nothing.ndjson"),
        (["--weather", "fog"], "--weather fog"),
    ],
)
def test_words_that_make_no_sense(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(FLOW), *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_detections_are_cached(flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(flow, seed=64, duration_s=12)
    facts = []
    for _ in range(2):
        score = Score()
        add_run(score, flow, world, boxes="model", faults=Faults(), cache=tmp_path)
        facts.append(score.facts())
        (file,) = tmp_path.iterdir()
        monkeypatch.setattr(SimCamera, "frame", lambda camera, number: pytest.fail("a picture was drawn again"))
    assert file.name.startswith("objects-seed-64-day-")
    assert facts[0] == facts[1]
    assert facts[0]["speed_mae_kmh"] is not None
    other = load(FLOW, overrides={"objects.min_confidence": "0.4"})
    with pytest.raises(FlowError, match="drawn again"):
        add_run(Score(), other, world, boxes="model", faults=Faults(), cache=tmp_path)
    assert [each.name for each in tmp_path.glob("*.rec")] == [file.name], (
        "an unfinished recording is not taken for a complete one"
    )
