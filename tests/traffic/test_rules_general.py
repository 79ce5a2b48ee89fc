"""What all rules share: phases, ids, evidence, memory; banned turns; the general rule."""

from __future__ import annotations

from contextlib import ExitStack
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from harness import PROJECT, context, opened
from traffic.street import START_S, Actor, along, begun, judge, lights, play, street, tracks_of

from flowrt import Frame, Rule, Scene, SignalState
from flowrt.catalog import Catalog
from flowrt.system.signed_links import SignedLinks
from flowrt_nodes.violation import CelRule
from flowrt_nodes.violation.failure_to_yield import FailureToYield
from flowrt_nodes.violation.illegal_turn import Ban, IllegalTurn
from flowrt_nodes.violation.near_miss import NearMiss
from flowrt_nodes.violation.red_light import RedLight
from flowrt_nodes.violation.speeding import Speeding
from flowrt_nodes.violation.wrong_way import WrongWay

BACKWARDS = along((0, -1.75, 5), (5, -1.75, 50))


class View:
    """What `check` sees."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.folder, self.services, self._scene = folder, {}, scene

    def entry(self, section: str, name: str) -> Scene | None:
        return self._scene if (section, name) == ("scene", "north") else None

    def published(self, kind: str) -> frozenset[str]:
        return frozenset()


def test_phases_and_ids(tmp_path: Path) -> None:
    said = judge(WrongWay(scene="north"), tmp_path, play([Actor(7, "car", BACKWARDS)], 9))
    assert said[0].phase == "new"
    assert said[-1].phase == "end"
    assert {event.phase for event in said[1:-1]} == {"update"}
    assert len({event.id for event in said}) == 1
    assert said[-1].ended_s is not None
    assert said[-1].ended_s >= said[0].started_s
    times = [event.time_s for event in said[:-1]]
    assert all(b - a >= 0.9 for a, b in pairwise(times[1:]))  # update_s is 1


def test_a_repeated_run_gives_the_same_events(tmp_path: Path) -> None:
    runs = [
        judge(WrongWay(scene="north"), tmp_path, play([Actor(7, "car", BACKWARDS)], 9, noise_px=1)) for _ in range(2)
    ]
    assert msgspec.json.encode(runs[0]) == msgspec.json.encode(runs[1])


def test_other_tracks_cameras_and_times_have_other_ids(tmp_path: Path) -> None:
    ids = set()
    for track, start_s in ((7, START_S), (8, START_S), (7, START_S + 3600)):
        ids.add(
            judge(WrongWay(scene="north"), tmp_path, play([Actor(track, "car", BACKWARDS)], 9, start_s=start_s))[0].id
        )
    assert len(ids) == 3


def test_a_lost_track_ends_its_violation(tmp_path: Path) -> None:
    actors = [Actor(7, "car", BACKWARDS, end_s=3.0), Actor(8, "car", along((0, 1.75, 5), (9, 1.75, 40)))]
    said = judge(WrongWay(scene="north"), tmp_path, play(actors, 9))
    assert said[-1].phase == "end"
    assert said[-1].ended_s == pytest.approx(START_S + 3.0, abs=0.15)


def test_finish_ends_what_is_open(tmp_path: Path) -> None:
    said = judge(WrongWay(scene="north"), tmp_path, play([Actor(7, "car", BACKWARDS)], 2.5))
    assert said[-1].phase == "end"


def test_state_moves_to_a_successor(tmp_path: Path) -> None:
    """A violation that began before a replacement is neither reported twice nor forgotten."""
    pictures = list(play([Actor(7, "car", BACKWARDS)], 5))
    first, second = WrongWay(scene="north"), WrongWay(scene="north")
    with opened(first, context(tmp_path, scene=street())):
        before = [event for tracks in pictures[:30] for event in first.process(tracks)]
        state = first.export_state()
    with opened(second, context(tmp_path, scene=street())):
        second.import_state(state)
        after = [event for tracks in pictures[30:] for event in second.process(tracks)] + list(second.finish())
    assert [event.phase for event in before if event.phase == "new"] == ["new"]
    assert "new" not in [event.phase for event in after]
    assert after[-1].phase == "end"
    assert {event.id for event in before} == {event.id for event in after}


def test_an_edit_in_place_keeps_the_memory(tmp_path: Path) -> None:
    rule = WrongWay(scene="north")
    with opened(rule, context(tmp_path, scene=street())):
        said = []
        for i, tracks in enumerate(play([Actor(7, "car", BACKWARDS)], 5)):
            if i == 30:
                rule.update_s = 0.3
                rule.reconfigured(frozenset({"update_s"}))
            said += rule.process(tracks)
    assert [event.phase for event in said].count("new") == 1
    assert [event.phase for event in said].count("update") >= 3


PASSES = Actor(7, "car", along((0, -1.75, 55), (5, -1.75, 5)))
RUNS_OVER = Actor(5, "pedestrian", along((0, -6, 20), (2.6, -4, 20), (4.4, 1.2, 20)))
RAN_OVER = Actor(5, "pedestrian", along((0, -6, 20), (1.9, -4, 20), (3.7, 1.2, 20)))
LATE_PROOF = [
    pytest.param(
        RedLight(scene="north", signal="s", turn_on_red="right"),
        [Actor(7, "car", along((0, -1.75, 25), (4, -1.75, 2.7), (6, -1.75, 2.7), (12, -1.75, -21)))],
        lights((0, "stop-and-remain")),
        id="stops before a red light, goes on, and does not turn",
    ),
    pytest.param(
        FailureToYield(scene="north", signal="s"),
        [
            Actor(7, "car", along((0, -1.75, 42), (4, -1.75, 2), (5.5, -1.75, -13))),
            Actor(5, "pedestrian", along((0, -4.2, -3), (4, -0.9, -3), (6, 1.2, -3))),
        ],
        lights((0, "permissive-movement-allowed"), group="walk"),
        id="drives onto the crosswalk, and on",
    ),
    pytest.param(NearMiss(scene="north", pet_s=0), [PASSES, RUNS_OVER], [], id="passes nearby after a short TTC"),
    pytest.param(NearMiss(scene="north", ttc_s=0), [PASSES, RAN_OVER], [], id="comes where a pedestrian just was"),
]


@pytest.mark.parametrize("replaced", [False, True], ids=["in place", "replaced"])
@pytest.mark.parametrize(("rule", "actors", "signals"), LATE_PROOF)
def test_an_edit_at_any_picture_loses_no_offence(
    rule: Rule, actors: list[Actor], signals: list[SignalState], replaced: bool, tmp_path: Path
) -> None:
    """Also none that shows only some time later to have been one."""
    pictures = list(play(actors, 12, fps=5))

    def edit(old: Rule) -> Rule:
        if not replaced:
            old.reconfigured(frozenset({"severity"}))
            return old
        new = copy(rule)
        stack.enter_context(opened(new, context(tmp_path, scene=street())))
        new.import_state(old.export_state())
        return new

    def found(edit_s: float = np.inf) -> list[str]:
        said = judge(copy(rule), tmp_path, pictures, signals, edit=edit, edit_s=edit_s)
        return [event.id for event in said if event.phase == "new"]

    with ExitStack() as stack:
        expected = found()
        assert len(expected) == 1
        for edit_s in np.arange(3.1, 9.1, 0.2):
            assert found(edit_s) == expected, f"edited at {edit_s:.1f} s"


def test_snapshot_is_a_picture_of_the_offender(tmp_path: Path) -> None:
    import cv2

    image = np.full((720, 1280, 3), 90, np.uint8)
    rule = WrongWay(scene="north", snapshot=True)
    with opened(rule, context(tmp_path, scene=street())):
        said = []
        for tracks in play([Actor(7, "car", BACKWARDS)], 3):
            said += rule.process(tracks.replace(frame=Frame(time_s=tracks.time_s, image=image)))
    file = tmp_path / "data" / said[0].evidence["snapshot"]
    picture = cv2.imread(str(file))
    assert picture is not None
    assert (picture[..., 2].astype(int) - picture[..., 0] > 100).any()  # the red box
    assert image.min() == image.max() == 90  # the frame itself is left alone
    assert "snapshot_url" not in said[0].evidence, "nothing serves it"


def test_a_snapshot_comes_with_an_address_where_the_run_serves_it(tmp_path: Path) -> None:
    links = SignedLinks(tmp_path / "data")
    links.base = "https://north.example"
    where = context(tmp_path, scene=street())
    where.links = links
    rule = WrongWay(scene="north", snapshot=True)
    with opened(rule, where):
        said = []
        for tracks in play([Actor(7, "car", BACKWARDS)], 3):
            said += rule.process(
                tracks.replace(frame=Frame(time_s=tracks.time_s, image=np.full((720, 1280, 3), 90, np.uint8)))
            )
    path, address = said[0].evidence["snapshot"], said[0].evidence["snapshot_url"]
    assert address.startswith(f"https://north.example/{path}?")
    assert links.permits(path, address.partition("?")[2], where.clock.now_s())


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A thousand passing vehicles, many of them offending, leave little behind."""
    rule = Speeding(scene="north")
    red = RedLight(scene="north", signal="s")
    with opened(rule, context(tmp_path, scene=street())), opened(red, context(tmp_path, scene=street())):
        for i in range(1000):
            time_s = START_S + i * 3.0
            for step in range(3):
                boxes = [[600, 200 + 60 * step, 660, 240 + 60 * step]]
                tracks = tracks_of(time_s + step * 0.3, [i + 1], ["car"], boxes)
                rule.process(tracks)
                red.process(tracks)
            red.on_signal(lights((0, "stop-and-remain"), until_s=0.5)[0])
        assert rule._table is not None
        assert len(rule._table) < 20
        assert red._table is not None
        assert len(red._table) < 20
        assert len(red._timeline._spans["cars"]) <= 200
        assert len(rule._history._past) < 20


