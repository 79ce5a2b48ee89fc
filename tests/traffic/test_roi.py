"""Zones and lines: entries, long stays, exits and crossings."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import context, feed, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic.street import START_S, tracks_of

from flowrt import Line, Scene, Tracks, Zone, ZoneEvent
from flowrt.message import Message
from flowrt_nodes.roi import Roi

SQUARE = Scene(
    name="plain",
    picture_px=(1000, 1000),
    zones={
        "a": Zone(name="a", kind="lane", direction="in", points=((100, 100), (300, 100), (300, 300), (100, 300))),
        "b": Zone(name="b", kind="crosswalk", points=((250, 100), (500, 100), (500, 300), (250, 300))),
    },
    lines={"gate": Line(name="gate", points=((200, 500), (200, 0)))},
)


def walk(xs: list[float | None], dt: float = 0.1, y: float = 200.0, track: int = 1) -> list[Tracks]:
    """One track whose ground point goes through (x, y); None where it is not seen."""
    found = []
    for i, x in enumerate(xs):
        boxes, ids = ([], []) if x is None else ([[x - 10, y - 60, x + 10, y]], [track])
        tracks = tracks_of(START_S + i * dt, ids, ["car"] * len(ids), boxes)
        found.append(msgspec.structs.replace(tracks, picture_px=(1000, 1000)))
    return found


def through(
    node: Roi, tracks: list[Tracks], folder: Path, scene: Scene = SQUARE
) -> tuple[list[Tracks], list[ZoneEvent]]:
    with opened(node, context(folder, scene=scene)):
        said: list[Message] = [*feed(node, tracks), *node.finish()]
    return [m for m in said if isinstance(m, Tracks)], [m for m in said if isinstance(m, ZoneEvent)]


def kinds(events: list[ZoneEvent]) -> list[tuple[str, str]]:
    return [(event.event_type, event.roi_id) for event in events]


def test_entry_and_exit(tmp_path: Path) -> None:
    tracks, events = through(
        Roi(scene="p", lines=["gate"]), walk([50, 120, 140, 160, 180, 190, 195] * 1 + [350] * 4), tmp_path
    )
    events = [event for event in events if event.event_type != "crossing"]
    assert kinds(events)[:2] == [("entry", "a"), ("exit", "a")]
    entry = events[0]
    assert entry.time_s == pytest.approx(START_S + 0.1)
    assert entry.roi_type == "lane"
    assert entry.direction == "in"
    assert entry.object_count == 1
    exit_ = next(event for event in events if event.event_type == "exit")
    assert exit_.dwell_time == pytest.approx(0.6)
    last = tracks[-1]
    assert last.zones == ("a", "b")
    assert last.in_zone.tolist() == [[False, True]]
    assert last.zone_since_s[0, 1] == pytest.approx(START_S + 0.7)
    assert np.isnan(last.zone_since_s[0, 0])


def test_flicker_at_the_border_is_debounced(tmp_path: Path) -> None:
    _, events = through(Roi(scene="p", zones=["a"], lines=["gate"]), walk([50] * 3 + [101, 99] * 20), tmp_path)
    assert events == []


def test_debounce_counts_time_not_pictures(tmp_path: Path) -> None:
    slow, fast = walk([50, 150, 150, 150], dt=0.5), walk([50] + [150] * 3, dt=0.02)
    assert kinds(through(Roi(scene="p", zones=["a"]), slow, tmp_path)[1])[0] == ("entry", "a")
    assert through(Roi(scene="p", zones=["a"]), fast, tmp_path)[1] == []


def test_dwell_once_per_stay(tmp_path: Path) -> None:
    node = Roi(scene="p", zones=["a"], dwell_s=1.0, lines=["gate"])
    _, events = through(node, walk([50] + [150] * 30 + [50] * 5 + [150] * 20), tmp_path)
    assert kinds(events) == [(kind, "a") for kind in ("entry", "dwell", "exit", "entry", "dwell", "exit")]
    assert events[1].dwell_time == pytest.approx(1.0)


def test_a_lost_track_leaves_when_it_was_last_seen(tmp_path: Path) -> None:
    _, events = through(Roi(scene="p", zones=["a"], lines=["gate"]), walk([150] * 10 + [None] * 40), tmp_path)
    assert kinds(events) == [("entry", "a"), ("exit", "a")]
    assert events[1].time_s == pytest.approx(START_S + 0.9)


def test_a_long_gap_still_gives_the_exit(tmp_path: Path) -> None:
    tracks = walk([150] * 10)
    later = msgspec.structs.replace(walk([None])[0], time_s=START_S + 600)
    _, events = through(Roi(scene="p", zones=["a"]), [*tracks, later], tmp_path)
    assert kinds(events) == [("entry", "a"), ("exit", "a")]


def test_crossings_have_a_direction_and_no_flicker(tmp_path: Path) -> None:
    node = Roi(scene="p", zones=["b"])
    _, events = through(node, walk([190, 199, 201, 199, 200.5, 199.5, 202, 210, 230, 210, 190, 170], y=350), tmp_path)
    crossings = [event for event in events if event.event_type == "crossing"]
    assert [event.direction for event in crossings] == ["forward", "backward"]
    assert crossings[0].time_s == pytest.approx(START_S + 0.52, abs=0.03)
    assert crossings[0].roi_type == "line"


def test_a_vehicle_that_stands_on_a_line_crosses_it_when_it_drives_on(tmp_path: Path) -> None:
    """Its box trembles by 3 % of its height for a minute."""
    stands = (200 + np.random.default_rng(3).normal(0, 0.03 * 60, 600)).tolist()
    _, events = through(Roi(scene="p", zones=["b"]), walk([150, 180, *stands, 215, 240], y=350), tmp_path)
    assert [event.direction for event in events if event.event_type == "crossing"] == ["forward"]


@pytest.mark.parametrize(
    ("anchor", "x", "y", "inside"),
    [
        ("ground", 200, 290, True),
        ("ground", 200, 340, False),
        ("centre", 200, 320, True),
        ("centre", 200, 340, False),
        ("overlap", 200, 340, True),  # a third of the box
        ("overlap", 200, 355, False),
    ],
)
def test_anchors(anchor: str, x: float, y: float, inside: bool, tmp_path: Path) -> None:
    tracks, _ = through(Roi(scene="p", zones=["a"], anchor=anchor, keep="all"), walk([x] * 5, y=y), tmp_path)  # type: ignore[arg-type]
    assert bool(tracks[-1].zone_mask("a")[0]) == inside


def test_keep_inside_or_all(tmp_path: Path) -> None:
    assert len(through(Roi(scene="p"), walk([50] * 5), tmp_path)[0][-1]) == 0
    assert len(through(Roi(scene="p", keep="all"), walk([50] * 5), tmp_path)[0][-1]) == 1
    assert len(through(Roi(scene="p"), walk([50, 150]), tmp_path)[0][-1]) == 1  # at once, before the debounce


def test_a_second_roi_adds_to_the_first(tmp_path: Path) -> None:
    first, _ = through(Roi(scene="p", zones=["a"], keep="all"), walk([270] * 5), tmp_path)
    both, _ = through(Roi(scene="p", zones=["b"], keep="all"), first, tmp_path)
    assert both[-1].zones == ("a", "b")
    assert both[-1].in_zone.tolist() == [[True, True]]
    again, _ = through(Roi(scene="p", zones=["a"], keep="all"), both, tmp_path)
    assert sorted(again[-1].zones) == ["a", "b"]


def test_the_scene_fits_the_picture(tmp_path: Path) -> None:
    small = [msgspec.structs.replace(t, picture_px=(500, 500)) for t in walk([75] * 5, y=100)]
    assert kinds(through(Roi(scene="p", zones=["a"]), small, tmp_path)[1])[0] == ("entry", "a")


def test_an_edited_scene_moves_the_zone_and_keeps_what_was_inside(tmp_path: Path) -> None:
    node, where = Roi(scene="p", zones=["a"], lines=["gate"]), context(tmp_path, scene=SQUARE)
    wider = Zone(name="a", points=((100, 100), (900, 100), (900, 300), (100, 300)))
    with opened(node, where):
        events = [m for m in feed(node, walk([150] * 5)) if isinstance(m, ZoneEvent)]
        scene = Scene(name="plain", picture_px=(1000, 1000), zones={"a": wider}, lines=SQUARE.lines)
        where.entries = {"scene": scene}
        node.reconfigured(frozenset({"scene"}))
        more = [msgspec.structs.replace(t, time_s=t.time_s + 0.5) for t in walk([150, 200, 600, 600, 600, 600])]
        events += [m for m in feed(node, more) if isinstance(m, ZoneEvent)]
    assert [kind for kind in kinds(events) if kind[0] != "crossing"] == [("entry", "a")]


def test_state_moves_to_a_successor(tmp_path: Path) -> None:
    first, second = Roi(scene="p", zones=["a"]), Roi(scene="p", zones=["a"])
    with opened(first, context(tmp_path, scene=SQUARE)):
        list(feed(first, walk([150] * 5)))
        state = first.export_state()
    with opened(second, context(tmp_path, scene=SQUARE)):
        second.import_state(state)
        later = [msgspec.structs.replace(t, time_s=t.time_s + 0.5) for t in walk([150] * 3 + [50] * 4)]
        events = [m for m in feed(second, later) if isinstance(m, ZoneEvent)]
    assert kinds(events) == [("exit", "a")]
    assert events[0].dwell_time == pytest.approx(0.8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0, 600)), min_size=1, max_size=60), st.floats(0, 0.5))
def test_entries_and_exits_alternate(xs: list, debounce_s: float) -> None:
    """Whatever the track does, each zone sees entry, exit, entry, exit, …, ending with an exit, in the order of time."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        _, events = through(Roi(scene="p", debounce_s=debounce_s), walk(xs), Path(folder))
    for zone in ("a", "b"):
        changes = [event for event in events if event.roi_id == zone]
        assert [event.event_type for event in changes] == ["entry", "exit"] * (len(changes) // 2)
        assert [event.time_s for event in changes] == sorted(event.time_s for event in changes)
        assert all(event.dwell_time >= 0 for event in changes)
