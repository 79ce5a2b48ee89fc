"""A street to test rules on: a pinhole camera, a scene, and actors that move over the ground by script.

Ground: x to the right, y away from the camera, metres. The approach comes from the north, towards the camera: its stop line
lies at y = 0, its crosswalk from y = -1.5 to -5, its lane at x = -3.5 to 0 (traffic keeps right), the opposite lane at x = 0 to 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from harness import context, opened
from numpy.typing import NDArray

from flowrt import Homography, Line, Message, Rule, Scene, SignalRule, SignalState, Tracks, Violation, Zone
from flowrt.traffic.geometry.footprint import SIZES_M
from flowrt_nodes.speed import Speed

LABELS = ("car", "truck", "bus", "bicycle", "pedestrian", "motorcycle")
PICTURE_PX = (1280, 720)
START_S = 1_700_000_000.0
Array = NDArray[np.float64]


def projection(
    position_m: Sequence[float] = (0.0, -24.0, 9.0), pitch_deg: float = -20.0, focal_px: float = 1000.0
) -> Array:
    """(3, 4): a camera that looks along +y."""
    pitch = np.radians(pitch_deg)
    forward = np.array([0, np.cos(pitch), np.sin(pitch)])
    right = np.array([1.0, 0, 0])
    rotation = np.stack([right, np.cross(forward, right), forward])
    inner = np.array([[focal_px, 0, PICTURE_PX[0] / 2], [0, focal_px, PICTURE_PX[1] / 2], [0, 0, 1]])
    return np.asarray(inner @ np.column_stack([rotation, -rotation @ np.asarray(position_m)]))


CAMERA = projection()


def pixels(points_m: Sequence[Sequence[float]], camera: Array = CAMERA) -> tuple[tuple[float, float], ...]:
    """Picture points of ground points."""
    ground = np.asarray(points_m, float)
    seen = np.column_stack([ground, np.zeros(len(ground)), np.ones(len(ground))]) @ camera.T
    return tuple((float(x), float(y)) for x, y in seen[:, :2] / seen[:, 2:])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> tuple[tuple[float, float], ...]:
    return pixels([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def towards(x: float, y: float, dx: float, dy: float) -> tuple[float, float]:
    """The picture direction of a ground direction."""
    (ax, ay), (bx, by) = pixels([(x, y), (x + dx, y + dy)])
    return bx - ax, by - ay


def street(homography: bool = True) -> Scene:
    """The scene of the module's docstring."""
    corners = [(-10.0, -10.0), (10.0, -10.0), (10.0, 50.0), (-10.0, 50.0)]
    zones = [
        Zone(
            name="lane_in",
            kind="lane",
            points=rectangle(-3.5, 0, 0, 60),
            heading=towards(-1.75, 15, 0, -1),
            limit_kmh=50,
        ),
        Zone(
            name="lane_out", kind="lane", points=rectangle(0, 0, 3.5, 60), heading=towards(1.75, 15, 0, 1), limit_kmh=50
        ),
        Zone(name="crosswalk", kind="crosswalk", points=rectangle(-3.5, -5, 3.5, -1.5), signal="walk"),
        Zone(
            name="conflict",
            kind="conflict",
            points=rectangle(-3.5, -5, 0, -1.5),
            heading=towards(-1.75, -3, 0, -1),
        ),
        Zone(name="road", kind="carriageway", points=rectangle(-3.5, -12, 3.5, 60)),
        Zone(name="bay", kind="no_stopping", points=rectangle(-6, 10, -3.5, 30)),
        Zone(name="kerb", kind="sidewalk", points=rectangle(-9, -5, -6, 30)),
    ]
    (ax, ay), (bx, by) = pixels([(-3.5, 0), (0, 0)])
    (cx, cy), (dx, dy) = pixels([(-3.5, -8), (3.5, -8)])
    lines = [
        Line(name="stop_line", kind="stop_line", points=((ax, ay), (bx, by)), signal="cars"),
        Line(name="into_box", kind="entry", points=((cx, cy), (dx, dy))),
    ]
    return Scene(
        name="north",
        picture_px=PICTURE_PX,
        zones={zone.name: zone for zone in zones},
        lines={line.name: line for line in lines},
        homography=Homography(image_px=pixels(corners), ground_m=tuple(corners)) if homography else None,
    )


Way = Callable[[float], tuple[float, float]]


