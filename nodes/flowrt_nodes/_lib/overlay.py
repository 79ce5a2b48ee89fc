"""What the flow sees, drawn onto a copy of the picture: boxes, numbers, speeds, zones, lines, signals, violations.

Line widths and letters follow the picture's height, so that a frame looks the same at 1280x720 and at 3840x2160. Colours are
those of Okabe and Ito, which stay apart for colour-blind eyes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from flowrt import Detections, Frame, Image, Objects, Scene, SignalState, Tracks, Violation, Zone
from flowrt_nodes._lib.cv import cv2

Colour = tuple[int, int, int]

CLASS_COLOURS: dict[str, Colour] = {  # blue, green, red
    "car": (233, 180, 86),
    "van": (178, 114, 0),
    "truck": (0, 159, 230),
    "bus": (167, 121, 204),
    "motorcycle": (115, 158, 0),
    "bicycle": (66, 228, 240),
    "person": (66, 228, 240),
    "pedestrian": (66, 228, 240),
}
OTHER_COLOUR: Colour = (200, 200, 200)
ZONE_COLOURS: dict[str, Colour] = {
    "lane": (178, 114, 0),
    "crosswalk": (66, 228, 240),
    "sidewalk": (115, 158, 0),
    "conflict": (0, 94, 213),
    "no_stopping": (0, 94, 213),
}
ZONE_COLOUR: Colour = (167, 121, 204)
LINE_COLOURS: dict[str, Colour] = {"stop_line": (0, 94, 213), "entry": (115, 158, 0), "exit": (0, 159, 230)}
LINE_COLOUR: Colour = (233, 180, 86)
ALARM: Colour = (60, 20, 235)
WHITE: Colour = (255, 255, 255)
DARK: Colour = (30, 24, 20)
ZONE_SHARE = 0.22
"""How strongly a zone's colour covers the road."""
ALARM_S = 2.0
"""How long a violation stays marked after its last word."""
TRAIL_S = 2.0
FONT = cv2.FONT_HERSHEY_SIMPLEX


class _Ground(NamedTuple):
    """The scene drawn once for a picture size: colours, and where they lie."""

    scene: Scene
    colours: Image
    mask: NDArray[np.uint8]


