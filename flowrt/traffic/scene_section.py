"""The `scene` section of flow files: one entry per camera, in the words a traffic engineer draws in, made into a `Scene`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as ReadOnly
from typing import Annotated, Any

import msgspec

from flowrt.config.report import Report
from flowrt.config.sections import FlowParts, Section, Use
from flowrt.config.values import INVALID, SettingsReader
from flowrt.config.yaml import Mapping, Scalar, Yaml, join
from flowrt.diagnostics import Diagnostic, Mark
from flowrt.node import setting
from flowrt.traffic.checks.drawing import check_scene
from flowrt.traffic.checks.simulation import mixtures
from flowrt.traffic.kinds import Position
from flowrt.traffic.scene import Homography, Lamp, Line, LineKind, Point, Scene, Zone, ZoneKind
from flowrt.traffic.states import SignalState

Side = Annotated[int, setting("Pixels.", ge=1, le=16384)]
Lens = Annotated[tuple[float, float, float], setting("x, y and radius in pixels.")]
Signal = Annotated[str, setting("The signal group that governs it.")]


class StopLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The line that vehicles stop at."""

    line: Annotated[tuple[Point, Point], setting("Two points in pixels: [[x, y], [x, y]].")]
    signal: Signal = ""
    approach: Annotated[str, setting("The approach it belongs to.")] = ""


