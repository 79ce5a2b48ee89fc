"""Paths of vehicles through the intersection: lane, turn, exit lane, sampled at a fixed spacing.

Invariants: `s` is metres along the path; every path of an inbound lane starts at the same point, so positions before the
stop line compare directly; behind `exit_s` a path runs in its exit lane, and positions relative to `exit_s` compare with
every other path into that lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from flowrt_sim.street.layout import OPPOSITE, TURNS, Layout, exit_leg

Array = npt.NDArray[np.float64]

SPACING_M = 0.25
ENTRY_M = 120.0
"""Distance from the middle at which vehicles appear and disappear."""
COMFORT_MSS = 2.2
"""Lateral acceleration that drivers accept in a turn."""


@dataclass(frozen=True, eq=False)
class Route:
    """A path. `kind` is a turn, or wrong_way or bay; `x`, `y`, `heading` are lists for fast single look-ups.

    `stop_s`, `exit_s` are where the stop line is crossed and the exit lane begins; `cross_in_s`, `cross_out_s` the
    (entry, end) of the own and the exit leg's crosswalk; `wait_s` where a driver waits for oncoming traffic;
    `turn_speed_ms` the speed in the turn between `turn_s`; `hold_s` where a stop in the bay is made.
    """

    leg: str
    lane: int
    kind: str
    exit: str
    exit_lane: int
    points_m: Array
    x: tuple[float, ...]
    y: tuple[float, ...]
    heading: tuple[float, ...]
    stop_s: float
    exit_s: float
    cross_in_s: tuple[float, float]
    cross_out_s: tuple[float, float]
    turn_s: tuple[float, float]
    turn_speed_ms: float
    wait_s: float
    hold_s: float

    @property
    def length_m(self) -> float:
        """Length of the path."""
        return (len(self.x) - 1) * SPACING_M

    def at(self, s: float) -> tuple[float, float, float]:
        """Position and heading at `s`, straight on beyond the ends."""
        place = s / SPACING_M
        index = min(max(int(place), 0), len(self.x) - 2)
        share = place - index
        x, y = self.x[index], self.y[index]
        turn = self.heading[index + 1] - self.heading[index]
        turn = (turn + np.pi) % (2 * np.pi) - np.pi
        part = min(max(share, 0.0), 1.0)
        return (
            x + share * (self.x[index + 1] - x),
            y + share * (self.y[index + 1] - y),
            self.heading[index] + part * turn,
        )


def arc(middle: tuple[float, float], radius: float, start: float, end: float) -> Array:
    """Points of a circular arc."""
    angles = np.linspace(start, end, 33)
    return np.column_stack([middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)])


@lru_cache(maxsize=256)
def route(layout: Layout, leg: str, lane: int, kind: str) -> Route:
    """The path from an inbound lane; `kind` is left, through, right, u_turn, wrong_way or bay_through, bay_right."""
    turn = kind.removeprefix("bay_") if kind.startswith("bay_") else kind
    turn = "through" if turn == "wrong_way" else turn
    if turn not in TURNS:
        raise KeyError(kind)
    side = layout.lane_side_m(lane, True)
    leaving = exit_leg(leg, turn)
    exit_lane = {"left": 1, "through": lane, "right": layout.lanes_out, "u_turn": layout.lanes_out}[turn]
    exit_side = layout.lane_side_m(exit_lane, False)
    begin = [(ENTRY_M, side)]
    if kind == "wrong_way":
        begin += _shift(86.0, 70.0, side, -side) + _shift(42.0, 26.0, -side, side)
    near, turn_speed = 0.0, 99.0
    if turn == "right":
        near = layout.in_edge_m + layout.corner_m
        middle = _between(layout, leg, leaving, near, near)
        curve = _quarter(layout, leg, leaving, side, exit_side, near, middle)
        turn_speed = float(np.sqrt(COMFORT_MSS * (near - side)))
    elif turn == "left":
        near = layout.crosswalk_m[0]
        curve = _quarter(layout, leg, leaving, side, exit_side, near, None)
        turn_speed = float(np.sqrt(COMFORT_MSS * (near + side)))
    elif turn == "u_turn":
        near = layout.crosswalk_m[0] - 1.5
        radius = (side - exit_side) / 2
        bend = arc((near, (side + exit_side) / 2), radius, np.pi / 2, 3 * np.pi / 2)
        curve = layout.world(leg, bend)
        turn_speed = float(np.sqrt(COMFORT_MSS * radius)) * 0.95
    else:
        curve = layout.world(leg, [(layout.crosswalk_m[0], side)])
    end = [(layout.crosswalk_m[0] + 0.2 if turn != "right" else near + 0.2, exit_side)]
    hold_out = -1.0
    if kind.startswith("bay_"):
        bay_side = layout.out_edge_m - layout.bay_width_m * 0.55
        first, last = layout.bay_m
        end += _shift(first - 2.0, first + 7.0, exit_side, bay_side) + _shift(
            last - 8.0, last + 3.0, bay_side, exit_side
        )
        hold_out = (first + last) / 2 + 3.0
    end.append((ENTRY_M + 5.0, exit_side))
    raw = np.concatenate([layout.world(leg, begin), curve, layout.world(leaving, end)])
    points = _resample(raw)
    return _measured(layout, leg, lane, kind, leaving, exit_lane, points, near, turn_speed, hold_out)


def _between(layout: Layout, leg: str, leaving: str, a: float, b: float) -> tuple[float, float]:
    corner = layout.world(leg, [(a, 0.0)])[0] + layout.world(leaving, [(b, 0.0)])[0]
    return float(corner[0]), float(corner[1])


def _quarter(
    layout: Layout,
    leg: str,
    leaving: str,
    side: float,
    exit_side: float,
    near: float,
    middle: tuple[float, float] | None,
) -> Array:
    """A quarter circle from (near, side) on the entry leg to (near, exit_side) on the exit leg."""
    middle = middle or _between(layout, leg, leaving, near, near)
    start = layout.world(leg, [(near, side)])[0]
    end = layout.world(leaving, [(near, exit_side)])[0]
    a = np.arctan2(start[1] - middle[1], start[0] - middle[0])
    b = np.arctan2(end[1] - middle[1], end[0] - middle[0])
    b = a + (b - a + np.pi) % (2 * np.pi) - np.pi
    return arc(middle, float(np.hypot(start[0] - middle[0], start[1] - middle[1])), float(a), float(b))


def _shift(start: float, end: float, side: float, to: float) -> list[tuple[float, float]]:
    """A smooth change of side between two distances from the middle."""
    share = np.linspace(0, 1, 17)
    outs = start + (end - start) * share
    sides = side + (to - side) * (1 - np.cos(np.pi * share)) / 2
    return [(float(o), float(v)) for o, v in zip(outs, sides, strict=True)]


def _resample(raw: Array) -> Array:
    steps = np.hypot(*np.diff(raw, axis=0).T)
    keep = np.concatenate([[True], steps > 1e-6])
    raw = raw[keep]
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(raw, axis=0).T))])
    at = np.arange(0.0, along[-1], SPACING_M)
    return np.column_stack([np.interp(at, along, raw[:, 0]), np.interp(at, along, raw[:, 1])])


def _first(values: npt.NDArray[np.bool_]) -> float:
    found = np.flatnonzero(values)
    return float(found[0] * SPACING_M) if len(found) else -1.0


def _measured(
    layout: Layout, leg: str, lane: int, kind: str, leaving: str, exit_lane: int, points: Array, near: float,
    turn_speed: float, hold_out: float,
) -> Route:  # fmt: skip
    ahead = np.gradient(points, axis=0)
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    own, other = layout.leg_of(leg, points), layout.leg_of(leaving, points)
    near_out, far_out = layout.crosswalk_m
    half = len(points) // 2
    order = np.arange(len(points))
    early = order < half if leg == leaving else own[:, 0] > 0
    late = order >= half if leg == leaving else np.ones(len(points), np.bool_)
    stop = _first(early & (own[:, 0] <= layout.stop_line_m))
    cross_in = (_first(early & (own[:, 0] <= far_out)), _first(early & (own[:, 0] <= near_out)))
    in_lane = late & (np.abs(other[:, 1] - layout.lane_side_m(exit_lane, False)) < 0.3) & (other[:, 0] > 0)
    exit_s = _first(in_lane & (other[:, 0] >= near_out))
    cross_out = (_first(late & (other[:, 0] >= near_out) & (other[:, 1] < 0)), _first(late & (other[:, 0] >= far_out)))
    turning = (0.0, 0.0)
    if near:
        turning = (
            _first(early & (own[:, 0] <= near)),
            _first(late & (other[:, 0] >= near) & (order * SPACING_M > stop)),
        )
    wait = -1.0
    if kind in ("left", "u_turn"):
        opposing = layout.leg_of(OPPOSITE[leg], points)
        wait = _first((opposing[:, 1] > -0.6) & (order * SPACING_M > stop)) - 1.0
    hold = _first(late & (other[:, 0] >= hold_out)) if hold_out > 0 else -1.0
    return Route(
        leg, lane, kind, leaving, exit_lane, points, tuple(points[:, 0].tolist()), tuple(points[:, 1].tolist()),
        tuple(heading.tolist()), stop, exit_s, cross_in, cross_out, turning, turn_speed, wait, hold,
    )  # fmt: skip
