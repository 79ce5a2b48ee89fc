"""The scenes of a place, with a comment on each part: those of the simulation, or shapes to be drawn on a real camera's picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowrt_nodes._places.kinds import Place

HEAD = """\
# What the cameras of `{name}` see. Points are pixels of a picture of `picture_px`, x to the right, y down; names are yours to choose,
# and the flow's nodes speak of them. docs/scene.md has every key.
scene:
"""
TO_DRAW = """\
    # These shapes lie where roads often are. Move each point to where it belongs in {picture}: the road is as good as they are.
"""
NO_METRES = """\
    # Metres: at least four points on the road, far from each other, in the picture and as measured on site or on an aerial picture.
    # `flowrt check` says how good they are. Without them there are no speeds, and no rules that need distances.
    # homography:
    #   image_px: [[x, y], [x, y], [x, y], [x, y]]
    #   ground_m: [[0, 0], [7, 0], [7, 30], [0, 30]]
"""
ABOUT: Mapping[str, str] = {
    "homography": "The same points in the picture and on the road, in metres.",
    "in_": "A lane that leads to the stop line. `heading`: the lawful direction in the picture; `limit_kmh`: the limit.",
    "out_": "A lane that leads away.",
    "stop_line": "Where vehicles wait, from kerb to kerb. `signal`: the controller's group.",
    "exit_": "A line that is crossed on the way out, for turns.",
    "count": "Every crossing of this line is counted, by direction.",
    "crosswalk": "The crosswalk. `signal`: the pedestrians' group.",
    "conflict_": "Where vehicles meet pedestrians: the part of the crosswalk that a stream of traffic drives over.",
    "carriageway": "The whole road: walking here, but for the crosswalk, is jaywalking.",
    "no_stopping": "Where standing is forbidden.",
    "sidewalk_": "A sidewalk, from which people step onto the crosswalk.",
}
_GROUPS = {
    "north": ("phase_2", "ped_4"),
    "east": ("phase_4", "ped_2"),
    "south": ("phase_2", "ped_4"),
    "west": ("phase_4", "ped_2"),
}
Shape = tuple[tuple[float, float], ...]
_LINES: dict[str, tuple[Shape, str]] = {
    "stop_line": (((0.51, 0.7), (0.21, 0.7)), "stop_line"),
    "exit_left": (((0.06, 0.86), (0.06, 0.97)), "exit"),
    "exit_right": (((0.94, 0.97), (0.94, 0.86)), "exit"),
    "count": (((0.66, 0.6), (0.26, 0.6)), "count"),
}
"""Shares of the picture's width and height, by name, with the kind: of a camera above the road that looks at oncoming traffic."""
_ZONES: dict[str, tuple[Shape, str, tuple[float, float] | None]] = {
    "in_1": (((0.38, 0.3), (0.44, 0.3), (0.36, 0.71), (0.22, 0.71)), "lane", (-0.3, 1)),
    "in_2": (((0.44, 0.3), (0.5, 0.3), (0.5, 0.71), (0.36, 0.71)), "lane", (-0.1, 1)),
    "out_1": (((0.5, 0.3), (0.57, 0.3), (0.66, 0.71), (0.5, 0.71)), "lane", (-0.1, -1)),
    "crosswalk": (((0.17, 0.75), (0.71, 0.75), (0.74, 0.85), (0.12, 0.85)), "crosswalk", None),
    "conflict_in": (((0.17, 0.75), (0.5, 0.75), (0.5, 0.85), (0.12, 0.85)), "conflict", (-0.2, 1)),
    "conflict_out": (((0.5, 0.75), (0.71, 0.75), (0.74, 0.85), (0.5, 0.85)), "conflict", (-0.1, -1)),
    "carriageway": (((0.37, 0.3), (0.58, 0.3), (0.76, 0.9), (0.09, 0.9)), "carriageway", None),
    "no_stopping": (((0.385, 0.4), (0.43, 0.4), (0.38, 0.6), (0.29, 0.6)), "no_stopping", None),
    "sidewalk_in": (((0.3, 0.3), (0.36, 0.3), (0.08, 0.9), (0.01, 0.9)), "sidewalk", None),
    "sidewalk_out": (((0.59, 0.3), (0.65, 0.3), (0.87, 0.9), (0.78, 0.9)), "sidewalk", None),
}


