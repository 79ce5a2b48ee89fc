"""Low-polygon bodies built from convex parts, ready for painter's order drawing.

Invariants: local axes are x forward, y left, z up, origin on the ground below the middle of the footprint. A part is
convex, so its front-facing faces never overlap each other and need no order; details (windows, lamps, wheels) lie a
little outside of their part and are drawn after its faces. Parts of a higher `level` stand on lower ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

PAINT, GLASS, DARK, HEADLAMP, TAILLAMP, SECOND, SKIN, METAL, PLATE, SIGNAL = range(10)
"""Palette slots of faces. An actor decides the colours of PAINT, SECOND and SKIN."""


@dataclass(frozen=True)
class Part:
    """Faces `first` to `last` (excluded) of a mesh, standing at `level`, with its middle in local metres."""

    first: int
    last: int
    level: int
    middle_m: Array


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3), faces as vertex indices, palette slot (F,), outward normals (F, 3), face middles (F, 3).

    `two_sided` (F,) marks thin faces that are seen from both sides. `swing` (V,) is how far along x a vertex moves at
    full stride (legs), in metres.
    """

    vertices_m: Array
    faces: tuple[npt.NDArray[np.intp], ...]
    slots: npt.NDArray[np.intp]
    normals: Array
    middles_m: Array
    two_sided: npt.NDArray[np.bool_]
    parts: tuple[Part, ...]
    swing_m: Array


@dataclass
class Builder:
    """Collects convex parts and their details into a Mesh."""

    vertices: list[Sequence[float]] = field(default_factory=list)
    swings: list[float] = field(default_factory=list)
    faces: list[list[int]] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    thin: list[bool] = field(default_factory=list)
    parts: list[tuple[int, int, int]] = field(default_factory=list)

    def face(self, points: Sequence[Sequence[float]], slot: int, two_sided: bool = False, swing: float = 0.0) -> None:
        """Add one planar face of its own vertices, anticlockwise seen from outside."""
        start = len(self.vertices)
        self.vertices.extend(points)
        self.swings.extend([swing] * len(points))
        self.faces.append(list(range(start, len(self.vertices))))
        self.slots.append(slot)
        self.thin.append(two_sided)

    def begin(self) -> int:
        """Index of the next face; pass it to `end` to close a part."""
        return len(self.faces)

    def end(self, first: int, level: int) -> None:
        """Make the faces since `first` one part."""
        self.parts.append((first, len(self.faces), level))

    def extrude(
        self,
        profile: Sequence[tuple[float, float]],
        half_width: float | Sequence[float],
        slot: int = PAINT,
        edge_slots: Sequence[int] | None = None,
        middle_y: float = 0.0,
        swing: float = 0.0,
    ) -> None:
        """Add a convex side profile of (x, z), anticlockwise seen from the right side, swept over y.

        `half_width` may differ per profile point (tapering roofs); `edge_slots[i]` colours the face from point i to i+1.
        """
        count = len(profile)
        widths = [half_width] * count if isinstance(half_width, (int, float)) else list(half_width)
        right = [(x, middle_y - w, z) for (x, z), w in zip(profile, widths, strict=True)]
        left = [(x, middle_y + w, z) for (x, z), w in zip(profile, widths, strict=True)]
        self.face(right, slot, swing=swing)
        self.face(left[::-1], slot, swing=swing)
        for i in range(count):
            j = (i + 1) % count
            colour = slot if edge_slots is None else edge_slots[i]
            self.face([right[j], right[i], left[i], left[j]], colour, swing=swing)

    def box(self, x: tuple[float, float], half_y: float, z: tuple[float, float], slot: int, **more: float) -> None:
        """Add an axis-parallel box; `middle_y` and `swing` as in `extrude`."""
        profile = [(x[0], z[0]), (x[1], z[0]), (x[1], z[1]), (x[0], z[1])]
        self.extrude(profile, half_y, slot, None, more.get("middle_y", 0.0), more.get("swing", 0.0))

    def side_quad(self, x: tuple[float, float], y: float, z: tuple[float, float], slot: int) -> None:
        """Add a detail on both sides of the body at distance `y` from the middle."""
        for side in (-1, 1):
            points = [(x[0], side * y, z[0]), (x[1], side * y, z[0]), (x[1], side * y, z[1]), (x[0], side * y, z[1])]
            self.face(points if side < 0 else points[::-1], slot)

    def end_quad(self, x: float, y: tuple[float, float], z: tuple[float, float], slot: int) -> None:
        """Add a detail on the front (x > 0) or the rear (x < 0)."""
        points = [(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])]
        self.face(points if x > 0 else points[::-1], slot)

    def wheels(self, xs: Sequence[float], y: float, radius: float, clear: float) -> None:
        """Add round wheels with hubs on both sides, and what is seen of the tyres below the body (to `clear` metres)."""
        for x in xs:
            for side in (-1, 1):
                for end in (-1, 1):
                    near, far = sorted((side * (y - 0.24), side * (y + 0.01)))
                    at = x + end * radius * 0.55
                    points = [(at, near, 0.0), (at, far, 0.0), (at, far, clear), (at, near, clear)]
                    self.face(points if end > 0 else points[::-1], DARK)
            for part, slot, out in ((radius, DARK, 0.01), (radius * 0.5, METAL, 0.02)):
                turn = np.arange(10) * 2 * np.pi / 10 + 0.3
                ring = [(x + part * np.cos(a), radius + part * np.sin(a)) for a in turn]
                lowest = min(z for _, z in ring)
                for side in (-1, 1):
                    points = [(px, side * (y + out), pz - (lowest if part == radius else 0)) for px, pz in ring]
                    self.face(points if side < 0 else points[::-1], slot)

    def build(self) -> Mesh:
        """The finished mesh."""
        vertices = np.array(self.vertices, dtype=np.float64)
        faces = tuple(np.array(f, dtype=np.intp) for f in self.faces)
        middles = np.array([vertices[f].mean(axis=0) for f in faces])
        normals = np.array([_normal(vertices[f]) for f in faces])
        parts = tuple(Part(a, b, level, middles[a:b].mean(axis=0)) for a, b, level in self.parts)
        slots, thin = np.array(self.slots, dtype=np.intp), np.array(self.thin, dtype=np.bool_)
        return Mesh(vertices, faces, slots, normals, middles, thin, parts, np.array(self.swings))


def _normal(points: Array) -> Array:
    """Unit normal of a planar polygon by Newell's method."""
    following = np.roll(points, -1, axis=0)
    normal = np.cross(points, following).sum(axis=0)
    return np.asarray(normal / max(float(np.linalg.norm(normal)), 1e-12))
