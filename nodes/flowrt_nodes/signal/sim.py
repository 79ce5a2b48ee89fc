"""signal.sim: what the signal controller of the simulated intersection says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from flowrt import CheckView, Diagnostic, SignalState, Source, setting
from flowrt_nodes._lib.sim import check_address, epoch_s


class SimSignal(Source):
    """Signal phases of the simulated intersection, like SPaT messages: at every change, and every `every_s` in between.

    Its time is that of the cameras of the same flow; seed, scenario and start in `uri` must be the cameras'.
    """

    uri: Annotated[
        str,
        setting("The simulation, as in the camera's `uri`.", restart=True, examples=["sim://four-way?seed=7"]),
    ] = "sim://four-way"
    every_s: Annotated[float, setting("Longest time between reports.", ge=0.1, le=60)] = 0.5

    endless: ClassVar[bool] = True
    example: ClassVar[str] = 'signals: {type: signal.sim, uri: "sim://four-way?seed=7"}\n'

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        return check_address(self.uri)

    def published(self, kind: str) -> Iterable[str]:
        if kind != "signal":
            return ()
        from flowrt_sim.street.signals import GROUPS

        return sorted(GROUPS)

    def simulation_only(self) -> Diagnostic:
        """See `flowrt.traffic.checks.simulation`."""
        hint = "take phases from the controller (`signal.mqtt`), the lamps in the picture (`signal.lamp`) or a plan (`signal.fixed`)"
        return Diagnostic((), "these signals are the simulation's", hint)

    def produce(self) -> Iterator[SignalState]:
        from flowrt_sim.source import open_signals

        clock, stopping = self.context.clock, self.context.stopping
        with epoch_s(self.context) as epoch:
            for offset_s, phases in open_signals(self.uri, self.every_s):
                time_s = epoch + offset_s
                if not clock.virtual:
                    late_s = clock.now_s() - time_s
                    if late_s > self.every_s:
                        continue  # restarted in the middle: the past is not reported again
                    if late_s < 0 and not clock.sleep(-late_s, stopping):
                        return
                if stopping.is_set():
                    return
                yield SignalState(
                    time_s=time_s,
                    states={group: state for group, (state, _) in phases.items()},
                    since_s={group: epoch + since for group, (_, since) in phases.items()},
                )