class Overlay:
    """Draws pictures of one camera; remembers trails, violations and signals in between."""

    def __init__(self, scene: Scene | None) -> None:
        self._scene = scene
        self._ground: _Ground | None = None
        self._trails: dict[int, deque[tuple[float, float, float]]] = {}
        self._alarms: dict[int, tuple[float, str]] = {}
        self._signals: dict[str, str] = {}

    def note(self, message: Violation | SignalState) -> None:
        """Remember what later pictures show."""
        if isinstance(message, SignalState):
            self._signals = message.states
        else:
            self._alarms[message.object.track_id] = (message.time_s, message.violation_type.replace("_", " "))

    def draw(self, seen: Objects | Frame) -> Image:
        """A new picture (H, W, 3). Raises ValueError where the message has no picture with it."""
        frame = seen if isinstance(seen, Frame) else seen.frame
        if frame is None:
            raise ValueError("there is no picture with these objects (a replayed run has none)")
        picture = np.array(frame.image)
        pen = _Pen(picture)
        if self._scene is not None:
            self._draw_scene(pen, self._scene, seen)
        if isinstance(seen, Tracks):
            self._draw_trails(pen, seen)
        if isinstance(seen, Objects):
            self._draw_objects(pen, seen)
        self._draw_signals(pen)
        pen.tag((pen.unit, pen.unit), _caption(seen), DARK, below=True)
        return picture

    def _draw_scene(self, pen: _Pen, scene: Scene, seen: Objects | Frame) -> None:
        height, width = pen.picture.shape[:2]
        if self._ground is None or self._ground.mask.shape != (height, width):
            self._ground = _painted(scene.scaled((width, height), seen.camera_id))
        ground = self._ground
        mixed = cv2.addWeighted(pen.picture, 1 - ZONE_SHARE, ground.colours, ZONE_SHARE, 0)
        cv2.copyTo(mixed, ground.mask, pen.picture)
        for zone in ground.scene.zones.values():
            pen.outline(zone.polygon, _zone_colour(zone))
        for line in ground.scene.lines.values():
            pen.line(line.points, LINE_COLOURS.get(line.kind, LINE_COLOUR), line.name)
        for zone in ground.scene.zones.values():
            inside = (
                int(seen.zone_mask(zone.name).sum()) if isinstance(seen, Tracks) and zone.name in seen.zones else None
            )
            pen.note(_inner_point(zone), zone.name if inside is None else f"{zone.name}: {inside}", _zone_colour(zone))

    def _draw_trails(self, pen: _Pen, seen: Tracks) -> None:
        for number, (x, y) in zip(seen.track_id.tolist(), seen.ground_px.tolist(), strict=True):
            self._trails.setdefault(number, deque()).append((seen.time_s, x, y))
        for number, trail in list(self._trails.items()):
            while trail and not 0 <= seen.time_s - trail[0][0] <= TRAIL_S:
                trail.popleft()
            if not trail:
                del self._trails[number]
        for number, label in zip(seen.track_id.tolist(), seen.label, strict=True):
            pen.trail([(x, y) for _, x, y in self._trails.get(number, ())], CLASS_COLOURS.get(label, OTHER_COLOUR))

    def _draw_objects(self, pen: _Pen, seen: Objects) -> None:
        self._alarms = {
            number: alarm for number, alarm in self._alarms.items() if 0 <= seen.time_s - alarm[0] <= ALARM_S
        }
        far_first = np.argsort(seen.boxes_px[:, 3])
        for i in far_first.tolist():
            label = seen.labels[seen.class_id[i]]
            text, alarm = label, None
            if isinstance(seen, Tracks):
                alarm = self._alarms.get(int(seen.track_id[i]))
                text = f"{seen.track_id[i]} {label}"
                if np.isfinite(seen.speed_kmh[i]):
                    text += f" {seen.speed_kmh[i]:.0f} km/h"
            else:
                text = f"{label} {seen.confidence[i]:.2f}"
            if alarm is not None:
                text += f" {alarm[1]}"
            colour = ALARM if alarm else CLASS_COLOURS.get(label, OTHER_COLOUR)
            pen.box(seen.boxes_px[i], colour, thick=alarm is not None)
            pen.tag((float(seen.boxes_px[i][0]), float(seen.boxes_px[i][1])), text, colour)

    def _draw_signals(self, pen: _Pen) -> None:
        for row, (group, state) in enumerate(sorted(self._signals.items())):
            pen.lamp(row, group, _lamp_colour(state))
        if self._ground is not None:
            for lamp in self._ground.scene.lamps.values():
                for lens in (lamp.red, lamp.amber, lamp.green):
                    if lens is not None:
                        pen.circle(lens, WHITE)


