"""Traffic for tests: tracks from a few numbers or along a drawn way, a scene from four points, reports of a signal.

    road = scene(zones={"bus_lane": zone((0, 0), (3.5, 60), kind="lane", heading=(0, -1))})
    pictures = traffic(drive((1.75, 50), (1.75, 5), label="car", speed_kmh=40), scene=road)
    assert [event.phase for event in run(BusLane(scene="north"), pictures, scene=road)] == ["new", "end"]

Authors import from `flowrt.testing`. The ground of a scene: x to the right and y away from the camera, in metres, 0, 0 at the left
near corner of the road.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from flowrt.traffic.calibration import calibrate
from flowrt.traffic.geometry.camera_view import CameraView
from flowrt.traffic.geometry.footprint import SIZES_M, UNDER, UNKNOWN_M, WHEELS, Viewpoint
from flowrt.traffic.geometry.plane import Array
from flowrt.traffic.objects import Objects, Tracks
from flowrt.traffic.rules.signals import normalised
from flowrt.traffic.scene import Homography, Line, LineKind, Scene, Zone, ZoneKind
from flowrt.traffic.states import SignalState

Point = tuple[float, float]

START_S = 1_700_000_000.0
"""When pictures and signals begin unless told otherwise: a November day of 2023."""
PICTURE_PX = (1280, 720)
ROAD_PX = ((547.9, 159.6), (732.1, 159.6), (1009.4, 534.5), (270.6, 534.5))
"""A road of 14 by 60 m, as a camera 9 m above it sees it."""
LABELS = ("car", "truck", "bus", "bicycle", "pedestrian", "motorcycle", "van", "person")
BOX_PX = (60.0, 40.0)
"""Width and height of the box of an object in a scene without metres."""


class Ground(NamedTuple):
    """A zone or line of a scene's ground, in metres."""

    points_m: tuple[Point, ...]
    kind: str
    heading: Point | None
    facts: dict[str, Any]


def zone(*points_m: Point, kind: ZoneKind = "other", heading: Point | None = None, **facts: Any) -> Ground:
    """A zone for `scene`: two points are opposite corners of a rectangle, more a polygon. heading: on the ground, for lanes.

    facts: further fields of `flowrt.Zone`, such as `limit_kmh` or `signal`.
    """
    if len(points_m) == 2:
        (x0, y0), (x1, y1) = points_m
        points_m = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return Ground(points_m, kind, heading, facts)


def line(start_m: Point, end_m: Point, *, kind: LineKind = "count", **facts: Any) -> Ground:
    """A line for `scene`, crossed forward from its left to its right. facts: further fields of `flowrt.Line`, such as `signal`."""
    return Ground((start_m, end_m), kind, None, facts)


def scene(
    road_px: Sequence[Point] = ROAD_PX,
    *,
    width_m: float = 14.0,
    length_m: float = 60.0,
    picture_px: tuple[int, int] = PICTURE_PX,
    zones: Mapping[str, Ground] | None = None,
    lines: Mapping[str, Ground] | None = None,
    name: str = "north",
) -> Scene:
    """A scene from four points of the picture: the corners of a road of known width and length.

    road_px: far left, far right, near right, near left.
    """
    corners_m = ((0.0, length_m), (width_m, length_m), (width_m, 0.0), (0.0, 0.0))
    view = Viewpoint(calibrate(road_px, corners_m, picture_px).to_ground, picture_px)

    def pixels(points_m: Sequence[Point]) -> tuple[Point, ...]:
        return tuple((float(x), float(y)) for x, y in view.picture(points_m))

    def heading(ground: Ground) -> Point | None:
        if ground.heading is None:
            return None
        middle = np.mean(ground.points_m, axis=0)
        (ax, ay), (bx, by) = pixels([tuple(middle), tuple(middle + np.asarray(ground.heading, float))])
        return bx - ax, by - ay

    return Scene(
        name=name,
        picture_px=picture_px,
        homography=Homography(image_px=tuple(road_px), ground_m=corners_m),
        zones={
            each: msgspec.convert(
                {"name": each, "points": pixels(ground.points_m), "kind": ground.kind, "heading": heading(ground)}
                | ground.facts,
                Zone,
            )
            for each, ground in (zones or {}).items()
        },
        lines={
            each: msgspec.convert(
                {"name": each, "points": pixels(ground.points_m), "kind": ground.kind} | ground.facts, Line
            )
            for each, ground in (lines or {}).items()
        },
    )


