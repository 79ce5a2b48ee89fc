"""signal.mqtt: phases from SPaT-like JSON over MQTT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar

import msgspec

from flowrt import Context, SignalState, setting
from flowrt_nodes.mqtt import Arrival, MqttSource
from flowrt_nodes.signal._spat import SpatError, parse


class MqttSignal(MqttSource):
    """Signal phases as a controller publishes them: plain JSON or SAE J2735 SPaT (see `docs/rules.md`).

    The time of a report is the payload's own, else that of its arrival; `latest_s` guards against clocks that are wrong. A report that
    the broker had retained counts only with a time of its own that is near, since the age of another is unknown. Drop
    policy: when the flow is too slow, the oldest waiting report goes, since the newest matters. What can't be read is counted and
    left out: the phase then grows stale, and rules report nothing.
    """

    groups: Annotated[
        dict[str, str], setting("Group in the payload to group in the scene.", examples=[{"2": "phase_2"}])
    ] = {}
    latest_s: Annotated[
        float,
        setting(
            "A report whose own time is further than this from its arrival gets the time of its arrival.", gt=0, le=3600
        ),
    ] = 10.0

    newest: ClassVar[bool] = True
    guarantee: ClassVar[str] = "The newest report arrives; nothing is kept while the connection is away."
    example: ClassVar[str] = """\
signals: {type: signal.mqtt, topic: spat/main-and-5th, groups: {"2": phase_2, "4": phase_4}}
"""

    def published(self, kind: str) -> Iterable[str]:
        if kind != "signal":
            return ()
        return sorted(self.groups.values())

    def open(self, context: Context) -> None:
        self._misdated = 0
        super().open(context)

    def produce(self) -> Iterator[SignalState]:
        return self.messages(self._state)

    def status(self) -> dict[str, Any]:
        shared = super().status()
        return {**shared, "misdated": self._misdated} if shared else {}

    def _state(self, arrival: Arrival) -> SignalState:
        data = msgspec.json.decode(arrival.body)
        state = parse(data, arrival.time_s, self.groups, dated=arrival.retained)
        away_s = abs(state.time_s - arrival.time_s)
        if away_s <= self.latest_s:
            return state
        if arrival.retained:
            raise SpatError(f"it was retained, and its time is {away_s:.0f} s away: too old, or of a wrong clock")
        self._misdated += 1
        return SignalState(time_s=arrival.time_s, states=state.states)
