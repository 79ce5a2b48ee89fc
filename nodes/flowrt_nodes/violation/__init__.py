"""violation: the general rule, an expression over a tracked object; and what a rule of one's own is made of (`Rule`, `Finding`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar

from flowrt import CameraView, CheckView, Diagnostic, Finding, Rule, SceneName, SignalRule, SignalState, Tracks, setting
from flowrt_nodes._lib.expression import Expression, diagnostics
from flowrt_nodes._lib.objects import SAMPLE, ObjectVariables

__all__ = ["CameraView", "CelRule", "Finding", "Rule", "SignalRule"]

EXAMPLE = 'track.speed_kmh > 60 && zone == "school"'


class CelRule(SignalRule, kw_only=True):
    """Whatever a CEL expression says of an object: its track, zone, class, dwell time, and the signals.

    Variables: `track` (id, label, confidence, age_s, speed_kmh, speed_sigma_kmh, heading_deg, length_m, x_m, y_m, x_px,
    y_px), `zone` (the first zone the object is in, or ""), `zones` (all of them), `dwell_s` (time in `zone`), `signal` (state by
    group, only while known: `signal.phase_2 == "stop-and-remain"`), `time` (UTC seconds), `camera`. A speed that is not known
    is -1.

    No violation: an object for which the expression can't be evaluated, such as one that asks for a signal group whose
    phase is unknown or stale.
    """

    when: Annotated[str, setting("CEL: true while an object offends.", min_length=1, examples=[EXAMPLE])]
    name: Annotated[
        str, setting("The name of the violation.", pattern="^[a-z][a-z0-9_]*$", examples=["speeding_at_school"])
    ] = "violation"
    scene: SceneName = ""

    example: ClassVar[str] = """\
school_zone: {type: violation, from: zones, name: fast_at_school, when: 'track.speed_kmh > 30 && zone == "school"', hold_s: 0.5}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        yield from diagnostics(("when",), self.when, SAMPLE | {"signal": {}}, open_values=("signal",))

    def kind(self) -> str:
        return self.name

    def prepare(self, view: CameraView) -> None:
        self._expression = Expression(self.when)
        self._variables = ObjectVariables([self._expression])
        self._reads_signals = "signal" in self._expression.variables

    def on_signal(self, state: SignalState) -> None:
        """Reports of the signal source named by `signal`."""
        super().on_signal(state)

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        signal: dict[str, Any] = {}
        if self._reads_signals:
            phases = ((group, self.phase(group, tracks.time_s)) for group in self._timeline.states())
            signal = {group: phase.state for group, phase in phases if phase is not None}
        for row, values in enumerate(self._variables.of(tracks)):
            if self._reads_signals:
                values["signal"] = signal
            try:
                offends = self._expression.true(values)
            except KeyError:
                continue  # a signal group without a known phase
            if offends:
                zone = values.get("zone", "")
                yield Finding(row=row, roi_id=zone, facts={"when": self.when}, description=f"{self.name}: {self.when}")