class Drive(NamedTuple):
    """A road user on its way: where it is at which second."""

    label: str
    track_id: int
    times_s: Array
    places: Array

    def at(self, time_s: float) -> Array:
        """(2,): where it is."""
        return np.array([np.interp(time_s, self.times_s, self.places[:, i]) for i in (0, 1)])

    def velocity(self, time_s: float) -> Array:
        """(2,): how it moves then."""
        first, last = self.times_s[0], self.times_s[-1]
        before, after = max(time_s - 0.05, first), min(time_s + 0.05, last)
        if after <= before:
            return np.zeros(2)
        return np.asarray((self.at(after) - self.at(before)) / (after - before))


def drive(
    *points: Sequence[float],
    label: str = "car",
    speed_kmh: float | None = None,
    over_s: float | None = None,
    begin_s: float = 0.0,
    track_id: int = 0,
) -> Drive:
    """A road user that goes through points, straight between them, and is in view from the first to the last.

    points: x, y in metres of the scene's ground, or in pixels where the traffic has no scene. How fast: `speed_kmh`, or `over_s` for the
    whole way; or each point is x, y, time_s, which also makes it stop (the same place twice). begin_s: when it comes into view.
    track_id: a number of its own, unless given.
    """
    if len(points) < 2 or len({len(point) for point in points}) != 1 or len(points[0]) not in (2, 3):
        raise ValueError("a way is at least two points, all of them x, y or all of them x, y, time_s")
    places = np.asarray(points, float)
    if places.shape[1] == 3:
        times = places[:, 2]
        if speed_kmh is not None or over_s is not None:
            raise ValueError("points with times say how fast it is already: leave out speed_kmh and over_s")
        if (np.diff(times) <= 0).any():
            raise ValueError("the times of a way's points must increase")
    else:
        if (speed_kmh is None) == (over_s is None):
            raise ValueError("say how fast it is: speed_kmh or over_s, or points with times")
        gone = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(places, axis=0).T))))
        times = gone * (over_s / gone[-1] if over_s is not None else 3.6 / (speed_kmh or 1.0))
    return Drive(label, track_id, begin_s + times, places[:, :2])


def traffic(
    *drives: Drive,
    scene: Scene | None = None,
    fps: float = 10.0,
    until_s: float | None = None,
    start_s: float = START_S,
    camera_id: str = "north",
    measured: bool = True,
) -> list[Tracks]:
    """The tracks of a camera's pictures while road users go their ways, and for two seconds more.

    In a scene with metres, boxes are those of bodies of the usual size, and `measured` tracks have ground positions, speeds and zones, as behind
    `speed` and `roi`; others are as `track` makes them. Without a scene, ways are in pixels.
    """
    if not drives and until_s is None:
        raise ValueError("traffic without road users needs `until_s`")
    users = [
        each._replace(track_id=each.track_id or number, places=each.places) for number, each in enumerate(drives, 1)
    ]
    end_s = max((float(each.times_s[-1]) for each in users), default=0.0) + 2.0 if until_s is None else until_s
    view = None if scene is None else CameraView.of(scene, scene.picture_px)
    since_s: dict[tuple[int, str], float] = {}
    pictures = []
    for number in range(int(end_s * fps + 1e-9) + 1):
        time_s = number / fps
        present = [each for each in users if each.times_s[0] <= time_s <= each.times_s[-1]]
        seen = _picture(present, time_s, view)
        columns = {
            "time_s": start_s + time_s,
            "camera_id": camera_id,
            "frame_number": number,
            "age_s": np.array([time_s - each.times_s[0] for each in present], np.float32),
        }
        found = seen.replace(**columns)
        if view is not None and view.metric and measured:
            found = _with_zones(_with_metres(found, present, time_s), view, since_s)
        pictures.append(found)
    return pictures


