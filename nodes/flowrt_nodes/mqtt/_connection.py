"""One MQTT connection that keeps itself up, for the nodes that publish and those that listen.

A thread of the link's own drives paho, by its public interface: it connects, waits with `Backoff`, and makes every call of the client, so
that no callback meets another thread. What goes wrong there, also bytes that paho can't read, ends the connection and never the
thread. The session is new for each `MqttLink` and resumed after that with MQTT 5, so a message under way survives a broken
connection inside paho. Why a connection does not come about is in `trouble`, in words without secrets; `refused` says whether it
takes a change by a person, since it will not pass by itself.
"""

from __future__ import annotations

import re
import secrets
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from flowrt import Context
from flowrt.services import Mqtt
from flowrt.services.tcp_look import looks_like
from flowrt.system.backoff import Backoff
from flowrt_nodes.mqtt import _embedded_broker as embedded
from flowrt_nodes.mqtt._address import Address, address_of, tls_of

_ADVICE = {
    0x84: "set `version` to what it speaks",
    0x85: "check client_id",
    0x86: "check username and password",
    0x87: "check username and password",
    0x8A: "ask the broker's operator",
    0x8C: "check username and password",
    0x9D: "set `url` to where the broker has moved",
}
"""What to do where a connection is refused until a person changes something; other reasons may pass. paho gives MQTT 3.1.1's these numbers."""
SESSION_S = 3600
CONNECT_S = 5.0
_TURN_S = 0.5
_PUBREC = re.compile(r"Received PUBREC \(Mid: (\d+)\)")
_FAREWELL_S = 1.0


_NOT_YET = "not connected yet"


LONGEST_WAIT_S = 10.0
"""Between two tries to connect, for sinks and sources alike; it doubles from 0.2 s on."""