def scene_text(kind: Place, name: str, legs: Sequence[str], sizes_px: Sequence[tuple[int, int]]) -> str:
    """The file. sizes_px: of the pictures of real cameras; none for the simulation."""
    text = HEAD.format(name=name)
    for number, leg in enumerate(legs):
        if sizes_px:
            scene, extra = (
                _to_draw(kind, leg, sizes_px[number]),
                TO_DRAW.format(picture=f"{name}.{leg}.jpg") + NO_METRES,
            )
        else:
            scene, extra = _simulated(kind, leg), ""
        text += f"  {leg}:\n" + extra + _entries(scene)
    return text


def _entries(scene: Mapping[str, Any]) -> str:
    lines = []
    for key, value in scene.items():
        if not isinstance(value, Mapping):
            lines.append(f"    {key}: {_flow(value)}")
            continue
        if key in ABOUT:
            lines.append(f"    # {ABOUT[key]}")
        lines.append(f"    {key}:")
        said = set()
        for name, item in value.items():
            about = _element(name)
            if about in ABOUT and about not in said and key in ("lines", "zones"):
                said.add(about)
                lines.append(f"      # {ABOUT[about]}")
            lines.append(f"      {name}: {_flow(item)}")
    return "\n".join(lines) + "\n"


def _element(name: str) -> str:
    """`in_` of `in_2`; the name itself of those that there are once."""
    return name if name in ABOUT else name[: name.index("_") + 1] if "_" in name else name


def _simulated(kind: Place, leg: str) -> dict[str, Any]:
    from flowrt_sim.camera.scene import scene  # brings the simulation with it
    from flowrt_sim.street.layout import Layout

    full = scene(Layout(), leg)
    full["lines"] = {name: line for name, line in full["lines"].items() if _element(name) in kind.elements}
    full["zones"] = {name: zone for name, zone in full["zones"].items() if _element(name) in kind.elements}
    if "count" in kind.elements:
        ends = [full["zones"]["in_2"]["zone"][i] for i in (0, 1)]
        full["lines"]["count"] = {"line": ends, "kind": "count"}
    if not full["lines"]:
        del full["lines"]
    if not kind.signalised:
        del full["lamps"]
        for zone in full["zones"].values():
            zone.pop("signal", None)
    return full


def _to_draw(kind: Place, leg: str, size_px: tuple[int, int]) -> dict[str, Any]:
    phase, walk = _GROUPS[leg]
    lines: dict[str, Any] = {}
    for name, (shape, line_kind) in _LINES.items():
        if _element(name) in kind.elements:
            signal = {"signal": phase, "approach": leg} if name == "stop_line" else {}
            lines[name] = {"line": _points(shape, size_px), "kind": line_kind, **signal}
    zones: dict[str, Any] = {}
    for name, (shape, zone_kind, heading) in _ZONES.items():
        if _element(name) not in kind.elements:
            continue
        zone = zones[name] = {"zone": _points(shape, size_px), "kind": zone_kind}
        if heading is not None:
            zone["heading"] = list(heading)
        if zone_kind == "lane":
            zone |= {"limit_kmh": 50, "direction": "inbound" if name.startswith("in_") else "outbound"}
        if kind.signalised and (name == "crosswalk" or name.startswith("in_")):
            zone["signal"] = walk if name == "crosswalk" else phase
    scene = {"picture_px": list(size_px), "position": leg, "lines": lines, "zones": zones}
    return {key: value for key, value in scene.items() if value}


def _points(shape: Shape, size_px: tuple[int, int]) -> list[list[int]]:
    return [[round(x * size_px[0]), round(y * size_px[1])] for x, y in shape]


def _flow(value: Any) -> str:
    return "".join(_pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        yield "[" + ", ".join(map(_flow, value)) + "]"
    elif isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, float):
        yield f"{round(value, 3):g}" if abs(value) < 10 else f"{round(value, 1):g}"
    else:
        yield str(value)