def along(*stops: tuple[float, float, float]) -> Way:
    """A path through (time_s, x, y), straight between them."""
    t, x, y = np.asarray(stops, float).T
    return lambda time_s: (float(np.interp(time_s, t, x)), float(np.interp(time_s, t, y)))


@dataclass
class Actor:
    """A road user that follows a path, from its first to its last second. heading_deg turns the body, else it follows the path.

    length_m: where it is not the usual one.
    """

    track_id: int
    label: str
    path: Way
    begin_s: float = 0.0
    end_s: float = 1e9
    heading_deg: float | None = None
    length_m: float | None = None
    _last: tuple[float, float] = field(default=(0.0, -1.0))

    @property
    def size_m(self) -> tuple[float, float, float]:
        length, width, height = SIZES_M[self.label]
        return self.length_m or length, width, height

    def heading(self, time_s: float) -> tuple[float, float]:
        if self.heading_deg is not None:
            angle = np.radians(self.heading_deg)
            return float(np.cos(angle)), float(np.sin(angle))
        (ax, ay), (bx, by) = self.path(time_s - 0.05), self.path(time_s + 0.05)
        length = float(np.hypot(bx - ax, by - ay))
        if length > 0.01:
            self._last = (bx - ax) / length, (by - ay) / length
        return self._last