@pytest.mark.parametrize(("gap_m", "found"), [(9.0, True), (16.0, False)])
def test_a_rule_in_a_nodes_folder_needs_nothing_else(gap_m: float, found: bool, tmp_path: Path) -> None:
    """The second example of docs/rules.md: no list, no schema, no base besides its own module."""
    rule = Catalog(PROJECT / "examples").get("violation.tailgating").cls(scene="north")  # type: ignore[call-arg]
    assert isinstance(rule, Rule)
    cars = [Actor(7, "car", along((0, -1.75, 58), (6, -1.75, -5)))]
    cars.append(Actor(8, "car", along((0, -1.75, 58 + gap_m), (6, -1.75, -5 + gap_m))))
    said = judge(rule, tmp_path, play(cars, 6))
    assert [event.object.track_id for event in said if event.phase == "new"] == ([8] if found else [])
    assert {event.violation_type for event in said} <= {"tailgating"}


CROSSES = along((0, -1.75, 30), (5, -1.75, -16))


@pytest.mark.parametrize(
    ("ban", "label", "found"),
    [
        ({"entry": "lane_in", "exit": "into_box"}, "car", True),
        ({"entry": "stop_line", "exit": "into_box"}, "car", True),
        ({"entry": "lane_out", "exit": "into_box"}, "car", False),
        ({"entry": "into_box", "exit": "stop_line"}, "car", False),
        ({"entry": "lane_in", "exit": "into_box", "classes": ["truck"]}, "car", False),
        ({"entry": "lane_in", "exit": "into_box", "classes": ["truck"]}, "truck", True),
        ({"entry": "lane_in", "exit": "into_box", "hours": ["22:00-23:00"]}, "car", True),  # START_S is 22:13 UTC
        ({"entry": "lane_in", "exit": "into_box", "hours": ["23:00-22:00"]}, "car", False),
        ({"entry": "lane_in", "exit": "into_box"}, "pedestrian", False),
    ],
)
def test_illegal_turn(ban: dict[str, Any], label: str, found: bool, tmp_path: Path) -> None:
    rule = IllegalTurn(scene="north", banned=[Ban(**ban)])
    said = judge(rule, tmp_path, play([Actor(7, label, CROSSES)], 6, noise_px=0.4))
    assert bool(begun(said)) == found


