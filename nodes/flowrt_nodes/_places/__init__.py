"""Flows to begin with, for kinds of places: what `flowrt new NAME --template KIND` writes (entry-point group `flowrt.templates`).

Without a camera the simulated intersection stands in. A real camera gets a scene to be drawn, in shares of its picture, and only the
nodes that need no metres: those wait in comments until the road is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flowrt.addresses import passwords
from flowrt_nodes._places.flow import PUBLIC_MODEL, flow_text, variable
from flowrt_nodes._places.kinds import KINDS, Place
from flowrt_nodes._places.scene import scene_text

TEMPLATES: Mapping[str, str] = {name: kind.about for name, kind in KINDS.items()}
"""Each template, and what it is for."""


def texts(
    template: str, name: str, addresses: Sequence[str], model: str, sizes_px: Sequence[tuple[int, int]]
) -> dict[Path, str]:
    """What to write, by file: the flow and what its cameras see.

    addresses: of real cameras, at most as many as the place has approaches; none: the simulation. model: of real cameras, empty for a
    public one. sizes_px: of the cameras' pictures. Raises ValueError for more cameras than approaches.
    """
    kind = KINDS[template]
    legs = legs_of(kind, template, addresses) if addresses else kind.legs
    return {
        Path(f"{name}.yaml"): flow_text(kind, template, name, legs, addresses, model),
        Path(f"{name}.scene.yaml"): scene_text(kind, name, legs, sizes_px),
    }


def cameras(template: str, addresses: Sequence[str]) -> dict[str, str]:
    """The given cameras by the approach that they watch. Raises ValueError for more cameras than approaches."""
    return dict(zip(legs_of(KINDS[template], template, addresses), addresses, strict=True))


def legs_of(kind: Place, template: str, addresses: Sequence[str]) -> Sequence[str]:
    """The approaches that cameras are given for."""
    if len(addresses) > len(kind.legs):
        count = len(kind.legs)
        many = f"{count} approach{'es' if count > 1 else ''}"
        raise ValueError(f"{template} has {many}, and {len(addresses)} cameras are given")
    return kind.legs[: len(addresses)]


def notes(template: str, name: str, addresses: Sequence[str], model: str) -> list[str]:
    """What there is to do before it runs."""
    if not addresses:
        return []
    lines = [f"draw your roads in {name}.scene.yaml: its shapes lie where roads often are"]
    for leg, address in cameras(template, addresses).items():
        if passwords(address):
            lines.append(f"the address of {leg} has a password, which is not written down: export {variable(leg)}='…'")
    if not model:
        lines.append(f"its model is downloaded by `flowrt models fetch {PUBLIC_MODEL}`")
    return lines
