"""Listen to MQTT: each message of the topics that match becomes a record."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from flowrt import CheckView, Complaint, Context, Record, ServiceName, Source, setting

_WAIT_S = 0.25
_WAITING = 1000


class MqttIn(Source):
    """Receive JSON from MQTT topics as records.

    The time of a record is the payload's own where `time_field` names one, else that of its arrival. Nothing is dropped here: where
    the flow is slow, the broker waits. A payload that is no JSON is counted and left out, unless `payload: text`.
    """

    endless: ClassVar[bool] = True
    example: ClassVar[str] = 'from_controller: {type: mqtt_in, topic: "spat/+"}'
    guarantee: ClassVar[str] = (
        "Loses nothing while it runs (QoS 1 and 2: the broker keeps what comes while it is away for an hour)."
    )

    topic: Annotated[
        str | list[str], setting("Topic or topics, wildcards allowed.", examples=["spat/+", ["a/#", "b"]], restart=True)
    ]
    service: Annotated[ServiceName, setting("The broker's block in `services`.", restart=True)] = "mqtt"
    qos: Annotated[Literal[0, 1, 2], setting("Highest QoS to receive with.", restart=True)] = 1
    payload: Annotated[Literal["json", "text"], setting("`text` puts each payload into the record's field `text`.")] = (
        "json"
    )
    time_field: Annotated[
        str, setting("Field with the time: RFC 3339, or seconds since the epoch; empty: arrival.")
    ] = "time"

    def check(self, view: CheckView) -> Iterator[Complaint]:
        for i, topic in enumerate(self._topics()):
            path = ("topic", i) if isinstance(self.topic, list) else ("topic",)
            wrong = _wrong_with(topic)
            if wrong:
                yield Complaint(path, f"'{topic}' is no topic filter: {wrong}", "`+` is one level, `#` all that follow")

    def _topics(self) -> list[str]:
        return self.topic if isinstance(self.topic, list) else [self.topic]

    def open(self, context: Context) -> None:
        from flowrt_nodes._mqtt import MqttLink, service_of

        self._arrived: queue.Queue[Record] = queue.Queue(_WAITING)
        self._received = self._unreadable = 0
        self._link: MqttLink | None = None
        if context.clock.virtual:
            return  # the outside does not live in virtual time
        self._link = MqttLink(context, service_of(context, self.service))
        for topic in self._topics():
            self._link.listen(topic, self.qos, self._take)
        self._link.start()

    def produce(self) -> Iterator[Record]:
        stopping = self.context.stopping
        while self._link is not None and not stopping.is_set():
            try:
                yield self._arrived.get(timeout=_WAIT_S)
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
        return {**link.status(), "received": self._received, "unreadable": self._unreadable}

    # -- on the network thread -----------------------------------------------------------------------------------------

    def _take(self, topic: str, body: bytes) -> None:
        self._received += 1
        try:
            data = {"text": body.decode("utf-8", "replace")} if self.payload == "text" else msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            self._unreadable += 1
            self.context.log.warning("%s: a payload that is no JSON was left out: %s", topic, error)
            return
        if not isinstance(data, dict):
            data = {"value": data}
        record = Record(time_s=self._time_s(data), data=data, topic=topic)
        while not self.context.stopping.is_set():
            try:
                self._arrived.put(record, timeout=_WAIT_S)
                return
            except queue.Full:
                continue

    def _time_s(self, data: dict[str, Any]) -> float:
        said = data.get(self.time_field) if self.time_field else None
        if isinstance(said, int | float) and not isinstance(said, bool):
            return float(said)
        if isinstance(said, str):
            try:
                return datetime.fromisoformat(said).timestamp()
            except ValueError:
                pass  # arrival time then
        return self.context.clock.now_s()


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