def test_illegal_turn_keys_in_yaml_are_from_and_to() -> None:
    given = msgspec.convert({"scene": "north", "banned": [{"from": "a", "to": "b"}]}, IllegalTurn)
    assert given.banned[0].entry == "a"


def test_illegal_turn_checks_its_names(tmp_path: Path) -> None:
    rule = IllegalTurn(
        scene="north", timezone="Mars/Base", banned=[Ban(entry="lane_inn", exit="into_box", hours=["25:00-26:00"])]
    )
    said = {diagnostic.keys: diagnostic for diagnostic in rule.check(View(tmp_path, street()))}
    assert said["banned", 0, "from"].hint == "did you mean 'lane_in'?"
    assert ("timezone",) in said
    assert ("banned", 0, "hours", 0) in said


CEL_CASES = [
    ("track.speed_kmh > 60 && zone == 'lane_in'", True),
    ("track.speed_kmh > 90", False),
    ("track.label == 'truck'", False),
    ("track.label in ['car', 'bus'] && track.y_m < 30.0", True),
    ("'crosswalk' in zones", True),
    ("signal.cars == 'stop-and-remain' && track.speed_kmh > 20", True),
    ("signal.nobody == 'stop-and-remain'", False),
    ("dwell_s > 1.5", True),
    ("dwell_s > 60.0", False),
]


