"""What the flow sees, drawn onto a copy of the picture: boxes, numbers, speeds, zones, lines, signals, violations.

Line widths and letters follow the picture's height, so that a frame looks the same at 1280x720 and at 3840x2160; letters never get too
small to be read. A label stands outside of what it names and apart from others (`labels.py`); where there is no room it is left out. Colours
are those of Okabe and Ito, which stay apart for colour-blind eyes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from flowrt import Detections, Frame, Image, Objects, Scene, SignalState, Tracks, Violation, Zone
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes._lib.labels import Lettering, Placer, Rect

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
LEGEND_SHARE = 0.35
"""Of a picture's width, at most, that a legend takes."""
SHORT_PX = 400
"""In pictures lower than this, labels of objects have their number and speed only."""
Labels = Literal["legend", "zones", "objects", "none"]
"""What is written besides the caption: objects, and zones in a legend; objects, and names on zones and lines; objects; nothing."""


class _Ground(NamedTuple):
    """The scene drawn once for a picture size: colours, and where they lie."""

    scene: Scene
    colours: Image
    mask: NDArray[np.uint8]


class Overlay:
    """Draws pictures of one camera; remembers trails, violations and signals in between."""

    def __init__(self, scene: Scene | None, labels: Labels = "legend") -> None:
        self._scene, self._labels = scene, labels
        self.placed: list[tuple[str, Rect]] = []
        """The labels of the last picture, and where they stand."""
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
        boxes = seen.boxes_px if isinstance(seen, Objects) else np.zeros((0, 4), np.float32)
        placer = Placer((picture.shape[1], picture.shape[0]), boxes)
        self.placed = []
        if self._scene is not None:
            self._draw_scene(pen, self._scene, seen)
        if isinstance(seen, Tracks):
            self._draw_trails(pen, seen)
        placer.taken += [pen.plate((0, 0), _caption(seen), DARK), *self._draw_signals(pen)]
        if isinstance(seen, Objects):
            self._draw_objects(pen, placer, seen)
        if self._ground is not None and self._labels == "zones":
            self._name_zones(pen, placer, self._ground.scene, seen)
        if self._ground is not None and self._labels == "legend":
            self._draw_legend(pen, placer, self._ground.scene)
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
            pen.line(line.points, LINE_COLOURS.get(line.kind, LINE_COLOUR))

    def _name_zones(self, pen: _Pen, placer: Placer, scene: Scene, seen: Objects | Frame) -> None:
        """Names on the ground, where no road user and no other label is."""
        names = [
            (line.name, pen.above(line.points), LINE_COLOURS.get(line.kind, LINE_COLOUR))
            for line in scene.lines.values()
        ]
        for zone in scene.zones.values():
            text = zone.name
            if isinstance(seen, Tracks) and zone.name in seen.zones:
                text += f": {int(seen.zone_mask(zone.name).sum())}"
            names.append((text, _inner_point(zone), _zone_colour(zone)))
        for text, point, colour in names:
            if (place := placer.near(point, pen.letters.size(text))) is not None:
                pen.note(place, text, colour)
                self.placed.append((text, place))

    def _draw_legend(self, pen: _Pen, placer: Placer, scene: Scene) -> None:
        """The names of zones in the colours of their kinds, in a corner where no road user is; without such a corner there is none.

        Where the names of a kind are too long for that, its own name stands for them.
        """
        height, width = pen.picture.shape[:2]
        kinds: dict[str, Colour] = {}
        for kind in dict.fromkeys(zone.kind for zone in scene.zones.values()):
            zones = scene.zones_of(kind)
            names = " ".join(zone.name for zone in zones)
            fits = pen.letters.size(names)[0] <= width * LEGEND_SHARE
            kinds[names if fits else kind.replace("_", " ")] = _zone_colour(zones[0])
        if not kinds:
            return
        size = pen.legend_size(kinds)
        for corner in ((0, height), (width, height), (width, 0), (0, 0)):
            place = placer.corner(corner, size)
            if place is not None:
                pen.legend(place, kinds)
                self.placed.append(("legend", place))
                return

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

    def _draw_objects(self, pen: _Pen, placer: Placer, seen: Objects) -> None:
        self._alarms = {
            number: alarm for number, alarm in self._alarms.items() if 0 <= seen.time_s - alarm[0] <= ALARM_S
        }
        far_first = np.argsort(seen.boxes_px[:, 3]).tolist()
        alarms = [
            self._alarms.get(int(seen.track_id[i])) if isinstance(seen, Tracks) else None for i in range(len(seen))
        ]
        colours = [
            ALARM if alarm else CLASS_COLOURS.get(label, OTHER_COLOUR)
            for alarm, label in zip(alarms, seen.label, strict=True)
        ]
        for i in far_first:
            pen.box(seen.boxes_px[i], colours[i], thick=alarms[i] is not None)
        if self._labels == "none":
            return
        short = pen.picture.shape[0] < SHORT_PX
        # Who offends first, then from the near ones on.
        for i in sorted(far_first, key=lambda row: (alarms[row] is None, -seen.boxes_px[row, 3])):
            text = _object_text(seen, i, short) + (f" {alarms[i][1]}" if alarms[i] else "")
            if (place := placer.beside(i, pen.letters.size(text))) is not None:
                pen.leader(place, seen.boxes_px[i], colours[i])
                pen.tag(place, text, colours[i])
                self.placed.append((text, place))

    def _draw_signals(self, pen: _Pen) -> list[Rect]:
        """Where they stand."""
        taken = [
            pen.lamp(row, group, _lamp_colour(state))
            for row, (group, state) in enumerate(sorted(self._signals.items()))
        ]
        if self._ground is not None:
            for lamp in self._ground.scene.lamps.values():
                for lens in (lamp.red, lamp.amber, lamp.green):
                    if lens is not None:
                        pen.circle(lens, WHITE)
        return taken


