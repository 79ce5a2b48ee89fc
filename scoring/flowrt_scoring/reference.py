"""The truth about one simulated run: violations, the place of each road user at any time, and counts at the stop lines.

Times are seconds since the first picture, positions metres on the ground plane (the middle of a footprint).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowrt_sim.referee.definitions import Violation
from flowrt_sim.referee.referee import Referee
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.road_users import Vehicle
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.traffic.world import STEP_S, World
from flowrt_sim.uri import SimOptions

Floats = npt.NDArray[np.float32]


class TruthError(Exception):
    """A truth file that can't be used."""


class Place(NamedTuple):
    """Where a road user is, its speed and its length; `vehicle` is False for pedestrians."""

    x_m: float
    y_m: float
    speed_kmh: float
    length_m: float
    vehicle: bool


@dataclass
class Reference:
    """What really happened in one run.

    lanes: (leg, lane) to the vehicles whose front crossed the stop line. movements: (leg, lane, exit leg) to those that crossed
    the exit line too, both within the run.
    """

    options: SimOptions
    violations: list[Violation] = field(default_factory=list)
    lanes: Counter[tuple[str, str]] = field(default_factory=Counter)
    movements: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _numbers: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _states: list[Floats] = field(default_factory=list)

    def at(self, time_s: float) -> tuple[npt.NDArray[np.int64], Floats]:
        """(N,) numbers of road users and (N, 5) x, y, km/h, length, whether a vehicle, at the step nearest to a time."""
        index = min(max(round(time_s / STEP_S), 0), len(self._numbers) - 1)
        return self._numbers[index], self._states[index]

    def place(self, actor: int, time_s: float) -> Place | None:
        """Where one road user is; None when it is not in the world."""
        numbers, states = self.at(time_s)
        row = np.flatnonzero(numbers == actor)
        if not len(row):
            return None
        x, y, speed, length, vehicle = states[row[0]].tolist()
        return Place(x, y, speed, length, bool(vehicle))

    def record(self, world: World) -> None:
        """Record the present state of the world."""
        road_users = world.road_users
        self._numbers.append(np.array([actor.number for actor in road_users], np.int64))
        rows = [(a.x, a.y, a.speed * 3.6, a.shape.length_m, isinstance(a, Vehicle)) for a in road_users]
        self._states.append(np.array(rows, np.float32).reshape(-1, 5))


class Witness:
    """Follows a world step by step and records in `reference` what happens from its start to its end."""

    def __init__(self, options: SimOptions) -> None:
        self.reference = Reference(options)
        self.simulation = Simulation(options.seed, options.scenario, options.rate)
        self._referee = Referee(self.simulation.world)
        self._ahead: dict[int, float] = {}
        self._turning: set[int] = set()

    @property
    def end_s(self) -> float:
        """The world's time at which recording ends."""
        return self.reference.options.start + self.reference.options.duration_s

    def watch(self, world: World) -> None:
        """Record the world after a step."""
        reference, start = self.reference, self.reference.options.start
        if world.time_s > self.end_s + STEP_S / 2:
            return
        self._referee.watch()
        if world.time_s < start - 1e-9:
            return
        reference.record(world)
        exit_line_m = world.layout.stop_line_m - world.layout.crosswalk_m[0]
        for v in world.vehicles:
            lane = f"in_{v.route.lane}"
            if self._ahead.get(v.number, -1.0) > 0 >= v.to_line:
                reference.lanes[v.route.leg, lane] += 1
                self._turning.add(v.number)
            self._ahead[v.number] = v.to_line
            if v.number in self._turning and v.in_exit >= exit_line_m:
                self._turning.remove(v.number)
                reference.movements[v.route.leg, lane, v.route.exit] += 1

    def finish(self) -> Reference:
        """The reference, once the world has been stepped to the end."""
        start = self.reference.options.start
        self.reference.violations = [_since_start(v, start) for v in self._referee.violations if v.time_s >= start]
        return self.reference


def simulate(options: SimOptions) -> Reference:
    """Run the world of an address once, from its start to its end."""
    witness = Witness(options)
    Motion(witness.simulation, witness.watch).run_until(witness.end_s)
    return witness.finish()


def read_truth(path: Path) -> tuple[SimOptions, list[Violation]]:
    """The options and the violations of a truth.ndjson of `flowrt sim` (or the folder it lies in). Raises TruthError."""
    path = path / "truth.ndjson" if path.is_dir() else path
    try:
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    except OSError as error:
        raise TruthError(f"{path} can't be read: {error.strerror}; expected `sim`, or truth of `flowrt sim`") from error
    except ValueError as error:
        raise TruthError(f"{path} is no NDJSON: {error}") from error
    header = records[0] if records else {}
    if not isinstance(header, dict) or header.get("type") != "header":
        raise TruthError(f"{path} does not begin with a header; expected the truth.ndjson of `flowrt sim`")
    try:
        options = SimOptions(
            seed=int(header["seed"]), scenario=str(header["scenario"]), weather=str(header["weather"]),
            fps=float(header["fps"]), start=float(header["start_s"]), duration_s=float(header["duration_s"]),
            rate=float(header.get("rate", 1.0)),
        )  # fmt: skip
        return options, [_violation(record) for record in records if record.get("type") == "violation"]
    except (KeyError, TypeError, ValueError) as error:
        raise TruthError(f"{path}: {error!r} is missing or invalid; write the file again with `flowrt sim`") from error


def _violation(record: dict[str, Any]) -> Violation:
    return Violation(
        rule=record["rule"], actor=record["actor"], kind=record["class"], leg=record["camera"], lane=record["lane"],
        time_s=record["time_s"], start_s=record["start_s"], end_s=record["end_s"],
        ground_m=_pair(record["ground_m"]), front_m=_pair(record["front_m"]), value=record["value"],
        other=-1 if record["other"] is None else record["other"], detail=record["detail"],
    )  # fmt: skip


def _pair(numbers: Iterable[float]) -> tuple[float, float]:
    x, y = numbers
    return float(x), float(y)


def _since_start(violation: Violation, start_s: float) -> Violation:
    times = {name: getattr(violation, name) - start_s for name in ("time_s", "start_s", "end_s")}
    return replace(violation, **times)