@pytest.mark.parametrize(("when", "found"), CEL_CASES)
def test_general_rule(when: str, found: bool, tmp_path: Path) -> None:
    from flowrt_nodes.roi import Roi
    from flowrt_nodes.speed import Speed

    rule = CelRule(when=when, name="mine", scene="north", signal="s", hold_s=0.2)
    said = []
    zoned = Roi(scene="north", keep="all", zones=["lane_in", "crosswalk"])
    way = along((0, -1.75, 50), (2.4, -1.75, 7.5), (2.8, -1.75, 2.2), (3.2, -1.75, -1.2), (3.6, -1.75, -3.2))
    with (
        opened(rule, context(tmp_path, scene=street())),
        opened(zoned, context(tmp_path, scene=street())),
        opened(Speed(scene="north"), context(tmp_path, scene=street())) as speed,
    ):
        for report in lights((0, "stop-and-remain"), until_s=4):
            rule.on_signal(report)
        for tracks in play([Actor(7, "car", way)], 4):
            for message in zoned.process(speed.process(tracks)):
                if message.port == "tracks":
                    said += rule.process(message)  # type: ignore[arg-type]
    assert bool(begun(said)) == found
    assert {event.violation_type for event in said} <= {"mine"}


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ("track.speed_kmh >", "no CEL"),
        ("track.sped_kmh > 3", "'track' has no 'sped_kmh'"),
        ("spede > 3", "unknown variable 'spede'"),
        ("track.label > 3", "can't be evaluated"),
        ("__import__('os')", "can't be evaluated"),
    ],
)
def test_general_rule_complains_at_load(when: str, part: str, tmp_path: Path) -> None:
    [diagnostic] = CelRule(when=when).check(View(tmp_path, street()))
    assert diagnostic.keys == ("when",)
    assert part in diagnostic.message
