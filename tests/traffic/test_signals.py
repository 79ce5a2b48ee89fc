"""Signal phases: the timeline that rules look at, and the sources."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import context, opened
from hypothesis import given
from hypothesis import strategies as st

from flowrt import Frame, Lamp, Scene, SignalState
from flowrt.message import Message
from flowrt.traffic.rules.signals import SignalTimeline, normalised
from flowrt_nodes.signal._spat import SpatError, parse
from flowrt_nodes.signal.fixed import FixedSignal, Stage
from flowrt_nodes.signal.lamp import LampSignal

RED, AMBER, GREEN = "stop-and-remain", "permissive-clearance", "permissive-movement-allowed"


def test_words_and_numbers_of_states() -> None:
    assert [normalised(word) for word in ("red", "Yellow", "GREEN", "stop-And-Remain", 5, "6", "off")] == [
        RED, AMBER, GREEN, RED, GREEN, "protected-movement-allowed", "dark",
    ]  # fmt: skip
    assert [normalised(word) for word in ("purple", 10, -1, True, None, "")] == ["unavailable"] * 6


def state(time_s: float, word: str, since_s: float | None = None) -> SignalState:
    return SignalState(time_s=time_s, states={"a": word}, since_s={} if since_s is None else {"a": since_s})


def test_a_phase_is_looked_up_by_capture_time() -> None:
    line = SignalTimeline()
    for report in (state(0, GREEN, 0), state(10, AMBER, 10), state(13, RED, 13), state(14, RED, 13)):
        line.report(report)
    shown = {t: line.at("a", t, 2.0) for t in (1.9, 10.5, 13.5, 15.9)}
    assert {t: phase and (phase.state, phase.since_s) for t, phase in shown.items()} == {
        1.9: (GREEN, 0), 10.5: (AMBER, 10), 13.5: (RED, 13), 15.9: (RED, 13),
    }  # fmt: skip
    assert shown[13.5] is not None
    assert shown[13.5].age_s == 0  # a later report confirms it
    assert shown[15.9] is not None
    assert shown[15.9].age_s == pytest.approx(1.9)
    assert line.at("a", 16.1, 2.0) is None  # stale
    assert line.at("a", -1.0, 2.0) is None
    assert line.at("b", 1.0, 2.0) is None


def test_unknown_states_are_no_phase() -> None:
    line = SignalTimeline()
    for word in ("unavailable", "dark"):
        line.report(state(1, word))
        assert line.at("a", 1.0, 5.0) is None


def test_without_since_a_phase_begins_with_its_first_report() -> None:
    line = SignalTimeline()
    for t in range(5):
        line.report(state(t, RED))
    line.report(state(60, RED))  # silent for a minute: whether it was red all the time is not known
    first, later = line.at("a", 4.0, 2.0), line.at("a", 60.5, 2.0)
    assert first is not None
    assert later is not None
    assert (first.since_s, later.since_s) == (0, 60)
    assert line.at("a", 30.0, 2.0) is None


@given(
    st.lists(st.tuples(st.floats(0.01, 20), st.sampled_from([RED, AMBER, GREEN, "dark"])), max_size=60),
    st.floats(0.1, 5),
)
def test_a_phase_is_never_older_than_asked(steps: list, max_age_s: float) -> None:
    line, now_s, said = SignalTimeline(), 0.0, []
    for step, word in steps:
        now_s += step
        line.report(state(now_s, word))
        said.append((now_s, word))
    for t in np.linspace(0, now_s + 10, 50):
        phase = line.at("a", float(t), max_age_s)
        if phase is not None:
            assert phase.age_s <= max_age_s
            assert phase.state == max((r for r in said if r[0] <= t), key=lambda r: r[0])[1]


PLAN = [
    Stage(duration_s=25, green=["a"]),
    Stage(duration_s=3, amber=["a"]),
    Stage(duration_s=32, green=["b"], states={"w": "walk"}),
]


def test_fixed_plan() -> None:
    node = FixedSignal(plan=PLAN, offset_s=10)
    shown = {t: node.state_at(1200 + t).states for t in (9.5, 10.0, 34.9, 35.0, 38.0, 69.9)}
    assert [s["a"] for s in shown.values()] == [RED, GREEN, GREEN, AMBER, RED, RED]
    assert [s["b"] for s in shown.values()] == [GREEN, RED, RED, RED, GREEN, GREEN]
    assert node.state_at(1240).since_s == pytest.approx({"a": 1238, "b": 1238, "w": 1238})
    assert node.state_at(1215).since_s["b"] == pytest.approx(1210)
    assert list(node.published("signal")) == ["a", "b", "w"]


def test_fixed_plan_in_virtual_time(tmp_path: Path) -> None:
    """Reports at every change and every half second, ahead of no clock."""
    with opened(FixedSignal(plan=PLAN), context(tmp_path)) as node:
        reports = []
        for report in node.produce():
            reports.append(report)
            if report.time_s >= 60:
                break
    times = [report.time_s for report in reports]
    assert max(b - a for a, b in pairwise(times)) <= 0.5 + 1e-9
    assert {25.0, 28.0, 60.0} <= {round(t, 6) for t in times}


def test_fixed_plan_says_what_is_wrong() -> None:
    node = FixedSignal(plan=[Stage(duration_s=5, green=["a"], amber=["a"], states={"b": "purple"})])
    said = {diagnostic.keys: diagnostic.message for diagnostic in node.check(None)}  # type: ignore[arg-type]
    assert "two states" in said["plan", 0]
    assert "purple" in said["plan", 0, "states", "b"]


SPAT = {
    "intersections": [
        {
            "moy": 1000,
            "timeStamp": 30500,
            "states": [
                {"signalGroup": 2, "state-time-speed": [{"eventState": "stop-And-Remain"}]},
                {"signalGroup": 4, "state-time-speed": [{"eventState": "protected-Movement-Allowed"}]},
                {"signalGroup": 6},
                {"other": 1},
            ],
        }
    ]
}


def test_spat_json() -> None:
    found = parse(SPAT, 1_767_225_600.0 + 60_040, {"2": "phase_2"})  # 2026-01-01 plus a little over 1,000 minutes
    assert found.states == {"phase_2": RED, "4": "protected-movement-allowed", "6": "unavailable"}
    assert found.time_s == 1_767_225_600.0 + 60_030.5


def test_plain_json() -> None:
    found = parse({"time": "2026-01-01T00:00:10Z", "states": {"a": "red"}, "since": {"a": "2026-01-01T00:00:05Z"}}, 0.0)
    assert (found.time_s, found.states, found.since_s) == (1_767_225_610.0, {"a": RED}, {"a": 1_767_225_605.0})
    assert parse({"states": {"a": 3}}, 7.0).time_s == 7.0
    assert parse({"timestamp": 1_767_225_610_000, "states": {"a": 3}}, 7.0).time_s == 1_767_225_610.0


@pytest.mark.parametrize(
    "bad", [[], "red", {}, {"states": {}}, {"intersections": [3]}, {"intersections": {}}, {"states": [{"x": 1}]}]
)
def test_json_that_says_nothing(bad: Any) -> None:
    with pytest.raises(SpatError):
        parse(bad, 0.0)


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(["states", "intersections", "signalGroup", "state-time-speed", "eventState", "time", "since", "moy"]), inner, max_size=4), max_leaves=12)  # fmt: skip


@given(JSON)
def test_any_json_is_read_or_refused(data: Any) -> None:
    try:
        found = parse(data, 5.0)
    except SpatError:
        return
    assert found.states
    json.dumps(found.states)


def head(burning: set[str], size: tuple[int, int] = (200, 160), noise: float = 6.0, seed: int = 0) -> np.ndarray:
    """A picture with a signal head whose named lamps burn."""
    rng = np.random.default_rng(seed)
    image = np.full((size[1], size[0], 3), 60.0)
    colours = {"red": (30, 40, 250), "amber": (20, 190, 250), "green": (120, 240, 60)}
    for i, (lamp, colour) in enumerate(colours.items()):
        y, x = np.ogrid[: size[1], : size[0]]
        disc = (x - 100) ** 2 + (y - (40 + 30 * i)) ** 2 <= 64
        image[disc] = colour if lamp in burning else (25, 25, 28)
    return np.clip(image + noise * rng.standard_normal(image.shape), 0, 255).astype(np.uint8)


LAMPS = Scene(
    name="n",
    picture_px=(200, 160),
    lamps={"a": Lamp(signal="a", red=(100, 40, 8), amber=(100, 70, 8), green=(100, 100, 8))},
)


def watch(tmp_path: Path, shown: list[set[str]], dt: float = 0.1, scale: float = 1.0) -> list[SignalState]:
    said: list[Message | None] = []
    with opened(LampSignal(scene="n"), context(tmp_path, scene=LAMPS)) as node:
        for i, burning in enumerate(shown):
            said.append(node.process(Frame(time_s=100 + i * dt, image=head(burning, seed=i))))
    return [m for m in said if isinstance(m, SignalState)]


def test_lamps_are_read(tmp_path: Path) -> None:
    said = watch(tmp_path, [{"red"}] * 10 + [{"green"}] * 10 + [{"amber"}] * 10)
    seen = [(report.states["a"], round(report.since_s["a"], 1)) for report in said]
    assert list(dict.fromkeys(seen))[-3:] == [(RED, 100.0), (GREEN, 101.0), (AMBER, 102.0)]


@pytest.mark.parametrize("burning", [set(), {"red", "green"}, {"red", "amber", "green"}])
def test_impossible_heads_are_unavailable(burning: set[str], tmp_path: Path) -> None:
    assert watch(tmp_path, [burning] * 20)[-1].states["a"] == "unavailable"


def test_red_and_amber_prepare_for_green(tmp_path: Path) -> None:
    assert watch(tmp_path, [{"red", "amber"}] * 10)[-1].states["a"] == "pre-movement"


def test_one_bad_picture_changes_nothing(tmp_path: Path) -> None:
    said = watch(tmp_path, [{"red"}] * 10 + [{"green"}] + [set()] * 2 + [{"red"}] * 10)
    assert {report.states["a"] for report in said[1:]} == {RED}


def test_lamps_of_a_scene_without_lamps() -> None:
    class View:
        def entry(self, section: str, name: str) -> Scene:
            return Scene(name="n", picture_px=(10, 10))

    [diagnostic] = LampSignal(scene="n").check(View())  # type: ignore[arg-type]
    assert "no lamps" in diagnostic.message