def _picture(present: Sequence[Drive], time_s: float, view: CameraView | None) -> Tracks:
    boxes = np.array([_box(each, time_s, view) for each in present]).reshape(-1, 4)
    before = np.array([_box(each, time_s - 0.1, view) for each in present]).reshape(-1, 4)
    feet = [np.stack(((b[:, 0] + b[:, 2]) / 2, b[:, 3]), axis=1) for b in (before, boxes)]
    size = view.picture_px if view is not None else PICTURE_PX
    return tracks(
        label=[each.label for each in present],
        track_id=[each.track_id for each in present],
        boxes_px=np.clip(boxes, 0, [*size, *size]),
        velocity_px_s=(feet[1] - feet[0]) / 0.1,
        picture_px=size,
    )


def _box(user: Drive, time_s: float, view: CameraView | None) -> Array:
    """Around a body of the usual size on the ground; without metres one of BOX_PX that stands on the point."""
    x, y = user.at(time_s)
    if view is None or view.viewpoint is None:
        return np.array([x - BOX_PX[0] / 2, y - BOX_PX[1], x + BOX_PX[0] / 2, y])
    length, width, height = SIZES_M.get(user.label, UNKNOWN_M)
    ahead = _heading(user, time_s) * length / 2
    aside = _heading(user, time_s)[::-1] * (-width / 2, width / 2)
    body = ((WHEELS, 0.0), (1.0, UNDER * height), (1.0, height))  # it hangs between its wheels
    corners = [
        (*(np.array((x, y)) + out * a * ahead + b * aside), z, 1.0) for a in (-1, 1) for b in (-1, 1) for out, z in body
    ]
    seen = np.array(corners) @ view.viewpoint.projection.T
    pixels = seen[:, :2] / seen[:, 2:]
    return np.concatenate((pixels.min(axis=0), pixels.max(axis=0)))


def _heading(user: Drive, time_s: float) -> Array:
    """(2,): where it heads; one that stands as it came, or else as it will go."""
    for at_s in (time_s, *user.times_s[user.times_s <= time_s][::-1] - 0.1, *user.times_s + 0.1):
        velocity = user.velocity(float(at_s))
        if (speed := float(np.hypot(*velocity))) > 1e-6:
            return np.asarray(velocity / speed)
    return np.array([0.0, -1.0])


def _with_metres(seen: Tracks, present: Sequence[Drive], time_s: float) -> Tracks:
    velocity = np.array([each.velocity(time_s) for each in present]).reshape(-1, 2)
    ahead = np.array([_heading(each, time_s) for each in present]).reshape(-1, 2)
    return seen.replace(
        ground_m=np.array([each.at(time_s) for each in present], np.float32).reshape(-1, 2),
        velocity_m_s=velocity.astype(np.float32),
        speed_kmh=(np.hypot(*velocity.T) * 3.6).astype(np.float32),
        speed_sigma_kmh=np.full(len(seen), 0.5, np.float32),
        heading_deg=np.degrees(np.arctan2(ahead[:, 1], ahead[:, 0])).astype(np.float32),
    )


def _with_zones(seen: Tracks, view: CameraView, since_s: dict[tuple[int, str], float]) -> Tracks:
    names = tuple(view.scene.zones)
    inside = view.polygons(names).contains(view.position_px(seen))
    entered = np.full(inside.shape, np.nan)
    for row, track_id in enumerate(seen.track_id.tolist()):
        for column, name in enumerate(names):
            if inside[row, column]:
                entered[row, column] = since_s.setdefault((track_id, name), seen.time_s)
            else:
                since_s.pop((track_id, name), None)
    return seen.replace(zones=names, in_zone=inside, zone_since_s=entered)


