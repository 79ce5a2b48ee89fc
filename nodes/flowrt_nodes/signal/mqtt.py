"""signal.mqtt: phases from SPaT-like JSON over MQTT."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar

import msgspec

from flowrt import Context, ServiceName, SignalState, Source, setting
from flowrt_nodes._spat import SpatError, parse

WAIT_S = 0.25
WAITING = 1000


class MqttSignal(Source):
    """Signal phases as a controller publishes them: plain JSON or SAE J2735 SPaT (see `docs/rules.md`).

    The time of a report is the payload's own, else that of its arrival; `latest_s` guards against clocks that are wrong. Drop
    policy: when the flow is too slow, the oldest waiting report goes, since the newest matters. What can't be read is counted and
    left out: rules then see the phase grow stale, and stay silent.
    """

    topic: Annotated[
        str, setting("Topic; `+` and `#` are allowed.", min_length=1, examples=["spat/main-and-5th"], restart=True)
    ]
    service: Annotated[ServiceName, setting("The broker's block in `services`.", restart=True)] = "mqtt"
    groups: Annotated[
        dict[str, str], setting("Group in the payload to group in the scene.", examples=[{"2": "phase_2"}])
    ] = {}
    latest_s: Annotated[
        float,
        setting(
            "A report whose own time is further than this from its arrival gets the time of its arrival.", gt=0, le=3600
        ),
    ] = 10.0
    qos: Annotated[int, setting("Highest QoS to receive with.", ge=0, le=2, restart=True)] = 1

    endless: ClassVar[bool] = True
    example: ClassVar[str] = """\
signals: {type: signal.mqtt, topic: spat/main-and-5th, groups: {"2": phase_2, "4": phase_4}}
"""

    def signals(self) -> Iterable[str]:
        return sorted(self.groups.values())

    def open(self, context: Context) -> None:
        from flowrt_nodes._mqtt import MqttLink, service_of

        self._arrived: queue.Queue[SignalState] = queue.Queue(WAITING)
        self._received = self._unreadable = self._dropped = self._misdated = 0
        self._trouble = ""
        self._link: MqttLink | None = None
        if context.clock.virtual:
            return  # the outside does not live in virtual time
        self._link = MqttLink(context, service_of(context, self.service))
        self._link.listen(self.topic, self.qos, self._take)
        self._link.start()

    def produce(self) -> Iterator[SignalState]:
        stopping = self.context.stopping
        while self._link is not None and not stopping.is_set():
            try:
                yield self._arrived.get(timeout=WAIT_S)
            except queue.Empty:
                continue

    def close(self) -> None:
        link = self.__dict__.get("_link")
        if link is not None:
            link.close()

    def status(self) -> dict[str, Any]:
        link = self.__dict__.get("_link")
        if link is None:
            return {}
        counts = {"received": self._received, "unreadable": self._unreadable, "dropped": self._dropped}
        return {**link.status(), **counts, "misdated": self._misdated, "last_trouble": self._trouble}

    # -- on the network thread -----------------------------------------------------------------------------------------

    def _take(self, topic: str, body: bytes) -> None:
        self._received += 1
        now_s = self.context.clock.now_s()
        try:
            state = parse(msgspec.json.decode(body), now_s, self.groups)
        except (msgspec.DecodeError, SpatError) as error:
            self._unreadable += 1
            if str(error) != self._trouble:
                self._trouble = str(error)
                self.context.log.warning("%s: a report was left out: %s", topic, error)
            return
        if abs(state.time_s - now_s) > self.latest_s:
            self._misdated += 1
            state = SignalState(time_s=now_s, states=state.states)
        while True:
            try:
                self._arrived.put_nowait(state)
                return
            except queue.Full:
                try:
                    self._arrived.get_nowait()
                    self._dropped += 1
                except queue.Empty:
                    continue
