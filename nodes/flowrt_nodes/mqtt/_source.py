"""What the sources that listen to MQTT have in common: topics, connection, the queue to the flow, counts.

The network thread only puts what arrives into the queue. Payloads are read on the source's own thread, and one that can't be read is
counted and left out, whatever reading it raised: what strangers publish ends neither the connection nor the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from flowrt import CheckView, Context, Diagnostic, Message, ServiceName, Source, setting
from flowrt_nodes.mqtt._arrivals import Arrival, Arrivals

if TYPE_CHECKING:
    from flowrt_nodes.mqtt._connection import MqttLink

_WAIT_S = 0.25
_PACKET_OVERHEAD_BYTES = 66_000  # a topic and properties
_TOLD = 300  # characters of what is wrong with a payload

M = TypeVar("M", bound=Message)


class MqttSource(Source):
    """A source of what arrives on MQTT topics. Subclasses say in `produce` how one payload is read.

    newest: only the newest matters. Then the oldest that waits goes when the flow is too slow, and the broker keeps nothing while
    the connection is away; otherwise the broker waits, and keeps what comes for an hour (MQTT 5).
    """

    newest: ClassVar[bool] = False
    endless: ClassVar[bool] = True

    topic: Annotated[
        str | list[str], setting("Topic or topics; `+` and `#` are allowed.", examples=["spat/+", ["a/#", "b"]], restart=True)
    ]  # fmt: skip
    service: Annotated[ServiceName, setting("The broker's block in `services`.", restart=True)] = "mqtt"
    qos: Annotated[Literal[0, 1, 2], setting("Highest QoS to receive with.", restart=True)] = 1
    max_kb: Annotated[
        float,
        setting("Largest payload, kilobytes; larger ones are left out and counted.", gt=0, le=250_000, restart=True),
    ] = 1000.0

    def check(self, view: CheckView) -> Iterator[Diagnostic]:
        if not self._topics():
            yield Diagnostic(("topic",), "it names no topic", "name one, or leave the node out")
        for i, topic in enumerate(self._topics()):
            wrong = _wrong_with(topic)
            if wrong:
                path = ("topic", i) if isinstance(self.topic, list) else ("topic",)
                yield Diagnostic(
                    path, f"'{topic}' is no topic filter: {wrong}", "`+` is one level, `#` all that follow"
                )

    def open(self, context: Context) -> None:
        from flowrt_nodes.mqtt._address import service_of
        from flowrt_nodes.mqtt._connection import SESSION_S, MqttLink

        self._arrivals = Arrivals()
        self._received = self._unreadable = 0
        self._trouble = ""
        self._link: MqttLink | None = None
        if context.clock.virtual:
            return  # the outside does not live in virtual time
        self._link = MqttLink(
            context,
            service_of(context, self.service),
            topics=[(topic, self.qos) for topic in self._topics()],
            on_message=self._take,
            most_bytes=int(self.max_kb * 1000) + _PACKET_OVERHEAD_BYTES,
            session_s=0 if self.newest else SESSION_S,
        )
        self._link.start()

    def close(self) -> None:
        if self._link is not None:
            self._arrivals.close()
            self._link.close()

    def status(self) -> dict[str, Any]:
        link = self._link
        if link is None:
            return {}
        arrivals = self._arrivals
        counts = {"received": self._received, "unreadable": self._unreadable, "dropped": arrivals.dropped}
        waiting = {"waiting_mb": round(arrivals.bytes / 1e6, 3)}
        return {**link.status(), **counts, **waiting, "last_unreadable": self._trouble}

    def messages(self, read: Callable[[Arrival], M]) -> Iterator[M]:
        """What `read` makes of each arrival, until the source is to stop. `read` raises what it can't read."""
        while self._link is not None and not self.context.stopping.is_set():
            arrival = self._arrivals.get(_WAIT_S)
            if arrival is None:
                continue
            try:
                message = read(arrival)
            except Exception as error:  # bad UTF-8, numbers out of range, nesting without end: anything may come
                self._leave_out(arrival.topic, str(error))
                continue
            yield message

    def _leave_out(self, topic: str, why: str) -> None:
        self._unreadable += 1
        trouble = f"{topic[:_TOLD]}: {why[:_TOLD]}"
        if trouble != self._trouble:  # once, not with every report of a controller that speaks another language
            self._trouble = trouble
            self.context.log.warning("a message was left out, %s", trouble)

    def _topics(self) -> list[str]:
        return self.topic if isinstance(self.topic, list) else [self.topic]

    # -- on the network thread -----------------------------------------------------------------------------------------

    def _take(self, topic: str, body: bytes, retained: bool) -> None:
        self._received += 1
        if len(body) > self.max_kb * 1000:
            self._leave_out(topic, f"{len(body) / 1000:.0f} kB are larger than max_kb, {self.max_kb:g}")
            return
        self._arrivals.put(Arrival(topic, body, retained, self.context.clock.now_s()), newest=self.newest)


def _wrong_with(topic: str) -> str:
    """Why a topic filter is none; empty where it is one (MQTT 5, section 4.7)."""
    levels = topic.split("/")
    if not topic:
        return "it is empty"
    if "#" in topic and (topic.count("#") > 1 or levels[-1] != "#"):
        return "`#` may only stand alone at the end"
    if any("+" in level and level != "+" for level in levels):
        return "`+` must fill a whole level"
    return ""
