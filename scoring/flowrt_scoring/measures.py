"""Errors of speeds and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from flowrt import VEHICLES, LaneInterval, Message, Tracks
from flowrt_scoring.reference import Reference
from flowrt_sim.street.layout import exit_leg

EVERY_PICTURES = 5
SAME_M = 2.5
MOVES_KMH = 3.6
"""Slower vehicles are left out: standing ones would only make the error look smaller."""


@dataclass
class SpeedErrors:
    """Absolute errors of the speeds of moving vehicles, against the road user nearest to each track."""

    reference: Reference
    errors_kmh: list[float] = field(default_factory=list)

    def observe(self, node: str, tracks: Message) -> None:
        """Compare one picture in EVERY_PICTURES."""
        if not isinstance(tracks, Tracks) or tracks.frame_number % EVERY_PICTURES:
            return
        rows = np.flatnonzero(tracks.of_class(VEHICLES) & np.isfinite(tracks.speed_kmh))
        _, states = self.reference.at(tracks.time_s)
        vehicles = states[states[:, 4] > 0]
        if not len(rows) or not len(vehicles):
            return
        away = tracks.ground_m[rows][:, None, :] - vehicles[None, :, :2]
        distance = np.hypot(away[..., 0], away[..., 1])
        nearest = distance.argmin(axis=1)
        true_kmh = vehicles[nearest, 2]
        usable = (distance.min(axis=1) <= SAME_M) & (true_kmh > MOVES_KMH)
        self.errors_kmh.extend(np.abs(tracks.speed_kmh[rows] - true_kmh)[usable].tolist())


@dataclass
class Counts:
    """Vehicles per lane and per turning movement, true and counted. Keys: (leg, lane), and (leg, lane, exit leg)."""

    true_lanes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    counted_lanes: Counter[tuple[str, ...]] = field(default_factory=Counter)
    true_turns: Counter[tuple[str, ...]] = field(default_factory=Counter)
    counted_turns: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, reference: Reference, intervals: Iterable[LaneInterval], legs: dict[str, str]) -> None:
        """Add one run. legs: camera node to leg."""
        for true, numbers in ((self.true_lanes, reference.lanes), (self.true_turns, reference.movements)):
            true.update({key: number for key, number in numbers.items() if key[0] in legs.values()})
        for interval in intervals:
            leg = legs.get(interval.camera_id, "")
            if not interval.lane_id.startswith("in_"):
                continue
            self.counted_lanes[leg, interval.lane_id] += interval.vehicle_count
            for movement, number in interval.turning_movements.items():
                self.counted_turns[leg, interval.lane_id, _exit_leg(leg, movement)] += number

    @property
    def error(self) -> float | None:
        """The larger of the two relative errors; None without traffic or without a node that counts."""
        if not self.true_lanes or not self.counted_lanes:
            return None
        errors = [_relative(self.true_lanes, self.counted_lanes)]
        if self.counted_turns:
            errors.append(_relative(self.true_turns, self.counted_turns))
        return max(errors)


def _exit_leg(leg: str, movement: str) -> str:
    """The leg by which a vehicle left: of a turn, or of `from-to` where the scene does not name the approaches."""
    if movement in ("left", "through", "right", "u_turn"):
        return exit_leg(leg, movement)
    return movement.rpartition("-")[2].removeprefix("exit_")


def _relative(true: Counter[tuple[str, ...]], counted: Counter[tuple[str, ...]]) -> float:
    """Sum of absolute differences over the true total."""
    return sum(abs(true[key] - counted[key]) for key in {*true, *counted}) / max(sum(true.values()), 1)
