"""signal.fixed: phases from a fixed-time plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar

import msgspec

from flowrt import CheckView, Diagnostic, SignalState, Source, setting
from flowrt.capture_time import set_back
from flowrt.traffic.rules.signals import STATES, normalised


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the cycle. Groups that are not named are red."""

    duration_s: Annotated[float, setting("How long it lasts.", gt=0, le=3600)]
    green: Annotated[list[str], setting("Groups that have green.")] = []
    amber: Annotated[list[str], setting("Groups that have amber.")] = []
    states: Annotated[dict[str, str], setting("Other states, by group, in the names of SAE J2735.")] = {}


class FixedSignal(Source):
    """Signal phases from a timing plan, for a controller whose clock is known to be right.

    The cycle begins at multiples of its length since 1970-01-01T00:00Z, plus `offset_s`. A report is sent at every change and
    every `every_s` in between, so that rules know that the phase is fresh.
    """

    plan: Annotated[list[Stage], setting("The cycle's stages, in order.", min_length=1)]
    groups: Annotated[list[str], setting("Groups; those that the plan names when empty.")] = []
    offset_s: Annotated[float, setting("When a cycle begins.")] = 0.0
    every_s: Annotated[float, setting("Longest time between reports.", ge=0.1, le=60)] = 0.5

    endless: ClassVar[bool] = True
    example: ClassVar[str] = """\
signals:
  type: signal.fixed
  plan:
    - {duration_s: 25, green: [phase_2]}
    - {duration_s: 3.5, amber: [phase_2]}
    - {duration_s: 30, green: [phase_4]}
    - {duration_s: 3.5, amber: [phase_4]}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        for i, stage in enumerate(self.plan):
            for group, state in stage.states.items():
                if normalised(state) == "unavailable" and state != "unavailable":
                    path = ("plan", i, "states", group)
                    yield Diagnostic(path, f"'{state}' is no signal state", "known: " + ", ".join(STATES))
            twice = set(stage.green) & set(stage.amber) | (set(stage.green) | set(stage.amber)) & set(stage.states)
            for group in sorted(twice):
                yield Diagnostic(("plan", i), f"group '{group}' has two states at once", "name it once")
        if not self.published("signal"):
            yield Diagnostic(("plan",), "the plan names no signal group", "name groups in `green` or `amber`")

    def published(self, kind: str) -> Iterable[str]:
        if kind != "signal":
            return ()
        named = {group for stage in self.plan for group in (*stage.green, *stage.amber, *stage.states)}
        return sorted(named | set(self.groups))

    def produce(self) -> Iterator[SignalState]:
        clock, stopping = self.context.clock, self.context.stopping
        now_s = clock.now_s()
        while not stopping.is_set():
            yield self.state_at(now_s)
            due_s = min(now_s + self.every_s, self._next_change_s(now_s))
            if not clock.virtual:
                while (wait_s := due_s - clock.now_s()) > 0:
                    if not clock.sleep(min(wait_s, 1.0), stopping):
                        return
                    if set_back(now_s, clock.now_s()):
                        due_s = clock.now_s()
                due_s = max(due_s, clock.now_s())  # after a pause of the machine, go on from the present
            now_s = due_s

    def state_at(self, time_s: float) -> SignalState:
        """What every group shows at a time, and since when."""
        begin_s, stage = self._stage_at(time_s)
        states = {group: self._state(self.plan[stage], group) for group in self.published("signal")}
        since_s: dict[str, float] = {}
        for group, state in states.items():
            start_s, back = begin_s, stage
            for _ in range(len(self.plan) - 1):
                back = (back - 1) % len(self.plan)
                if self._state(self.plan[back], group) != state:
                    break
                start_s -= self.plan[back].duration_s
            since_s[group] = round(start_s, 6)
        return SignalState(time_s=time_s, states=states, since_s=since_s)

    def status(self) -> dict[str, Any]:
        return {"cycle_s": self._cycle_s}

    @property
    def _cycle_s(self) -> float:
        return sum(stage.duration_s for stage in self.plan)

    def _stage_at(self, time_s: float) -> tuple[float, int]:
        """When the present stage began, and its index."""
        within_s = (time_s - self.offset_s) % self._cycle_s
        start_s = time_s - within_s
        for i, stage in enumerate(self.plan):
            if within_s < stage.duration_s - 1e-6:
                return start_s, i
            within_s -= stage.duration_s
            start_s += stage.duration_s
        return start_s, 0  # the last microsecond of the cycle

    def _next_change_s(self, time_s: float) -> float:
        begin_s, stage = self._stage_at(time_s)
        return begin_s + self.plan[stage].duration_s

    @staticmethod
    def _state(stage: Stage, group: str) -> str:
        if group in stage.green:
            return "permissive-movement-allowed"
        if group in stage.amber:
            return "permissive-clearance"
        return normalised(stage.states[group]) if group in stage.states else "stop-and-remain"
