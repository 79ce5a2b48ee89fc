"""Publish to MQTT: each message on its topic of the contract, at least once.

How an acknowledgement finds its record: paho gives each message an id, which PUBACK (QoS 1) or PUBCOMP (QoS 2) brings back; at QoS 0
written to the socket is as good as it gets. Invariants: a record is with paho at most once; what paho still has of a resumed
session it sends itself; after a lost session everything comes from the journal again, marked `resent`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
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
    from flowrt_nodes.mqtt._paho import ReadyProperties

INFLIGHT = 20  # what brokers take unacknowledged by default
_WINDOW = 1000
_GATHER = 32
_SAMPLE = 100
_WAIT_S = 1.0
_SUSPECT_AFTER = 3
_REFUSED = {
    0x87: "not authorised",
    0x90: "topic name invalid",
    0x95: "packet too large",
    0x99: "payload format invalid",
}
_PACKET_OVERHEAD_BYTES = 64
_NO_CONNECTION, _QUEUE_FULL = 4, 15  # paho's MQTTErrorCode, which is not imported before a node opens

CONTENT_TYPE = "application/json"


class _Flight(msgspec.Struct):
    """A record that is with paho."""

    record: OutboxRecord
    since: float


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
        link: MqttLink | None = self.__dict__.get("_link")
        return None if link is None else str(link.address)

    @property
    def window(self) -> int:
        return 1 if self.__dict__.get("_suspicious") else _WINDOW

    @property
    def replay_per_s(self) -> float | None:
        return self.backlog_per_s if self.order == "live-first" else None

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.prefix and (problem := prefix_problem(self.prefix)) is not None:
            yield Diagnostic(("prefix",), *problem)

    # -- lifecycle -------------------------------------------------------------------------------------------------

    def open(self, context: Context) -> None:
        from flowrt_nodes.mqtt._connection import MqttLink, prefix_of, service_of

        service = service_of(context, self.service)
        self._prefix = self.prefix.replace("{site}", context.site) or prefix_of(context, service)
        self._availability = f"{self._prefix}/availability"
        self._lock = threading.Lock()
        self._flights: dict[int, _Flight] = {}
        self._early: dict[int, ReasonCode | None] = {}  # acknowledged before `publish` had returned
        self._queue: deque[OutboxRecord] = deque()  # taken over, and not yet with paho
        self._taken: set[int] = set()  # numbers of the records in the queue and in flight
        self._feeding = False
        self._unheard: set[int] = set()  # ids whose answer concerns no record any more
        self._session = 0  # grows when flights are forgotten
        self._receipt: Acknowledger | None = None
        self._acknowledged: deque[OutboxRecord] = deque()
        self._again = ""  # why records that were sent have to be sent again
        self._losses = 0  # connections lost with records under way, in a row
        self._suspicious = self._renewed = False
        self._retained_at: dict[str, float] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self._kinds: dict[tuple[int, bool], ReadyProperties] = {}
        self._make_validator()
        self._link: MqttLink | None = None
        link = MqttLink(
            context,
            service,
            will=(self._availability, b"offline"),
            on_up=self._on_up,
            on_down=self._on_down,
            on_ack=self._on_ack,
        )
        self._link = link
        self._presence = context.shared.acquire(("mqtt-presence", self._availability, str(link.address)), _Presence)
        self._presence.nodes.add(id(self))
        link.start()

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._make_validator()

    def _make_validator(self) -> None:
        self._validator = self.context.contract.validator("off" if self.validate == "off" else "all")
        self._looked: dict[
            str, int
        ] = {}  # payloads seen by topic; the first of each is looked at, then every hundredth

    def close(self) -> None:
        link: MqttLink | None = self.__dict__.get("_link")
        if link is None:
            return
        self._presence.nodes.discard(id(self))
        link.close(() if self._presence.nodes else [(self._availability, b"offline")])
        self.context.shared.release(("mqtt-presence", self._availability, str(link.address)))

    def status(self) -> dict[str, Any]:
        link: MqttLink | None = self.__dict__.get("_link")
        return {} if link is None else {**link.status(), "in_flight": len(self._flights)}

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
        link = self._link
        assert link is not None
        self._receipt = acknowledger
        if not link.up.wait(_WAIT_S):
            raise Retry(link.trouble, after_s=0.0, refused=link.refused)
        again, self._again = self._again, ""
        if again:
            raise Retry(again, after_s=0.0)
        if self._suspicious and not self._renewed:
            self._renew(link)
        self._hand_in()
        self._look_at_the_clock(link)
        with self._lock:
            new = [record for record in records if record.number not in self._taken]
            self._taken.update(record.number for record in new)
            self._queue.extend(new)
        self._feed(link)

    def _feed(self, link: MqttLink) -> None:
        """Give paho as much as the broker takes unacknowledged, and no more: after a reconnect paho sends all it has at once.

        One thread at a time, so that the order holds; whoever comes meanwhile leaves it to the one that feeds.
        """
        while True:
            with self._lock:
                room = max(min(INFLIGHT, link.receive_limit) - 1, 1)  # one for `availability`
                if self._feeding or not self._queue or len(self._flights) >= room or not link.up.is_set():
                    return
                record = self._queue.popleft()
                self._feeding = True
            try:
                self._publish(link, record)
            finally:
                with self._lock:
                    self._feeding = False

    def _publish(self, link: MqttLink, record: OutboxRecord) -> None:
        acknowledger = self._receipt
        assert acknowledger is not None
        refusal = self._breach(record) or self._too_large(link, record)
        if refusal:
            self._taken.discard(record.number)
            acknowledger.rejected(record, refusal)
            return
        headers = record.headers
        qos, retain = int(headers.get("qos", 1)), bool(headers.get("retain", False))
        if retain:
            retain = self._is_news(record)
        properties = self._properties(record) if link.mqtt5 else None
        flight = _Flight(record, time.monotonic())
        session = self._session
        try:
            sent = link.client.publish(record.address, record.body, qos, retain, properties)
        except ValueError as error:  # a topic with wildcards, a payload above what MQTT can carry
            self._taken.discard(record.number)
            acknowledger.rejected(record, str(error))
            return
        with self._lock:
            lost = session != self._session or sent.rc == _QUEUE_FULL or (qos == 0 and sent.rc == _NO_CONNECTION)
            if lost:  # paho does not have it, or its answer can't be told from another's
                self._unheard.add(sent.mid)
                self._taken.discard(record.number)
                self._again = "the connection was lost while this was sent"
                return
            self._unheard.discard(sent.mid)
            if sent.mid not in self._early:
                self._flights[sent.mid] = flight
                return
            reason = self._early.pop(sent.mid)
        self._settle(flight, reason)

    def _properties(self, record: OutboxRecord) -> ReadyProperties:
        """Shared by all records alike: paho only reads them, and making them costs more than sending."""
        kind = record.headers.get("expiry_s", 0), record.attempts > 0
        properties = self._kinds.get(kind)
        if properties is None:
            from paho.mqtt.packettypes import PacketTypes

            from flowrt_nodes.mqtt._paho import ReadyProperties

            properties = ReadyProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
            properties.ContentType = CONTENT_TYPE
            if kind[0]:
                properties.MessageExpiryInterval = kind[0]
            if kind[1]:
                properties.UserProperty = ("resent", "true")
            self._kinds[kind] = properties
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

    def _look_at_the_clock(self, link: MqttLink) -> None:
        with self._lock:
            oldest = min((flight.since for flight in self._flights.values()), default=None)
        if oldest is not None and time.monotonic() - oldest > self.ack_timeout_s:
            link.break_off(f"no acknowledgement for {self.ack_timeout_s:g} s")
            self._restart_clocks()
            raise Retry(f"the broker at {link.address} accepts but does not acknowledge", after_s=0.5)

    def _restart_clocks(self) -> None:
        with self._lock:
            for flight in self._flights.values():
                flight.since = time.monotonic()

    # -- on the network thread -----------------------------------------------------------------------------------------

    def _on_ack(self, mid: int, reason: ReasonCode | None) -> None:
        with self._lock:
            if mid in self._unheard:
                self._unheard.discard(mid)
                return
            flight = self._flights.pop(mid, None)
            if flight is None:
                self._early[mid] = reason
                return
        self._settle(flight, reason)
        if self._link is not None:
            self._feed(self._link)

    def _settle(self, flight: _Flight, reason: ReasonCode | None) -> None:
        record, acknowledger = flight.record, self._receipt
        self._taken.discard(record.number)
        assert acknowledger is not None
        self._losses, self._suspicious, self._renewed = 0, False, False
        if reason is None or not reason.is_failure:
            self._acknowledged.append(record)
            if len(self._acknowledged) >= _GATHER or not self._flights:
                self._hand_in()
        elif reason.value in _REFUSED:
            acknowledger.rejected(record, f"the broker refuses it: {_REFUSED[reason.value]}")
        else:
            self._again = f"the broker can't take it now: {reason}"

    def _hand_in(self) -> None:
        """Acknowledgements in bundles: one lock for many records."""
        acknowledger, done = self._receipt, []
        while self._acknowledged:
            done.append(self._acknowledged.popleft())
        if acknowledger is not None:
            acknowledger.delivered_all(done)

    def _on_down(self) -> None:
        """QoS 0 that was not written is lost with the connection; the rest is sent again by paho or by us."""
        with self._lock:
            under_way = list(self._flights.items())
            for mid, flight in under_way:
                if int(flight.record.headers.get("qos", 1)) == 0:
                    del self._flights[mid]
                    self._taken.discard(flight.record.number)
                    self._again = "the connection was lost"
                else:
                    flight.since = time.monotonic()
        for (_, resent), properties in self._kinds.items():
            if not resent:  # paho may send again what it holds: all of that shares these, and nothing new will
                properties.UserProperty = ("resent", "true")
                properties.forget()
        self._kinds = {}
        if under_way:
            self._losses += 1
            self._suspect([flight.record for _, flight in under_way])

    def _renew(self, link: MqttLink) -> None:
        """Begin again with a session that knows nothing: the old one may be what the broker stumbles over."""
        self._renewed = True
        link.renew()
        self._forget_flights()
        raise Retry(f"the broker at {link.address} closed the connection {_SUSPECT_AFTER} times", after_s=0.0)

    def _suspect(self, records: list[OutboxRecord]) -> None:
        """A broker that closes the connection whenever a certain record is sent: find it by sending one at a time."""
        if self._losses < _SUSPECT_AFTER:
            return
        if self._suspicious and len(records) == 1 and self._losses >= 2 * _SUSPECT_AFTER:
            record, self._losses, self._suspicious, self._renewed = records[0], 0, False, False
            self._forget_flights()
            if self._receipt is not None:
                size = len(record.body)
                self._receipt.rejected(
                    record, f"the broker closed the connection each time this was sent alone ({size} bytes)"
                )
        else:
            self._suspicious = True

    def _on_up(self, resumed: bool) -> None:
        link = self._link
        assert link is not None
        if not resumed or self._suspicious:
            link.client.drop_out_messages()
            if self._flights:
                self._forget_flights()
                self._again = "the broker has a new session"
        self._restart_clocks()
        birth = link.client.publish(self._availability, b"online", qos=1, retain=True)
        self._unheard.add(birth.mid)  # answered on this very thread, so not before we are done here

    def _forget_flights(self) -> None:
        with self._lock:
            self._session += 1
            self._flights.clear()
            self._early.clear()
            self._taken.clear()
            self._queue.clear()