def tracks(
    time_s: float = START_S,
    *,
    label: str | Sequence[str] = "car",
    zones: Mapping[str, Sequence[bool]] | None = None,
    camera_id: str = "north",
    picture_px: tuple[int, int] = PICTURE_PX,
    **columns: Any,
) -> Tracks:
    """The tracks of one picture from a few numbers: `tracks(speed_kmh=[30, 51, 90])` are three cars.

    label: of each, or of all. zones: which are in which zone. columns: those of `flowrt.Tracks` by name, a number for each track or
    one for all; what is not given is plausible where every track has it (a box, a number, a confidence of 0.9), else unknown (NaN).
    """
    unknown = columns.keys() - _COLUMNS.keys()
    if unknown:
        raise ValueError(f"tracks have no column {', '.join(sorted(unknown))}; they have {', '.join(_COLUMNS)}")
    given: list[Any] = [label] if not isinstance(label, str) else []
    given += [value for name, value in columns.items() if np.ndim(value) > bool(_COLUMNS[name].width)]
    given += list((zones or {}).values())
    n = len(given[0]) if given else 1
    if any(len(value) != n for value in given):
        raise ValueError(
            f"the columns have {', '.join(str(len(value)) for value in given)} entries: each needs the same"
        )
    names = [label] * n if isinstance(label, str) else list(label)
    labels = tuple(dict.fromkeys((*LABELS, *names)))
    left = 20.0 + 80.0 * (np.arange(n) % 15)
    start: dict[str, Any] = {
        "boxes_px": np.stack((left, np.full(n, 300.0), left + BOX_PX[0], np.full(n, 300.0 + BOX_PX[1])), axis=1),
        "confidence": 0.9,
        "track_id": np.arange(1, n + 1),
        "age_s": 5.0,
        "velocity_px_s": 0.0,
    }
    filled = {}
    for name, kind in _COLUMNS.items():
        value: NDArray[Any] = np.asarray(columns.get(name, start.get(name, np.nan)), kind.dtype)
        filled[name] = np.broadcast_to(value, (n, kind.width) if kind.width else (n,)).copy()
    inside = np.array([list(mask) for mask in (zones or {}).values()], bool).reshape(len(zones or {}), n).T
    seen = Objects(
        time_s=time_s,
        camera_id=camera_id,
        boxes_px=filled.pop("boxes_px"),
        confidence=filled.pop("confidence"),
        class_id=np.array([labels.index(each) for each in names], np.int64),
        labels=labels,
        picture_px=picture_px,
    )
    made = {name: filled.pop(name) for name in ("track_id", "age_s", "velocity_px_s")}
    return Tracks.of(seen, np.arange(n), **made).replace(
        **filled, zones=tuple(zones or ()), in_zone=inside, zone_since_s=np.where(inside, time_s, np.nan)
    )


class _Kind(NamedTuple):
    """A column that `tracks` takes: its type, and how many numbers of a track are in it, where they are several."""

    dtype: type
    width: int = 0


_COLUMNS = {
    "boxes_px": _Kind(np.float32, 4),
    "confidence": _Kind(np.float32),
    "track_id": _Kind(np.int64),
    "age_s": _Kind(np.float32),
    "velocity_px_s": _Kind(np.float32, 2),
    "ground_m": _Kind(np.float32, 2),
    "velocity_m_s": _Kind(np.float32, 2),
    "speed_kmh": _Kind(np.float32),
    "speed_sigma_kmh": _Kind(np.float32),
    "heading_deg": _Kind(np.float32),
    "length_m": _Kind(np.float32),
    "length_sigma_m": _Kind(np.float32),
}


def signal(
    group: str, *changes: tuple[float, str], until_s: float = 60.0, every_s: float = 1.0, start_s: float = START_S
) -> list[SignalState]:
    """Reports of a signal group, as a controller sends them: at each change (time_s, state) and every second in between.

    states: names of SAE J2735, or everyday words such as "red", "amber", "green", "walk", "dont-walk".
    """
    reports = []
    times = {change[0] for change in changes} | set(np.arange(changes[0][0], until_s, every_s).tolist())
    for time_s in sorted(times):
        since_s, state = max((each for each in changes if each[0] <= time_s), key=lambda each: each[0])
        reports.append(
            SignalState(time_s=start_s + time_s, states={group: normalised(state)}, since_s={group: start_s + since_s})
        )
    return reports
