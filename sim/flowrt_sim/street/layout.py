"""The ground plan of a four-way intersection: legs, lanes, stop lines, crosswalks, sidewalks, bays.

Invariants: the four legs are the same plan turned by 90 degrees. A leg's own coordinates are `out` (metres away from the
middle) and `side` (metres to the right of the inbound driver): inbound lanes lie at side > 0, outbound lanes at side < 0.
Lane 1 is the innermost. Traffic keeps right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEGS = ("north", "east", "south", "west")
OUTWARD = {"north": (0.0, 1.0), "east": (1.0, 0.0), "south": (0.0, -1.0), "west": (-1.0, 0.0)}
CLOCKWISE = {"north": "east", "east": "south", "south": "west", "west": "north"}
OPPOSITE = {"north": "south", "east": "west", "south": "north", "west": "east"}
TURNS = ("left", "through", "right", "u_turn")
BANNED_TURNS = (
    ("north", "north"), ("east", "east"), ("south", "south"), ("west", "west"), ("east", "south"), ("west", "north"),
)  # fmt: skip
"""Entry and exit legs of the turns that are banned: all U-turns, and left turns from east and west."""
LANE_END_M = 72.0
"""How far from the middle of the box lanes are watched: the end of the scene's lane zones, and of what the referee measures in lanes."""


def exit_leg(leg: str, turn: str) -> str:
    """The leg by which a vehicle from `leg` leaves after `turn` (driving in from the north, left leads east)."""
    return {"left": CLOCKWISE[leg], "through": OPPOSITE[leg], "right": CLOCKWISE[OPPOSITE[leg]], "u_turn": leg}[turn]


def to_leg(leg: str, x: float, y: float) -> tuple[float, float]:
    """A world point as (out, side) of a leg."""
    ux, uy = OUTWARD[leg]
    return x * ux + y * uy, y * ux - x * uy


def nearest_leg(x: float, y: float) -> tuple[str, float, float]:
    """The leg in whose direction a world point lies, and the point as (out, side) of it."""
    if abs(y) >= abs(x):
        leg = "north" if y > 0 else "south"
    else:
        leg = "east" if x > 0 else "west"
    return leg, *to_leg(leg, x, y)


@dataclass(frozen=True)
class Layout:
    """Sizes in metres. `crosswalk_m` and `stop_line_m` are measured outwards from the middle of the intersection.

    `bay_m` is the (near, far) extent of the no-stopping bay beside the outbound lanes, `bay_width_m` its width.
    """

    lanes_in: int = 2
    lanes_out: int = 2
    lane_width_m: float = 3.5
    crosswalk_m: tuple[float, float] = (10.5, 14.0)
    stop_line_m: float = 16.0
    sidewalk_width_m: float = 3.2
    corner_m: float = 5.0
    bay_m: tuple[float, float] = (22.0, 46.0)
    bay_width_m: float = 2.6
    limit_kmh: float = 50.0

    @property
    def in_edge_m(self) -> float:
        """Where the kerb of the inbound side is (side > 0)."""
        return self.lanes_in * self.lane_width_m

    @property
    def out_edge_m(self) -> float:
        """Where the kerb of the outbound side is (side < 0)."""
        return -self.lanes_out * self.lane_width_m

    def world(self, leg: str, points: Sequence[Sequence[float]] | Array) -> Array:
        """World points (N, 2) of leg points (N, 2) given as (out, side)."""
        ux, uy = OUTWARD[leg]
        given = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        return np.asarray(given[:, :1] * np.array([[ux, uy]]) + given[:, 1:] * np.array([[-uy, ux]]))

    def leg_of(self, leg: str, points_m: Array) -> Array:
        """Leg points (N, 2) as (out, side) of world points (N, 2)."""
        ux, uy = OUTWARD[leg]
        given = np.asarray(points_m, dtype=np.float64).reshape(-1, 2)
        return np.column_stack([given @ np.array([ux, uy]), given @ np.array([-uy, ux])])

    def lane_side_m(self, lane: int, inbound: bool) -> float:
        """The middle of lane 1, 2, ... in leg coordinates."""
        middle = (lane - 0.5) * self.lane_width_m
        return middle if inbound else -middle

    def rectangle(self, leg: str, out: tuple[float, float], side: tuple[float, float]) -> Array:
        """World corners (4, 2) of a rectangle in leg coordinates."""
        return self.world(leg, [(out[0], side[0]), (out[0], side[1]), (out[1], side[1]), (out[1], side[0])])

    def lane(self, leg: str, lane: int, inbound: bool, out: tuple[float, float]) -> Array:
        """World corners of a stretch of lane."""
        middle = self.lane_side_m(lane, inbound)
        return self.rectangle(leg, out, (middle - self.lane_width_m / 2, middle + self.lane_width_m / 2))

    def crosswalk(self, leg: str) -> Array:
        """World corners of a leg's crosswalk, kerb to kerb."""
        return self.rectangle(leg, self.crosswalk_m, (self.out_edge_m, self.in_edge_m))

    def conflict(self, leg: str, inbound: bool) -> Array:
        """The inbound or outbound half of a leg's crosswalk: where a vehicle meets pedestrians."""
        return self.rectangle(leg, self.crosswalk_m, (0.0, self.in_edge_m if inbound else self.out_edge_m))

    def stop_line(self, leg: str) -> Array:
        """World ends (2, 2) of a leg's stop line, from the middle of the road to the kerb."""
        return self.world(leg, [(self.stop_line_m, 0.0), (self.stop_line_m, self.in_edge_m)])

    def exit_line(self, leg: str) -> Array:
        """World ends (2, 2) of the line over a leg's outbound lanes, just behind the crosswalk."""
        return self.world(leg, [(self.stop_line_m, 0.0), (self.stop_line_m, self.out_edge_m)])

    def box(self) -> Array:
        """World corners of the square between the crosswalks."""
        near = self.crosswalk_m[0]
        return np.array([(-near, -near), (near, -near), (near, near), (-near, near)])

    def bay(self, leg: str) -> Array:
        """World corners of the no-stopping bay beside a leg's outbound lanes."""
        return self.rectangle(leg, self.bay_m, (self.out_edge_m, self.out_edge_m - self.bay_width_m))

    def corner_curve(self, leg: str, extra_m: float = 0.0, points: int = 9) -> Array:
        """The kerb (N, 2) at the corner between a leg's inbound side and its neighbour's outbound side, rounded.

        `extra_m` moves it away from the road, for the back edge of the sidewalk.
        """
        side, other = self.in_edge_m + extra_m, -self.out_edge_m + extra_m
        radius = max(self.corner_m - extra_m, 0.3)
        angles = np.linspace(0, np.pi / 2, points)
        outs = other + radius - radius * np.sin(angles)
        sides = side + radius - radius * np.cos(angles)
        return self.world(leg, np.column_stack([outs, sides]))