def box(
    x: float, y: float, heading: tuple[float, float], size: tuple[float, float, float], camera: Array
) -> list[float]:
    """The box around a body that hangs between its wheels, 13 cm above the ground; pedestrians stand on it."""
    length, width, height = size
    (hx, hy), corners = heading, []
    clear, wheels = (0.13, 0.32) if length > 1 else (0.0, 0.5)
    for end in (-1, 1):
        for b in (-width / 2, width / 2):
            for a, z in ((0.5 * length, clear), (0.5 * length, height), (wheels * length, 0.0)):
                u, v, w = camera @ np.array([x + end * a * hx - b * hy, y + end * a * hy + b * hx, z, 1.0])
                corners.append((u / w, v / w))
    xs, ys = zip(*corners, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def play(
    actors: Iterable[Actor],
    until_s: float,
    *,
    fps: float = 10.0,
    noise_px: float = 0.0,
    drops: float = 0.0,
    jitter_s: float = 0.0,
    seed: int = 1,
    camera: Array = CAMERA,
    start_s: float = START_S,
    tells_px: float | None = None,
) -> Iterator[Tracks]:
    """The tracks of a camera: boxes of all road users in view, exact or with noise, some pictures dropped or late.

    tells_px: the detector gives footprints as well, so many pixels off (standard deviation), front or rear as it happens.
    """
    rng = np.random.default_rng(seed)
    cast = list(actors)
    for number in range(int(until_s * fps) + 1):
        t = number / fps + (rng.uniform(0, jitter_s) if jitter_s else 0.0)
        if drops and rng.random() < drops:
            continue
        present = [actor for actor in cast if actor.begin_s <= t <= actor.end_s]
        boxes, speeds = [], []
        for actor in present:
            x, y = actor.path(t)
            heading = actor.heading(t)
            boxes.append(box(x, y, heading, actor.size_m, camera))
            (bx, by) = actor.path(t - 0.1)
            before = box(bx, by, heading, actor.size_m, camera)
            now = boxes[-1]
            speeds.append([(now[0] + now[2] - before[0] - before[2]) / 0.2, (now[3] - before[3]) / 0.1])
        n = len(present)
        edges = np.array(boxes, np.float64).reshape(n, 4) + noise_px * rng.standard_normal((n, 4))
        stands = None
        if tells_px is not None:
            stands = np.array([footprint(actor, t, camera) for actor in present], np.float64).reshape(n, 6)
            stands[:, :4] += tells_px * rng.standard_normal((n, 4))
            stands[:, 2:4] *= rng.choice([-1, 1], (n, 1))
            stands[:, 4:] = max(tells_px, 0.1)
        yield tracks_of(
            start_s + t,
            [actor.track_id for actor in present],
            [actor.label for actor in present],
            np.clip(edges, 0, [PICTURE_PX[0], PICTURE_PX[1]] * 2),
            ages=[t - actor.begin_s for actor in present],
            velocities=speeds,
            number=number,
            footprints=stands,
        )


def footprint(actor: Actor, time_s: float, camera: Array) -> list[float]:
    """As a detector gives it, without errors: middle, and from there the front, in pixels."""
    x, y = actor.path(time_s)
    dx, dy = actor.heading(time_s)
    half = actor.size_m[0] / 2
    (mx, my), (fx, fy) = pixels([(x, y), (x + half * dx, y + half * dy)], camera)
    return [mx, my, fx - mx, fy - my, 0.0, 0.0]


def tracks_of(
    time_s: float,
    ids: Sequence[int],
    labels: Sequence[str],
    boxes: NDArray[np.floating] | Sequence[Sequence[float]],
    *,
    ages: Sequence[float] | None = None,
    velocities: Sequence[Sequence[float]] | None = None,
    number: int = 0,
    camera_id: str = "north_camera",
    footprints: NDArray[np.floating] | None = None,
) -> Tracks:
    """A Tracks message as the tracker makes it: no metres, no zones."""
    n = len(ids)
    nothing = np.full(n, np.nan, np.float32)
    nowhere = np.full((n, 2), np.nan, np.float32)
    return Tracks(
        time_s=time_s,
        camera_id=camera_id,
        boxes_px=np.asarray(boxes, np.float32).reshape(n, 4),
        confidence=np.full(n, 0.9, np.float32),
        class_id=np.array([LABELS.index(label) for label in labels], np.int64),
        labels=LABELS,
        picture_px=PICTURE_PX,
        footprints_px=None if footprints is None else footprints.astype(np.float32),
        frame_number=number,
        track_id=np.array(ids, np.int64),
        age_s=np.array(ages if ages is not None else [0.0] * n, np.float32),
        velocity_px_s=np.array(velocities if velocities is not None else np.zeros((n, 2)), np.float32).reshape(n, 2),
        ground_m=nowhere,
        velocity_m_s=nowhere,
        speed_kmh=nothing,
        speed_sigma_kmh=nothing,
        heading_deg=nothing,
        length_m=nothing,
        length_sigma_m=nothing,
        in_zone=np.zeros((n, 0), bool),
        zone_since_s=np.zeros((n, 0)),
    )


def lights(
    *changes: tuple[float, str], group: str = "cars", until_s: float = 120.0, every_s: float = 1.0
) -> list[SignalState]:
    """Reports of one signal group: at each change (time_s, state) and every second in between."""
    times = sorted({t for t, _ in changes} | set(np.arange(changes[0][0], until_s, every_s).tolist()))
    reports = []
    for t in times:
        since_s, state = max((change for change in changes if change[0] <= t), key=lambda change: change[0])
        reports.append(SignalState(time_s=START_S + t, states={group: state}, since_s={group: START_S + since_s}))
    return reports


def merged(*streams: Iterable[Message]) -> list[Message]:
    """Messages of several streams by time; at equal times, signals go first."""
    together = [message for stream in streams for message in stream]
    return sorted(together, key=lambda message: (message.time_s, not isinstance(message, SignalState)))


def with_speeds(tracks: Iterable[Tracks], folder: Path) -> list[Tracks]:
    """The tracks as a `speed` node passes them on; `judge` them with `speed=False`."""
    with opened(Speed(scene="north"), context(folder, scene=street())) as speeds:
        return [speeds.process(each) for each in tracks]


def judge(
    rule: Rule,
    folder: Path,
    tracks: Iterable[Tracks],
    signals: Iterable[SignalState] = (),
    *,
    scene: Scene | None = None,
    speed: bool = True,
    edit: Callable[[Rule], Rule] | None = None,
    edit_s: float = np.inf,
) -> list[Violation]:
    """Everything a rule says of the tracks, behind a `speed` node, and when the flow ends.

    edit: before the first picture later than `edit_s` (in the script's seconds), its result goes on in the rule's place.
    """
    scene = scene or street()
    said: list[Violation] = []
    with (
        opened(rule, context(folder, scene=scene, name="rule")),
        opened(Speed(scene="north"), context(folder, scene=scene, name="speed")) as speeds,
    ):
        for message in merged(tracks, signals):
            if edit is not None and message.time_s > START_S + edit_s:
                rule, edit = edit(rule), None
            if isinstance(message, SignalState):
                assert isinstance(rule, SignalRule)
                rule.on_signal(message)
            else:
                assert isinstance(message, Tracks)
                said.extend(rule.process(speeds.process(message) if speed else message))
        said.extend(rule.finish())
    return said


def begun(events: Iterable[Violation]) -> list[tuple[int, float]]:
    """(track, start in the script's seconds) of every violation that began."""
    return [(event.object.track_id, event.started_s - START_S) for event in events if event.phase == "new"]
