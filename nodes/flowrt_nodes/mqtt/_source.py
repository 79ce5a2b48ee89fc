"""What the sources that listen to MQTT have in common: topics, connection, the queue to the flow, counts.

The network thread only puts what arrives into the queue. Payloads are read on the source's own thread, and one that can't be read is
counted and left out, whatever reading it raised: what strangers publish ends neither the connection nor the source.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

from flowrt import CheckView, Context, Diagnostic, Message, ServiceName, Source, setting

if TYPE_CHECKING:
    from flowrt_nodes.mqtt._connection import MqttLink

_WAIT_S = 0.25
_WAITING = 1000

M = TypeVar("M", bound=Message)


class Arrival(NamedTuple):
    """A message as it came. time_s: when it arrived. retained: the broker had kept it, from nobody knows when."""

    topic: str
    body: bytes
    retained: bool
    time_s: float


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
        from flowrt_nodes.mqtt._connection import SESSION_S, MqttLink, service_of

        self._arrived: queue.Queue[Arrival] = queue.Queue(_WAITING)
        self._received = self._unreadable = self._dropped = 0
        self._trouble = ""
        self._link: MqttLink | None = None
        if context.clock.virtual:
            return  # the outside does not live in virtual time
        self._link = MqttLink(
            context,
            service_of(context, self.service),
            topics=[(topic, self.qos) for topic in self._topics()],
            on_message=self._take,
            session_s=0 if self.newest else SESSION_S,
        )
        self._link.start()

    def close(self) -> None:
        link: MqttLink | None = self.__dict__.get("_link")
        if link is not None:
            link.close()

    def status(self) -> dict[str, Any]:
        link: MqttLink | None = self.__dict__.get("_link")
        if link is None:
            return {}
        counts = {"received": self._received, "unreadable": self._unreadable, "dropped": self._dropped}
        return {**link.status(), **counts, "last_unreadable": self._trouble}

    def messages(self, read: Callable[[Arrival], M]) -> Iterator[M]:
        """What `read` makes of each arrival, until the source is to stop. `read` raises what it can't read."""
        while self._link is not None and not self.context.stopping.is_set():
            try:
                arrival = self._arrived.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            try:
                message = read(arrival)
            except Exception as error:  # bad UTF-8, numbers out of range, nesting without end: anything may come
                self._leave_out(arrival, error)
                continue
            yield message

    def _leave_out(self, arrival: Arrival, error: Exception) -> None:
        self._unreadable += 1
        trouble = f"{arrival.topic}: {error}"
        if trouble != self._trouble:  # once, not with every report of a controller that speaks another language
            self._trouble = trouble
            self.context.log.warning("a message was left out, %s", trouble)

    def _topics(self) -> list[str]:
        return self.topic if isinstance(self.topic, list) else [self.topic]

    # -- on the network thread -----------------------------------------------------------------------------------------

    def _take(self, topic: str, body: bytes, retained: bool) -> None:
        self._received += 1
        arrival = Arrival(topic, body, retained, self.context.clock.now_s())
        while not self.context.stopping.is_set():
            try:
                self._arrived.put(arrival, timeout=0.0 if self.newest else _WAIT_S)
                return
            except queue.Full:
                if self.newest:
                    self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._arrived.get_nowait()
            self._dropped += 1
        except queue.Empty:
            pass  # the flow took it meanwhile


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