class _Pen:
    """Draws anti-aliased, in widths that suit the picture."""

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        self.unit = max(picture.shape[0] / 72.0, 4.0)  # 10 px at a height of 720
        self._width = max(round(self.unit / 5), 1)
        self._letter = self.unit / 20

    def outline(self, polygon: NDArray[np.float32], colour: Colour) -> None:
        cv2.polylines(self.picture, [polygon.round().astype(np.int32)], True, colour, self._width, cv2.LINE_AA)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, name: str) -> None:
        """A directed line; the small arrow shows the way that counts as forward."""
        a, b = (np.asarray(point, float) for point in points)
        cv2.line(self.picture, _at(a), _at(b), colour, self._width * 2, cv2.LINE_AA)
        along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
        forward = np.array([-along[1], along[0]])  # left to right, seen along the line, with y pointing down
        middle = (a + b) / 2
        tip = middle + forward * self.unit * 2
        cv2.arrowedLine(self.picture, _at(middle), _at(tip), colour, self._width, cv2.LINE_AA, 0, 0.4)
        self.note(tuple(middle - forward * self.unit * 1.1), name, colour)

    def trail(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        if len(points) > 1:
            path = np.asarray(points, np.float32).round().astype(np.int32)
            cv2.polylines(self.picture, [path], False, colour, self._width, cv2.LINE_AA)

    def box(self, box: NDArray[np.float32], colour: Colour, thick: bool) -> None:
        """A thin frame with strong corners, which leaves the vehicle visible."""
        x0, y0, x1, y1 = (round(float(v)) for v in box)
        cv2.rectangle(self.picture, (x0, y0), (x1, y1), colour, self._width if thick else 1)
        arm = max(min(x1 - x0, y1 - y0) // 5, 2)
        for x, y, dx, dy in ((x0, y0, arm, arm), (x1, y0, -arm, arm), (x0, y1, arm, -arm), (x1, y1, -arm, -arm)):
            corner = np.array([[x + dx, y], [x, y], [x, y + dy]], np.int32)
            cv2.polylines(self.picture, [corner], False, colour, self._width + (2 if thick else 1), cv2.LINE_AA)

    def tag(self, corner: tuple[float, float], text: str, colour: Colour, below: bool = False) -> None:
        """Text on a plate that stands on the corner (or hangs below it), kept inside the picture."""
        (width, height), base = cv2.getTextSize(text, FONT, self._letter, 1)
        pad = round(self.unit * 0.35)
        wide, high = width + 2 * pad, height + base + pad
        x = min(max(round(corner[0]), 0), max(self.picture.shape[1] - wide, 0))
        y = round(corner[1]) + (high if below else 0)
        y = min(max(y, high), self.picture.shape[0])
        cv2.rectangle(self.picture, (x, y - high), (x + wide, y), colour, cv2.FILLED)
        ink = WHITE if _dark(colour) else DARK
        cv2.putText(self.picture, text, (x + pad, y - base), FONT, self._letter, ink, 1, cv2.LINE_AA)

    def note(self, place: Sequence[float], text: str, colour: Colour) -> None:
        """Text on a darkened strip of the picture, which stays visible beneath."""
        (width, height), base = cv2.getTextSize(text, FONT, self._letter, 1)
        pad = round(self.unit * 0.3)
        x = min(max(round(place[0] - width / 2), pad), max(self.picture.shape[1] - width - pad, pad))
        y = min(max(round(place[1] + height / 2), height + pad), self.picture.shape[0] - base)
        strip = self.picture[max(y - height - pad, 0) : y + base, x - pad : x + width + pad]
        strip[...] = strip // 3
        cv2.putText(self.picture, text, (x, y), FONT, self._letter, _lighter(colour), 1, cv2.LINE_AA)

    def lamp(self, row: int, group: str, colour: Colour) -> None:
        """One signal group at the right border."""
        radius = round(self.unit * 0.7)
        x, y = self.picture.shape[1] - 2 * radius, round(self.unit * (2 + 2.4 * row))
        (width, height), _ = cv2.getTextSize(group, FONT, self._letter, 1)
        left = x - 2 * radius - width
        cv2.rectangle(self.picture, (left - radius, y - radius - 3), (x + 2 * radius, y + radius + 3), DARK, cv2.FILLED)
        cv2.circle(self.picture, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)
        cv2.putText(self.picture, group, (left, y + height // 2), FONT, self._letter, WHITE, 1, cv2.LINE_AA)

    def circle(self, circle: tuple[float, float, float], colour: Colour) -> None:
        x, y, radius = circle
        cv2.circle(self.picture, (round(x), round(y)), max(round(radius), 2), colour, 1, cv2.LINE_AA)


def _painted(scene: Scene) -> _Ground:
    width, height = scene.picture_px
    colours = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for zone in scene.zones.values():
        polygon = [zone.polygon.round().astype(np.int32)]
        cv2.fillPoly(colours, polygon, _zone_colour(zone))
        cv2.fillPoly(mask, polygon, 255)
    return _Ground(scene, colours, mask)


def _inner_point(zone: Zone) -> tuple[float, float]:
    """The point of the polygon farthest from its border: where a name fits."""
    polygon = zone.polygon
    least = polygon.min(axis=0)
    size = np.maximum(np.ceil(polygon.max(axis=0) - least).astype(int), 1) + 3
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [(polygon - least + 1).round().astype(np.int32)], 255)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    _, _, _, place = cv2.minMaxLoc(distance)
    return float(place[0] + least[0] - 1), float(place[1] + least[1] - 1)


def _zone_colour(zone: Zone) -> Colour:
    return ZONE_COLOURS.get(zone.kind, ZONE_COLOUR)


def _lamp_colour(state: str) -> Colour:
    """Of an SAE J2735 movement phase state."""
    if state.endswith("movement-allowed"):
        return (80, 200, 60)
    if state.endswith("clearance") or state in ("pre-movement", "caution-conflicting-traffic"):
        return (0, 190, 250)
    return (60, 40, 230) if state.startswith("stop") else (130, 130, 130)


def _caption(seen: Objects | Frame) -> str:
    time = datetime.fromtimestamp(seen.time_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]
    count = (
        f"   {len(seen)} {'detections' if isinstance(seen, Detections) else 'road users'}"
        if isinstance(seen, Objects)
        else ""
    )
    return f"{seen.camera_id}   {time} UTC{count}"


def _dark(colour: Colour) -> bool:
    blue, green, red = colour
    return 0.114 * blue + 0.587 * green + 0.299 * red < 120


def _lighter(colour: Colour) -> Colour:
    return cast(Colour, tuple(round(part + (255 - part) * 0.55) for part in colour))


def _at(point: NDArray[Any]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
