"""Listen to MQTT: each message of the topics that match becomes a record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from flowrt import Record, setting
from flowrt_nodes._lib.payload import moment_s
from flowrt_nodes.mqtt._arrivals import Arrival
from flowrt_nodes.mqtt._source import MqttSource


class MqttIn(MqttSource):
    """Receive JSON from MQTT topics as records.

    The time of a record is the payload's own where `time_field` names one, else that of its arrival. Nothing is dropped here: where
    the flow is slow, the broker waits. A payload that is no JSON is counted and left out, unless `payload: text`.
    """

    example: ClassVar[str] = 'from_controller: {type: mqtt_in, topic: "spat/+"}'
    guarantee: ClassVar[str] = (
        "Loses nothing while it runs (QoS 1 and 2: the broker keeps what comes while it is away for an hour)."
    )

    payload: Annotated[Literal["json", "text"], setting("`text` puts each payload into the record's field `text`.")] = (
        "json"
    )
    time_field: Annotated[
        str,
        setting("Field with the time: RFC 3339, or seconds or milliseconds since the epoch; empty: arrival."),
    ] = "time"

    def produce(self) -> Iterator[Record]:
        return self.messages(self._record)

    def _record(self, arrival: Arrival) -> Record:
        data: Any
        if self.payload == "text":
            data = {"text": arrival.body.decode("utf-8", "replace")}
        else:
            data = msgspec.json.decode(arrival.body)
        if not isinstance(data, dict):
            data = {"value": data}
        said_s = moment_s(data.get(self.time_field)) if self.time_field else None
        return Record(time_s=arrival.time_s if said_s is None else said_s, data=data, topic=arrival.topic)
