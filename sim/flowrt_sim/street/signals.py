"""The fixed-time signal controller: two vehicle phases with permissive turns and two pedestrian phases.

Invariants: at most one of phase_2 (north-south) and phase_4 (east-west) is not red at any time, an all-red time lies
between them, and a pedestrian group shows walk only while the parallel vehicle phase is green. State names are those of
SAE J2735 MovementPhaseState.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

GREEN = "permissive-movement-allowed"
AMBER = "permissive-clearance"
RED = "stop-and-remain"

VEHICLE_GROUPS = {"north": "phase_2", "south": "phase_2", "east": "phase_4", "west": "phase_4"}
"""The group that a leg's drivers obey."""
CROSSWALK_GROUPS = {"north": "ped_4", "south": "ped_4", "east": "ped_2", "west": "ped_2"}
"""The group that pedestrians on a leg's crosswalk obey; they walk while the traffic parallel to them has green."""
GROUPS = ("phase_2", "phase_4", "ped_2", "ped_4")
LAMPS = {GREEN: "green", AMBER: "amber", RED: "red"}


@dataclass(frozen=True)
class SignalPlan:
    """A two-phase plan. All times in seconds; `offset_s` is the time within the cycle at time zero."""

    green_s: float = 25.0
    amber_s: float = 3.5
    all_red_s: float = 2.0
    walk_s: float = 8.0
    walk_clearance_s: float = 15.0
    offset_s: float = 0.0

    def __post_init__(self) -> None:
        if self.walk_s + self.walk_clearance_s > self.green_s:
            raise ValueError(
                "walk_s + walk_clearance_s: expected at most green_s, so that no pedestrian is left on the road"
            )

    @property
    def cycle_s(self) -> float:
        """Length of a cycle."""
        return 2 * (self.green_s + self.amber_s + self.all_red_s)

    @cached_property
    def _tables(self) -> dict[str, tuple[tuple[float, str], ...]]:
        """Per group the (start, state) pieces of a cycle; the first starts at 0."""
        half = self.cycle_s / 2
        amber, red = self.green_s, self.green_s + self.amber_s
        clear, stop = self.walk_s, self.walk_s + self.walk_clearance_s
        return {
            "phase_2": ((0.0, GREEN), (amber, AMBER), (red, RED)),
            "phase_4": ((0.0, RED), (half, GREEN), (half + amber, AMBER), (half + red, RED)),
            "ped_2": ((0.0, GREEN), (clear, AMBER), (stop, RED)),
            "ped_4": ((0.0, RED), (half, GREEN), (half + clear, AMBER), (half + stop, RED)),
        }

    def state(self, group: str, time_s: float) -> tuple[str, float]:
        """State of a group and the time at which it began. Raises KeyError for an unknown group."""
        table = self._tables[group]
        cycle = self.cycle_s
        within = (time_s + self.offset_s) % cycle
        index = max(i for i, (start, _) in enumerate(table) if start <= within + 1e-9)
        start, state = table[index]
        if index == 0 and table[-1][1] == state:
            start = table[-1][0] - cycle
        return state, time_s - (within - start)

    def next_change_s(self, group: str, time_s: float) -> float:
        """When a group's state changes next, after `time_s`."""
        state, now = self.state(group, time_s)[0], time_s
        within = (now + self.offset_s) % self.cycle_s
        starts = [start for start, _ in self._tables[group]]
        waits = sorted((start - within) % self.cycle_s or self.cycle_s for start in starts)
        for wait in waits:
            if self.state(group, time_s + wait + 1e-6)[0] != state:
                return time_s + wait
        return time_s + waits[-1]

    def phases(self, time_s: float) -> dict[str, tuple[str, float]]:
        """Every group's state and the time at which it began."""
        return {group: self.state(group, time_s) for group in GROUPS}

    def lamps(self, time_s: float) -> dict[str, str]:
        """Which lamp burns for the drivers of each leg: red, amber or green."""
        return {leg: LAMPS[self.state(group, time_s)[0]] for leg, group in VEHICLE_GROUPS.items()}

    def changes(self, start_s: float, end_s: float) -> Iterator[float]:
        """The times in start_s..end_s at which any group changes, in order."""
        now = start_s
        while True:
            now = min(self.next_change_s(group, now) for group in GROUPS)
            if now > end_s:
                return
            yield now
            now += 1e-6