class _Pen:
    """Draws anti-aliased, in widths that suit the picture."""

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        self.unit = max(picture.shape[0] / 72.0, 4.0)  # 10 px at a height of 720
        self._width = max(round(self.unit / 5), 1)
        self.letters = Lettering.of(picture.shape[0])

    def outline(self, polygon: NDArray[np.float32], colour: Colour) -> None:
        cv2.polylines(self.picture, [polygon.round().astype(np.int32)], True, colour, self._width, cv2.LINE_AA)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A directed line; the small arrow shows the way that counts as forward."""
        a, b = (np.asarray(point, float) for point in points)
        cv2.line(self.picture, _at(a), _at(b), colour, self._width * 2, cv2.LINE_AA)
        along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
        forward = np.array([-along[1], along[0]])  # left to right, seen along the line, with y pointing down
        middle = (a + b) / 2
        tip = middle + forward * self.unit * 2
        cv2.arrowedLine(self.picture, _at(middle), _at(tip), colour, self._width, cv2.LINE_AA, 0, 0.4)

    def above(self, points: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Where a line's name goes: on the side that its arrow leaves free."""
        a, b = (np.asarray(point, float) for point in points)
        along = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
        x, y = (a + b) / 2 - np.array([-along[1], along[0]]) * self.unit * 1.1
        return float(x), float(y)

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

    def leader(self, place: Rect, box: NDArray[np.float32], colour: Colour) -> None:
        """A thin line from a label that stands off its box."""
        x0, y0, x1, y1 = (float(edge) for edge in box)
        away = max(place.y0 - y1, y0 - place.y1, place.x0 - x1, x0 - place.x1)
        if away > 3:
            end = min(max((place.x0 + place.x1) / 2, x0), x1), min(max((place.y0 + place.y1) / 2, y0), y1)
            start = min(max(end[0], place.x0), place.x1), min(max(end[1], place.y0), place.y1)
            cv2.line(self.picture, _at(np.array(start)), _at(np.array(end)), colour, 1, cv2.LINE_AA)

    def plate(self, corner: tuple[int, int], text: str, colour: Colour) -> Rect:
        """Text on a plate whose upper left corner is there."""
        width, height = self.letters.size(text)
        place = Rect(corner[0], corner[1], corner[0] + width, corner[1] + height)
        self.tag(place, text, colour)
        return place

    def tag(self, place: Rect, text: str, colour: Colour) -> None:
        """Text on a plate."""
        cv2.rectangle(self.picture, place[:2], (place.x1 - 1, place.y1 - 1), colour, cv2.FILLED)
        self.letters.write(self.picture, place, text, WHITE if _dark(colour) else DARK)

    def note(self, place: Rect, text: str, colour: Colour) -> None:
        """Text on a darkened part of the picture, which stays visible beneath."""
        strip = self.picture[place.y0 : place.y1, place.x0 : place.x1]
        strip[...] = strip // 3
        self.letters.write(self.picture, place, text, _lighter(colour))

    def legend_size(self, kinds: Mapping[str, Colour]) -> tuple[int, int]:
        """Width and height of a column of swatches and words."""
        sizes = [self.letters.size(kind) for kind in kinds]
        return max(width for width, _ in sizes) + sizes[0][1], sum(height for _, height in sizes)

    def legend(self, place: Rect, kinds: Mapping[str, Colour]) -> None:
        """A column of swatches and words on a darkened part of the picture."""
        strip = self.picture[place.y0 : place.y1, place.x0 : place.x1]
        strip[...] = strip // 3
        top = place.y0
        for kind, colour in kinds.items():
            _, height = self.letters.size(kind)
            edge = max(height // 4, 1)
            swatch = (place.x0 + edge, top + edge), (place.x0 + height - edge, top + height - edge)
            cv2.rectangle(self.picture, *swatch, colour, cv2.FILLED)
            self.letters.write(
                self.picture, Rect(place.x0 + height, top, place.x1, top + height), kind, _lighter(colour)
            )
            top += height

    def lamp(self, row: int, group: str, colour: Colour) -> Rect:
        """One signal group at the right border; where it stands."""
        width, height = self.letters.size(group)
        right, top = self.picture.shape[1], round(row * height * 1.1)
        place = Rect(right - width - height, top, right, top + height)
        cv2.rectangle(self.picture, place[:2], (place.x1, place.y1), DARK, cv2.FILLED)
        centre = (right - height // 2, top + height // 2)
        cv2.circle(self.picture, centre, max(height // 3, 2), colour, cv2.FILLED, cv2.LINE_AA)
        self.letters.write(self.picture, place, group, WHITE)
        return place

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


def _object_text(seen: Objects, row: int, short: bool) -> str:
    """What a label says of an object."""
    label = seen.labels[seen.class_id[row]]
    if not isinstance(seen, Tracks):
        return label if short else f"{label} {seen.confidence[row]:.2f}"
    number, speed = seen.track_id[row], seen.speed_kmh[row]
    if short:
        return f"{number}" if np.isnan(speed) else f"{number} {speed:.0f}"
    return f"{number} {label}" if np.isnan(speed) else f"{number} {label} {speed:.0f} km/h"


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