class MqttLink:
    """A connection to the broker of a service, or to the embedded one where it names none.

    All callbacks come on the link's thread: on_up(resumed) after each connect, on_down() after each loss, on_ack(mid, reason) for each
    published message that the broker answered (reason None where the protocol has none), on_received(mid) for each of QoS 2 that it has answered
    first (after `watch_received`), on_turn() whenever there may be
    something to publish (`wake` asks for it), on_message(topic, payload, retained) for each message of `topics`, (filter, QoS), which are
    subscribed to after each connect. What blocks there makes the broker wait. `client` is for these callbacks only.
    session_s: for how long the broker keeps what belongs to a connection that is away (MQTT 5). most_bytes: larger packets are not
    wanted; a broker with MQTT 5 does not send them.
    """

    def __init__(
        self,
        context: Context,
        service: Mqtt,
        *,
        will: tuple[str, bytes] | None = None,
        topics: Sequence[tuple[str, int]] = (),
        session_s: int = SESSION_S,
        most_bytes: int | None = None,
        on_up: Callable[[bool], None] = lambda resumed: None,
        on_down: Callable[[], None] = lambda: None,
        on_ack: Callable[[int, ReasonCode | None], None] = lambda mid, reason: None,
        on_received: Callable[[int], None] = lambda mid: None,
        on_turn: Callable[[], None] = lambda: None,
        on_message: Callable[[str, bytes, bool], None] = lambda topic, body, retained: None,
    ) -> None:
        self._context, self._log = context, context.log
        self._service = service
        self._topics, self._session_s, self._most_bytes = topics, session_s, most_bytes
        self._on_up, self._on_down, self._on_ack = on_up, on_down, on_ack
        self._on_received, self._on_turn, self._on_message = on_received, on_turn, on_message
        self.up = threading.Event()
        self.trouble = _NOT_YET
        self.refused = False
        self.connects = 0
        self.packet_limit: int | None = None
        self.receive_limit = 65535
        self._backoff = Backoff(most_s=LONGEST_WAIT_S)
        self._closing = threading.Event()
        self._hurried = threading.Event()  # ends the wait before the next try
        self._farewell: Sequence[tuple[str, bytes]] = ()
        self._taken = ExitStack()  # what this link lets go of at its end, or where it can't be made
        self._taken.callback(self.up.clear)
        self._waker, self._woken = map(self._taken.enter_context, socket.socketpair())
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._thread = context.supervisor.thread(f"mqtt {context.node}", self._run, restart=Backoff(most_s=10.0))
        self._tried = self._answered = self._new_client_wanted = False
        self._why = ""
        self.embedded: embedded.EmbeddedBroker | None = None
        try:
            if not service.url:
                self.embedded = context.shared.acquire(embedded.KEY, lambda: embedded.start(context))
                self._taken.callback(context.shared.release, embedded.KEY)
            self.address: Address = address_of(service, self.embedded.url if self.embedded else service.url)
            # amqtt knows no MQTT 5
            self.mqtt5 = service.version == 5 and not (self.embedded and self.embedded.kind == "amqtt")
            self._tls = tls_of(service, context.path) if self.address.tls else None
            self._will = will
            ids = ("mqtt-client-ids", str(self.address))
            self._names: _Names = context.shared.acquire(ids, _Names)
            self._taken.callback(context.shared.release, ids)
            self._name = ""
            self._taken.callback(lambda: self._names.let_go(self._name))
            self.client = self._make()
        except BaseException:
            self._taken.close()
            raise

    # -- from any thread -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; does not wait for it."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something to publish: `on_turn` is called soon."""
        with suppress(OSError):  # full: it is awake; closed: it has ended
            self._waker.send(b"\0")

    def break_off(self, why: str, *, new_client: bool = False) -> None:
        """Cut the connection, so that it is made again. new_client: with a session that knows nothing of what is under way."""
        self._new_client_wanted = self._new_client_wanted or new_client
        self._why = why
        self.wake()

    def close(self, farewell: Sequence[tuple[str, bytes]] = ()) -> None:
        """Publish the farewell (retained) where connected, then disconnect."""
        self._farewell = farewell
        self._closing.set()
        self._hurried.set()
        self.wake()
        self._thread.stop()
        self._thread.join(2 * CONNECT_S + _FAREWELL_S)
        self._taken.close()

    @property
    def tried(self) -> bool:
        """Whether a try to connect has ended, well or not."""
        return self.trouble != _NOT_YET

    def status(self) -> dict[str, Any]:
        """For `/api/status`."""
        state: dict[str, Any] = {"broker": str(self.address), "connected": self.up.is_set(), "connects": self.connects}
        if self.embedded is not None:
            state["embedded"] = self.embedded.kind
        if self.trouble:
            state["trouble"] = self.trouble
        return state

    def hurry(self) -> None:
        """The broker is said to be back: try now."""
        self._hurried.set()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._connect()
                self._serve()
            except Exception as error:  # sockets, TLS, and whatever paho raises over bytes that it can't read
                self._failed(error)
            if self._new_client_wanted or self._names.is_free(self._wanted_name, self._name):
                self._renew()
            self._hurried.wait(self._backoff.wait_s())
            self._hurried.clear()
        self._part()

    def _connect(self) -> None:
        """Until CONNACK is asked for; raises what connecting raises."""
        self._answered, self._why = False, ""
        properties = None
        if self.mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
            properties.SessionExpiryInterval = self._session_s
            if self._most_bytes is not None:
                properties.MaximumPacketSize = self._most_bytes
        if self._tried:
            self.client.reconnect()
            return
        self._tried = True
        self.client.connect(self.address.host, self.address.port, self._service.keepalive_s, properties=properties)

    def _serve(self) -> None:
        """Until the connection ends, or is to end."""
        began = time.monotonic()
        while not self._closing.is_set() and not self._why:
            if not self._turn():
                break
            if not self._answered and time.monotonic() - began > CONNECT_S:
                self._cut()
                self._say_what_it_is("does not answer")
                return
        if self._why:
            self._log.warning("the connection to the broker at %s is made again: %s", self.address, self._why)
            self._cut()
        elif not self._answered and not self._closing.is_set():
            self._say_what_it_is("closes the connection without an answer")

    def _turn(self) -> bool:
        """Read what came, publish what waits, write; False where the connection has ended."""
        client = self.client
        sock = client.socket()
        if sock is None:
            return False
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        readable, _, _ = select.select(
            [sock, self._woken], [sock] if client.want_write() else [], [], 0.0 if pending else _TURN_S
        )
        if self._woken in readable:
            with suppress(BlockingIOError):
                self._woken.recv(4096)
        if pending or sock in readable:
            client.loop_read()
        if self.up.is_set():
            self._on_turn()
        if client.want_write():
            client.loop_write()
        client.loop_misc()
        return client.socket() is not None

    def _cut(self) -> None:
        """End the connection without a farewell: the broker sends the last will, and keeps the session."""
        sock: Any = self.client.socket()
        if sock is not None:
            with suppress(OSError):  # it was closed already
                sock.shutdown(socket.SHUT_RDWR)
            with suppress(Exception):  # what paho can't read does not matter any more
                self.client.loop_read()
        self._lost("")

    def _failed(self, error: Exception) -> None:
        """Connecting failed, or the connection can't go on."""
        if self._answered:
            self._new_client_wanted = True  # paho stopped in the middle of a packet
            self._cut()
            self._say(f"the broker at {self.address} sent what MQTT does not allow ({type(error).__name__}: {error})")
            self._log.debug("where that was noticed", exc_info=error)
        elif isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
            self._say_what_it_is(f"does not speak TLS as expected ({error.reason or error})")
        elif isinstance(error, ConnectionResetError | BrokenPipeError):
            self._say_what_it_is("closes the connection")
        elif isinstance(error, TimeoutError) and "handshake" in str(error):
            self._say_what_it_is("does not answer")
        elif isinstance(error, OSError):
            self._say(
                f"the broker at {self.address} can't be reached: {error}",
                refused=isinstance(error, ssl.SSLCertVerificationError),
            )
        else:
            self._new_client_wanted = True
            self._say_what_it_is(f"sends what is no MQTT ({type(error).__name__})")

    def _say_what_it_is(self, what: str) -> None:
        if self.refused:
            return  # it has said itself what is wrong
        look = looks_like(self.address.host, self.address.port)
        advice = "check host and port of `url`"
        if look == "a server that speaks TLS" and not self.address.tls:
            advice = "write mqtts:// in `url`"
        elif look == "an MQTT broker without TLS":
            advice = "write mqtt:// in `url`" if self.address.tls else "check `version` and client_id, and read its log"
        self._say(f"the broker at {self.address} {what}; it looks like {look}: {advice}")

    def _renew(self) -> None:
        self._new_client_wanted = False
        self.client = self._make()

    def _part(self) -> None:
        """Say farewell and disconnect."""
        client = self.client
        try:
            if self.up.is_set():
                sent = [client.publish(topic, body, qos=1, retain=True) for topic, body in self._farewell]
                until = time.monotonic() + _FAREWELL_S
                while not all(one.is_published() for one in sent) and time.monotonic() < until and client.socket():
                    self._turn()
            self.up.clear()  # going is no trouble
            client.disconnect()
            if client.socket() is not None:
                client.loop_write()
        except Exception as error:  # it goes in any case
            self._log.debug("the farewell was not sent: %s", error)
        sock: Any = client.socket()
        if sock is not None:
            sock.close()

    # -- the client and its callbacks ------------------------------------------------------------------------------

    @property
    def _wanted_name(self) -> str:
        return self._service.client_id

    def _make(self) -> paho.Client:
        self._tried = False
        self._names.let_go(self._name)
        node = self._context.node
        if self._wanted_name:
            self._name = self._names.take(self._wanted_name, f"{self._wanted_name}-{node}")
        else:
            self._name = f"flowrt-{self._context.flow}-{node}-{secrets.token_hex(3)}"
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._name, protocol=paho.MQTTv5 if self.mqtt5 else paho.MQTTv311
        )
        if self.address.username:
            client.username_pw_set(self.address.username, self.address.password or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.max_inflight_messages_set(0)  # `mqtt_out` counts by itself
        client.max_queued_messages_set(0)
        client.connect_timeout = CONNECT_S
        client.on_socket_open = no_delay
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        return client

    def watch_received(self) -> None:
        """From now on `on_received` is told of PUBREC. PUBREC has no callback of its own; what paho says for its log is where it shows."""
        if self.client.on_log is None:
            self.client.on_log = self._logged

    def _connected(
        self,
        client: paho.Client,
        _data: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._answered = True
        if reason.is_failure:
            advice = _ADVICE.get(reason.value)
            text = f"the broker at {self.address} refuses the connection: {reason}"
            self._say(f"{text}; {advice}" if advice else text, refused=advice is not None)
            return
        self._backoff.reset()
        self.packet_limit = getattr(properties, "MaximumPacketSize", None)
        self.receive_limit = getattr(properties, "ReceiveMaximum", 65535)
        for topic, qos in self._topics:
            client.subscribe(topic, qos)
        self.connects += 1
        if self.trouble:
            self._log.info("connected to the broker at %s", self.address)
        self.trouble, self.refused = "", False
        self._on_up(bool(flags.session_present))
        self.up.set()

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode | None, _properties: Any
    ) -> None:
        self._lost(f"the broker at {self.address} is gone: {reason}")

    def _lost(self, why: str) -> None:
        if self.up.is_set():
            self.up.clear()
            self._on_down()
            if why:
                self._say(why)

    def _published(
        self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode | None, _properties: Any
    ) -> None:
        self._on_ack(mid, reason)

    def _subscribed(
        self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        for (topic, _), reason in zip(self._topics, reasons, strict=False):
            if reason.is_failure:
                self._say(f"the broker at {self.address} refuses the subscription to '{topic}': {reason}", refused=True)

    def _logged(self, _client: paho.Client, _data: Any, _level: int, text: str) -> None:
        received = _PUBREC.match(text)
        if received is not None:
            self._on_received(int(received[1]))

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload), message.retain)

    def _say(self, trouble: str, *, refused: bool = False) -> None:
        if trouble != self.trouble:
            self._log.warning("%s", trouble)
        self.trouble, self.refused = trouble, refused


class _Names:
    """The client ids that links of this process use at one broker: two of one name would throw each other out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    def take(self, *names: str) -> str:
        """The first that is free, else the last with a random end."""
        with self._lock:
            name = next((one for one in names if one not in self._taken), f"{names[-1]}-{secrets.token_hex(3)}")
            self._taken.add(name)
            return name

    def is_free(self, wanted: str, own: str) -> bool:
        """Whether the wanted name can be had in place of one's own."""
        return bool(wanted) and wanted != own and wanted not in self._taken

    def let_go(self, name: str) -> None:
        """Not used any more."""
        with self._lock:
            self._taken.discard(name)


def no_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    """Without this, Nagle's algorithm holds small packets back for up to 40 ms."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