class AnyLine(StopLine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directed line of any kind; crossing it from left to right, seen along the line, is forward."""

    kind: Annotated[LineKind, setting("What the line is for.")] = "count"


class Area(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A polygon on the road."""

    zone: Annotated[list[Point], setting("The polygon's corners in pixels: [[x, y], …].", min_length=3)]
    heading: Annotated[Point | None, setting("Lawful direction of travel in the picture: [dx, dy].")] = None
    limit_kmh: Annotated[float, setting("Speed limit.", gt=0, le=300)] | None = None
    signal: Signal = ""
    direction: Annotated[str, setting("Direction of traffic, for reports: inbound, northbound, …")] = ""


class AnyArea(Area, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A polygon of any kind."""

    kind: Annotated[ZoneKind, setting("What the zone is.")] = "other"


class SignalHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the lenses of a signal head are in the picture."""

    red: Lens
    green: Lens
    amber: Lens | None = None
    signal: Annotated[str, setting("The signal group it shows; by default the lamp's own name.")] = ""


class GroundPoints(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same points in the picture and on the road plane."""

    image_px: Annotated[list[Point], setting("At least four points of the picture, in pixels.", min_length=4)]
    ground_m: Annotated[list[Point], setting("The same points on the road, in metres.", min_length=4)]


class SceneBlock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The geometry of one camera's picture."""

    picture_px: Annotated[tuple[Side, Side], setting("Width and height of the picture that the points were drawn in.")]
    position: Annotated[Position, setting("The approach that the camera watches.")] = ""
    stop_line: Annotated[StopLine | None, setting("The stop line; its name is `stop_line`.")] = None
    lanes: Annotated[dict[str, Area], setting("Lanes by name.")] = {}
    crosswalk: Annotated[Area | None, setting("The crosswalk; its name is `crosswalk`.")] = None
    crosswalks: Annotated[dict[str, Area], setting("Several crosswalks by name.")] = {}
    lines: Annotated[dict[str, AnyLine], setting("Other lines by name.")] = {}
    zones: Annotated[dict[str, AnyArea], setting("Other zones by name.")] = {}
    lamps: Annotated[dict[str, SignalHead], setting("Signal heads visible in the picture, by name.")] = {}
    homography: Annotated[GroundPoints | None, setting("From picture to road plane.")] = None
    simulated: Annotated[
        bool, setting("It is the simulator's own scene, as `flowrt sim scene` writes it, and fits no real camera.")
    ] = False


def _read_scene(name: str, node: Any, path: str, report: Report) -> Scene | None:
    block = SettingsReader(report).struct(node, SceneBlock, path, f"scene '{name}'", node.mark)
    if block is INVALID:
        return None
    _unique_names(node, path, report)
    lines, locations = _lines(block)
    zones, zone_locations = _zones(block)
    scene = Scene(
        name=name,
        picture_px=block.picture_px,
        position=block.position,
        simulated=block.simulated,
        lines=lines,
        zones=zones,
        lamps={
            key: Lamp(signal=head.signal or key, red=head.red, green=head.green, amber=head.amber)
            for key, head in block.lamps.items()
        },
        homography=block.homography
        and Homography(image_px=tuple(block.homography.image_px), ground_m=tuple(block.homography.ground_m)),
    )
    check_scene(scene, node, path, locations | zone_locations, report)
    return scene


Locations = dict[tuple[str, str], tuple[str, ...]]


def _lines(block: SceneBlock) -> tuple[dict[str, Line], Locations]:
    lines: dict[str, Line] = {}
    locations: Locations = {}
    if block.stop_line is not None:
        lines["stop_line"] = _line("stop_line", block.stop_line, "stop_line")
        locations["line", "stop_line"] = ("stop_line",)
    for name, line in block.lines.items():
        lines[name] = _line(name, line, line.kind)
        locations["line", name] = ("lines", name)
    return lines, locations


def _line(name: str, line: StopLine, kind: LineKind) -> Line:
    return Line(name=name, points=line.line, kind=kind, signal=line.signal, approach=line.approach)


def _zones(block: SceneBlock) -> tuple[dict[str, Zone], Locations]:
    zones: dict[str, Zone] = {}
    locations: Locations = {}

    def add(name: str, area: Area, kind: ZoneKind, *steps: str) -> None:
        zones[name] = Zone(
            name=name,
            points=tuple(area.zone),
            kind=kind,
            heading=area.heading,
            limit_kmh=area.limit_kmh,
            signal=area.signal,
            direction=area.direction,
        )
        locations["zone", name] = steps

    for name, area in block.lanes.items():
        add(name, area, "lane", "lanes", name)
    if block.crosswalk is not None:
        add("crosswalk", block.crosswalk, "crosswalk", "crosswalk")
    for name, area in block.crosswalks.items():
        add(name, area, "crosswalk", "crosswalks", name)
    for name, area in block.zones.items():
        add(name, area, area.kind, "zones", name)
    return zones, locations


def _unique_names(node: Mapping, path: str, report: Report) -> None:
    """Lanes, crosswalks and zones share one set of names, and so do lines."""
    for single, groups in (("crosswalk", ("lanes", "crosswalks", "zones")), ("stop_line", ("lines",))):
        seen = {single: node.key(single)} if single in node.items else {}
        for group in groups:
            block = node.items.get(group)
            for name, mark in block.keys.items() if isinstance(block, Mapping) else ():
                if name in seen:
                    hint = f"it is already in line {seen[name].line}: choose another name"
                    report.add(mark, join(join(path, group), name), f"the name '{name}' is taken", hint)
                seen.setdefault(name, mark)


class SceneSection(Section):
    """The `scene` section."""

    key = "scene"
    description = "The geometry of each camera's picture, by name."
    struct = SceneBlock
    parts = {"zone": "A zone of the scene.", "line": "A line of the scene."}
    published = {"signal": (SignalState, "signal group")}

    def read(self, name: str, node: Yaml, path: str, report: Report) -> Scene | None:
        """The scene of one entry; None where its values could not be read."""
        return _read_scene(name, node, path, report)

    def names(self, entry: Scene, part: str) -> Collection[str]:
        """The zones or lines of a scene."""
        return entry.zones if part == "zone" else entry.lines

    def notes(self, entry: Scene) -> Iterable[str]:
        """How good the homography is."""
        if entry.calibration is None:
            return ()
        from flowrt.traffic.calibration import lines  # brings numpy; a flow without metres need not wait for it

        return lines(entry.calibration)

    def check(self, entries: ReadOnly[str, Scene], flow: FlowParts) -> Iterable[tuple[str, Diagnostic]]:
        """Real cameras together with what holds in the simulation only."""
        return mixtures(entries, flow)

    def uses(self, entry: Scene, node: Yaml, path: str) -> Iterable[Use]:
        """Every signal group that the scene's text names."""
        for at, mark, name in _signals_of(node, path):
            if name in entry.signals:
                yield Use("signal", name, at, mark)


def _signals_of(node: Yaml, path: str) -> Iterator[tuple[str, Mark, str]]:
    """Path, place and name of every signal group below a scene's node."""
    for key, item in node.items.items() if isinstance(node, Mapping) else ():
        if isinstance(item, Mapping):
            yield from _signals_of(item, join(path, key))
        elif key == "signal" and isinstance(item, Scalar) and item.value:
            yield join(path, key), item.mark, str(item.value)


SECTION = SceneSection()
