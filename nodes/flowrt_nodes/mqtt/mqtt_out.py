"""Publish to MQTT: each message on its topic of the contract, at least once.

How an acknowledgement finds its record: paho gives each message an id, which PUBACK (QoS 1) or PUBCOMP (QoS 2) brings back; at QoS 0
written to the socket is as good as it gets. Invariants: a record is with paho at most once (`InFlight`); what paho still has of a
resumed session it sends itself; after a lost session everything comes from the journal again, marked `resent`. All calls of paho
are made on the connection's thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from flowrt import (
    Acknowledger,
    CheckView,
    Context,
    Diagnostic,
    Message,
    Objects,
    Outbox,
    OutboxRecord,
    Retry,
    ServiceName,
    setting,
)
from flowrt.services.topics import prefix_problem

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from flowrt_nodes.mqtt._connection import MqttLink
    from flowrt_nodes.mqtt._in_flight import PublishProperties

INFLIGHT = 20  # what brokers take unacknowledged by default
_WINDOW = 1000
_GATHER = 32
_SAMPLE = 100
_WAIT_S = 1.0
_RESUME_S = 3.0
_REFUSED = {
    0x87: "not authorised",
    0x90: "topic name invalid",
    0x95: "packet too large",
    0x99: "payload format invalid",
}
_PACKET_OVERHEAD_BYTES = 64
_NO_CONNECTION, _QUEUE_FULL = 4, 15  # paho's MQTTErrorCode, which is not imported before a node opens

CONTENT_TYPE = "application/json"


class _Presence:
    """The sinks of one flow that are up under one prefix; the last one to go says goodbye."""

    def __init__(self) -> None:
        self.nodes: set[int] = set()


class MqttOut(Outbox):
    """Publish messages as JSON on the topics of the contract.

    Topic, QoS, retain and expiry are those of the message's schema in `schemas/topics/`. `<prefix>/availability` says
    online or offline, retained, also by last will. With no broker configured, an embedded one serves loopback.
    """

    contract: ClassVar[str] = "topics"
    guarantee: ClassVar[str] = (
        "At least once, in order of acceptance (`order: strict`). What is accepted is on disk and leaves it when the broker "
        "acknowledged it; with MQTT 5 a repetition carries the user property `resent: true`. What the broker refuses for good is a "
        "dead letter. Telemetry at QoS 0 counts as delivered once written to the socket."
    )
    example: ClassVar[str] = "to_broker: {type: mqtt_out, from: [red_light, health]}"

    service: Annotated[ServiceName, setting("The broker's block in `services`.", restart=True)] = "mqtt"
    prefix: Annotated[
        str, setting("What every topic begins with; empty: the service's. `{site}` is replaced.", restart=True)
    ] = ""
    qos: Annotated[Literal[0, 1, 2] | None, setting("Overrides the contract's QoS.")] = None
    retain: Annotated[bool | None, setting("Overrides the contract's retain flag.")] = None
    format: Annotated[Literal["flowrt", "scenescape", "dlstreamer"], setting("Format of detections and tracks.")] = (
        "flowrt"
    )
    validate: Annotated[
        Literal["all", "sample", "off"],
        setting("Which payloads are held against their schema before they go out; a breach becomes a dead letter."),
    ] = "sample"
    order: Annotated[
        Literal["strict", "live-first"],
        setting("After an outage: everything in order, or new messages first and the backlog paced beside them."),
    ] = "strict"
    backlog_per_s: Annotated[float, setting("Pace of the backlog with `order: live-first`, messages/s.", gt=0)] = 500.0
    ack_timeout_s: Annotated[float, setting("Without an answer for so long, the connection is made again.", gt=0)] = (
        20.0
    )

    @property
    def outside(self) -> object | None:
        return str(self._opened_link().address)

    def outside_is_back(self) -> None:
        self._opened_link().hurry()

    @property
    def window(self) -> int:
        return 1 if self._suspicion.active else _WINDOW

    @property
    def replay_per_s(self) -> float | None:
        return self.backlog_per_s if self.order == "live-first" else None

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.prefix and (problem := prefix_problem(self.prefix)) is not None:
            yield Diagnostic(("prefix",), *problem)

    # -- lifecycle -------------------------------------------------------------------------------------------------

    def open(self, context: Context) -> None:
        # these bring paho, which a flow that is only validated does not load
        from flowrt_nodes.mqtt._address import prefix_of, service_of
        from flowrt_nodes.mqtt._connection import MqttLink
        from flowrt_nodes.mqtt._in_flight import InFlight
        from flowrt_nodes.mqtt._suspicion import Suspicion

        service = service_of(context, self.service)
        self._prefix = self.prefix.replace("{site}", context.site) or prefix_of(context, service)
        self._availability = f"{self._prefix}/availability"
        self._in_flight, self._suspicion = InFlight(), Suspicion()
        self._acknowledger: Acknowledger | None = None
        self._acknowledged: list[OutboxRecord] = []
        self._birth = 0  # id of the `online` that each connection begins with
        self._denied: set[str] = set()  # topics that the broker refused last time
        self._doubtful: set[int] = set()  # numbers of records of QoS 2 that may be what ends connections
        self._retained_at: dict[str, float] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self._properties: dict[tuple[int, bool], PublishProperties] = {}
        self._make_validator()
        self._link: MqttLink | None = None
        link = MqttLink(
            context,
            service,
            will=(self._availability, b"offline"),
            on_up=self._on_up,
            on_down=self._on_down,
            on_ack=self._on_ack,
            on_received=self._in_flight.received,
            on_turn=self._on_turn,
        )
        self._link = link
        self._presence = context.shared.acquire(("mqtt-presence", self._availability, str(link.address)), _Presence)
        self._presence.nodes.add(id(self))
        link.start()

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._make_validator()

    def _make_validator(self) -> None:
        self._validator = self.context.contract.validator("off" if self.validate == "off" else "all")
        # payloads seen by topic; the first of each is looked at, then every hundredth
        self._looked: dict[str, int] = {}

    def close(self) -> None:
        link = self._opened_link()
        self._presence.nodes.discard(id(self))
        link.close(() if self._presence.nodes else [(self._availability, b"offline")])
        self.context.shared.release(("mqtt-presence", self._availability, str(link.address)))

    def status(self) -> dict[str, Any]:
        return {**self._opened_link().status(), "in_flight": len(self._in_flight)}

    # -- encoding: on the thread that brought the message ---------------------------------------------------------------

    def encode(self, message: Message) -> Iterator[OutboxRecord]:
        context = self.context
        spec = context.contract.topic(message)
        topic, body = f"{self._prefix}/{spec.topic}", None
        if self.format != "flowrt" and isinstance(message, Objects):
            topic, body = self._foreign(message, topic)
        headers: dict[str, Any] = {
            "qos": spec.qos if self.qos is None else self.qos,
            "retain": spec.retain if self.retain is None else self.retain,
        }
        if spec.expiry_s is not None:
            headers["expiry_s"] = spec.expiry_s
        if body is None:
            headers["topic"] = spec.topic
            body = context.contract.encode_payload(message, context.site)
        yield OutboxRecord(
            id=getattr(message, "id", ""),
            time_s=message.time_s,
            address=topic,
            body=body,
            priority=spec.priority,
            headers=headers,
        )

    def _foreign(self, seen: Objects, topic: str) -> tuple[str, bytes]:
        from flowrt_nodes.mqtt import _formats as formats

        if self.format == "dlstreamer":
            return topic, msgspec.json.encode(formats.dlstreamer(seen, seen.camera_id))
        last_s, rate = self._rates.get(seen.camera_id, (seen.time_s, 0.0))
        if seen.time_s > last_s:
            now = 1.0 / (seen.time_s - last_s)
            rate = now if rate == 0.0 else 0.9 * rate + 0.1 * now
        self._rates[seen.camera_id] = seen.time_s, rate
        return formats.scenescape_topic(seen.camera_id), msgspec.json.encode(formats.scenescape(seen, rate))

    # -- delivery: on the outbox's own thread ------------------------------------------------------------------------

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        link = self._opened_link()
        self._acknowledger = acknowledger
        if not link.up.wait(_WAIT_S):
            raise Retry(link.trouble, after_s=0.0, refused=link.refused)
        lost = self._in_flight.take_lost()
        if lost:
            raise Retry(lost, after_s=0.0)
        if self._in_flight.oldest_s() > self.ack_timeout_s:
            self._in_flight.restart_clocks()
            link.break_off(f"no acknowledgement for {self.ack_timeout_s:g} s")
            raise Retry(f"the broker at {link.address} accepts but does not acknowledge", after_s=0.5)
        self._in_flight.add(records)
        if len(self._in_flight) < self._space(link):  # else the next acknowledgement wakes it
            link.wake()

    def reach(self) -> bool:
        link = self._opened_link()
        if not link.up.is_set() and link.tried:
            raise Retry(link.trouble, refused=link.refused)
        return link.up.is_set()

    def _opened_link(self) -> MqttLink:
        if self._link is None:  # callbacks and deliveries come after `open` only
            raise RuntimeError("the node is not open")
        return self._link

    # -- on the connection's thread -------------------------------------------------------------------------------------

    def _on_turn(self) -> None:
        """Give paho as much as the broker takes unacknowledged, and no more: after a reconnect paho sends all it has at once."""
        link, in_flight = self._opened_link(), self._in_flight
        space = self._space(link)
        if in_flight.empty:
            self._hand_in()
        self._doubt(link)
        while len(in_flight) < space and not in_flight.empty and link.up.is_set():
            if not self._suspicion.may_send or (self._suspicion.active and len(in_flight)):
                return
            record = in_flight.next()
            if record is None:
                return
            self._publish(link, record)

    def _doubt(self, link: MqttLink) -> None:
        """Of what a resumed session goes on with, the broker answers at once; it may know nothing of a message that it refused."""
        now = time.monotonic()
        stuck = [one for one in self._in_flight.unacknowledged() if one.qos == 2 and one.losses]
        if stuck and now - min(one.since for one in stuck) > _RESUME_S:
            self._doubtful |= {one.record.number for one in stuck}
            self._in_flight.lose("the broker does not go on with what it had begun")
            link.break_off("with a new session", new_client=True)

    def _space(self, link: MqttLink) -> int:
        """How many may be with paho; one more is left for `availability`."""
        return max(min(INFLIGHT, link.receive_limit) - 1, 1)

    def _publish(self, link: MqttLink, record: OutboxRecord) -> None:
        refusal = self._breach(record) or self._too_large(link, record)
        if refusal:
            self._reject(record, refusal)
            return
        headers = record.headers
        qos, retain = int(headers.get("qos", 1)), bool(headers.get("retain", False))
        if qos == 2 and (record.number in self._doubtful or record.address in self._denied or self._suspicion.active):
            qos = 1
        if qos == 2:
            link.watch_received()
        if retain:
            retain = self._is_news(record)
        properties = self._properties_of(record) if link.mqtt5 else None
        try:
            info = link.client.publish(record.address, record.body, qos, retain, properties)
        except ValueError as error:  # a topic with wildcards, a payload above what MQTT can carry
            self._reject(record, str(error))
            return
        if info.rc == _QUEUE_FULL or (qos == 0 and info.rc == _NO_CONNECTION):
            self._in_flight.done(record, lost="the connection was lost while this was sent")
        elif qos == 0 and info.is_published():
            self._in_flight.done(record)
            self._taken(record)
        else:
            self._in_flight.sent(info.mid, record, qos, properties)
            if not link.up.is_set():  # it went down in the middle of sending
                self._in_flight.lose("the connection was lost while this was sent", qos_0_only=True)

    def _properties_of(self, record: OutboxRecord) -> PublishProperties:
        from flowrt_nodes.mqtt._in_flight import PublishProperties  # see `open`

        kind = record.headers.get("expiry_s", 0), record.attempts > 0
        properties = self._properties.get(kind)
        if properties is None:
            properties = PublishProperties(content_type=CONTENT_TYPE, expiry_s=kind[0])
            if kind[1]:
                properties.mark_resent()
            self._properties[kind] = properties
        return properties

    def _breach(self, record: OutboxRecord) -> str:
        """How the payload breaks its schema; empty where it does not, or is not looked at."""
        topic = record.headers.get("topic", "")
        if self.validate == "off" or not topic:
            return ""
        if self.validate == "sample":
            self._looked[topic] = count = self._looked.get(topic, -1) + 1
            if count % _SAMPLE:
                return ""
        spec = self.context.contract.topics.get(topic)
        if spec is None:
            return ""
        breaches = self._validator.check(spec, msgspec.json.decode(record.body))
        return f"breaks the contract: {'; '.join(map(str, breaches))}" if breaches else ""

    def _too_large(self, link: MqttLink, record: OutboxRecord) -> str:
        size = len(record.body) + len(record.address) + _PACKET_OVERHEAD_BYTES
        if link.packet_limit is not None and size > link.packet_limit:
            return f"too large for the broker: about {size} bytes, its limit is {link.packet_limit}"
        return ""

    def _is_news(self, record: OutboxRecord) -> bool:
        """Whether this is the newest state of its topic; an older one from a backlog must not take its retained place."""
        newest = self._retained_at.get(record.address, record.time_s)
        self._retained_at[record.address] = max(newest, record.time_s)
        return record.time_s >= newest

    def _on_ack(self, mid: int, reason: ReasonCode | None) -> None:
        sent = self._in_flight.answered(mid)
        if sent is None:
            if mid == self._birth:
                self._suspicion.witnessed()
            return
        record = sent.record
        self._suspicion.acknowledged()
        self._doubtful.discard(record.number)
        if sent.qos == 2 and ((sent.losses and not sent.received) or (reason is not None and reason.is_failure)):
            # After a lost connection Mosquitto completes also what it had refused before: only PUBREC of this connection counts.
            self._doubtful.add(record.number)
            self._in_flight.done(record, lost="the broker's answer to a message was lost with the connection")
        elif reason is None or not reason.is_failure:
            self._denied.discard(record.address)
            self._taken(record)
        elif reason.value in _REFUSED:
            self._denied.add(record.address)
            self._reject(record, f"the broker refuses it: {_REFUSED[reason.value]}")
        else:
            self._in_flight.done(record, lost=f"the broker can't take it now: {reason}")

    def _taken(self, record: OutboxRecord) -> None:
        self._acknowledged.append(record)
        if len(self._acknowledged) >= _GATHER or not len(self._in_flight):
            self._hand_in()

    def _hand_in(self) -> None:
        """Acknowledgements in bundles: one lock for many records."""
        done, self._acknowledged = self._acknowledged, []
        if done and self._acknowledger is not None:
            self._acknowledger.delivered_all(done)

    def _reject(self, record: OutboxRecord, reason: str) -> None:
        self._in_flight.done(record)
        if self._acknowledger is not None:
            self._acknowledger.rejected(record, reason)

    def _on_down(self) -> None:
        """QoS 0 that was not written is lost with the connection; the rest is sent again by paho or by us.

        Of a message of QoS 2 that the broker refuses, paho does not tell; it goes on with it, and the broker hangs up (Mosquitto does). So what
        two connections ended with, or what a resumed session does not go on with (`_doubt`), goes at QoS 1, whose acknowledgement
        gives the reason. Its id keeps a repetition harmless.
        """
        self._hand_in()
        self._in_flight.lose("the connection was lost", qos_0_only=True)
        sent = self._in_flight.unacknowledged()
        for one in sent:  # paho may send again what it holds
            if one.properties is not None:
                one.properties.mark_resent()
        self._properties = {kind: known for kind, known in self._properties.items() if kind[1]}
        for one in sent:
            one.losses += 1
            one.received = False
        doubtful = {one.record.number for one in sent if one.qos == 2 and one.losses >= 2}
        self._doubtful |= doubtful
        guilty = self._suspicion.lost([one.record for one in sent])
        if guilty is not None:
            size = len(guilty.body)
            text = f"the broker closed the connection each time this was sent alone ({size} bytes), and took others meanwhile"
            self._reject(guilty, text)
        if self._suspicion.active or guilty is not None or doubtful:  # the session may be what the broker stumbles over
            self._in_flight.lose(f"the broker at {self._opened_link().address} closes the connection again and again")
            self._opened_link().break_off("with a new session", new_client=True)

    def _on_up(self, resumed: bool) -> None:
        client = self._opened_link().client
        if not resumed:
            client.drop_out_messages()
            self._in_flight.lose("the broker has a new session")
        self._in_flight.restart_clocks()
        self._suspicion.connected()
        self._birth = client.publish(self._availability, b"online", qos=1, retain=True).mid
