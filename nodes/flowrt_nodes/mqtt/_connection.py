"""One MQTT connection that keeps itself up, for the nodes that publish and those that listen.

paho runs the network on a thread of its own and reconnects; the waits between are doubling and random (`Backoff`). The session is new
for each `MqttLink` and resumed after that with MQTT 5, so a message under way survives a broken connection inside paho.
Why a connection does not come about is in `trouble`, in words without secrets; `refused` says whether somebody has to do something
about it, since it will not pass by itself.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from flowrt import Context
from flowrt.backoff import Backoff
from flowrt.services import Mqtt
from flowrt_nodes.mqtt import _embedded_broker as embedded
from flowrt_nodes.mqtt._paho import Client

PORTS = {"mqtt": 1883, "tcp": 1883, "mqtts": 8883, "ssl": 8883}
_ADVICE = {
    0x84: "set `version` to what it speaks",
    0x85: "check client_id",
    0x86: "check username and password",
    0x87: "check username and password",
    0x8A: "ask who runs the broker",
    0x8C: "check username and password",
    0x9D: "set `url` to where the broker has moved",
}
"""What to do where a connection is refused until somebody does something; other reasons may pass. paho gives MQTT 3.1.1's these numbers."""
SESSION_S = 3600
CONNECT_S = 5.0


class Address(msgspec.Struct, frozen=True):
    """Where the broker is."""

    host: str
    port: int
    tls: bool
    username: str = ""
    password: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address_of(service: Mqtt, url: str) -> Address:
    """The address in a URL. User and password may stand in it, those of the service go before."""
    parts = urlsplit(url)
    return Address(
        parts.hostname or "localhost",
        parts.port or PORTS[parts.scheme],
        parts.scheme in ("mqtts", "ssl"),
        service.username or unquote(parts.username or ""),
        service.password or unquote(parts.password or ""),
    )


def service_of(context: Context, name: str) -> Mqtt:
    """The broker's block of that name; defaults where the flow has none."""
    service = context.services.get(name)
    return service if isinstance(service, Mqtt) else Mqtt()


def prefix_of(context: Context, service: Mqtt) -> str:
    """What every topic begins with."""
    return service.prefix.replace("{site}", context.site)


class MqttLink:
    """A connection to the broker of a service, or to the embedded one where it names none.

    Callbacks come on the network thread: on_up(resumed) after each connect, on_down() after each loss, on_ack(mid, reason) for each
    published message that the broker answered (reason None where the protocol has none), on_message(topic, payload, retained) for
    each message of `topics`, (filter, QoS), which are subscribed to after each connect. What blocks there makes the broker wait.
    session_s: for how long the broker keeps what belongs to a connection that is away (MQTT 5).
    """

    def __init__(
        self,
        context: Context,
        service: Mqtt,
        *,
        will: tuple[str, bytes] | None = None,
        topics: Sequence[tuple[str, int]] = (),
        session_s: int = SESSION_S,
        on_up: Callable[[bool], None] = lambda resumed: None,
        on_down: Callable[[], None] = lambda: None,
        on_ack: Callable[[int, ReasonCode | None], None] = lambda mid, reason: None,
        on_message: Callable[[str, bytes, bool], None] = lambda topic, body, retained: None,
    ) -> None:
        self._context, self._log = context, context.log
        self._service = service
        self._topics, self._session_s = topics, session_s
        self._on_up, self._on_down, self._on_ack, self._on_message = on_up, on_down, on_ack, on_message
        self.up = threading.Event()
        self.trouble = "not connected yet"
        self.refused = False
        self.connects = 0
        self.packet_limit: int | None = None
        self.receive_limit = 65535
        self._backoff = Backoff(most_s=10.0)
        self.embedded: embedded.EmbeddedBroker | None = None
        if not service.url:
            self.embedded = context.shared.acquire(embedded.KEY, lambda: embedded.start(context))
        try:
            self.address = address_of(service, self.embedded.url if self.embedded else service.url)
            # amqtt knows no MQTT 5
            self.mqtt5 = service.version == 5 and not (self.embedded and self.embedded.kind == "amqtt")
            self._will = will
            self.client = self._make()
        except BaseException:
            self._let_go()
            raise

    def _make(self) -> Client:
        service, address = self._service, self.address
        name = f"{service.client_id or f'flowrt-{self._context.flow}'}-{self._context.node}-{secrets.token_hex(3)}"
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5 if self.mqtt5 else paho.MQTTv311
        )
        if address.username:
            client.username_pw_set(address.username, address.password or None)
        if address.tls:
            client.tls_set_context(self._tls())
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.max_inflight_messages_set(0)  # `mqtt_out` counts by itself
        client.max_queued_messages_set(0)
        client.connect_timeout = CONNECT_S
        client.on_socket_open = _no_delay
        client.on_pre_connect = self._before_connect
        client.on_connect = self._connected
        client.on_connect_fail = self._connect_failed
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._arrived
        client.on_taken = self._on_ack
        return client

    def _tls(self) -> ssl.SSLContext:
        """Raises ValueError that names the file which is no good."""
        service, path = self._service, self._context.path
        try:
            tls = ssl.create_default_context(cafile=str(path(service.ca_file)) if service.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"ca_file {service.ca_file} can't be used: {error}") from error
        if service.cert_file:
            key = str(path(service.key_file)) if service.key_file else None
            try:
                tls.load_cert_chain(str(path(service.cert_file)), key)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"cert_file {service.cert_file} with its key can't be used: {error}") from error
        return tls

    def start(self) -> None:
        """Begin to connect; does not wait for it."""
        properties = None
        if self.mqtt5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
            properties.SessionExpiryInterval = self._session_s
            self.client.connect_async(
                self.address.host, self.address.port, self._service.keepalive_s, properties=properties
            )
        else:
            self.client.connect_async(self.address.host, self.address.port, self._service.keepalive_s)
        self.client.loop_start()

    def renew(self) -> None:
        """A new client with a new session in place of the old one; what that had under way is forgotten."""
        old = self.client
        old.disconnect()
        old.loop_stop()
        self.up.clear()
        self.client = self._make()
        self.start()

    def break_off(self, why: str) -> None:
        """Cut the connection, so that it is made again and what is under way is sent again."""
        self._log.warning("the connection to the broker at %s is made again: %s", self.address, why)
        sock: Any = self.client.socket()
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                self._log.debug("the socket was closed already: %s", error)

    def close(self, farewell: Sequence[tuple[str, bytes]] = ()) -> None:
        """Publish the farewell (retained) where connected, then disconnect."""
        if self.up.is_set():
            for topic, body in farewell:
                sent = self.client.publish(topic, body, qos=1, retain=True)
                try:
                    sent.wait_for_publish(1.0)
                except (RuntimeError, ValueError) as error:
                    self._log.debug("the farewell was not sent: %s", error)
        self.up.clear()  # going is no trouble
        self.client.disconnect()
        self.client.loop_stop()
        self._let_go()

    def _let_go(self) -> None:
        if self.embedded is not None:
            self.embedded = None
            self._context.shared.release(embedded.KEY)

    def status(self) -> dict[str, Any]:
        """For `/api/status`."""
        state: dict[str, Any] = {"broker": str(self.address), "connected": self.up.is_set(), "connects": self.connects}
        if self.embedded is not None:
            state["embedded"] = self.embedded.kind
        if self.trouble:
            state["trouble"] = self.trouble
        return state

    # -- on the network thread -------------------------------------------------------------------------------------

    def _before_connect(self, client: paho.Client, _data: Any) -> None:
        wait_s = self._backoff.wait_s()
        client.reconnect_delay_set(wait_s, wait_s)  # type: ignore[arg-type]  # paho adds it to a float

    def _connected(
        self,
        client: paho.Client,
        _data: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            advice = _ADVICE.get(reason.value)
            text = f"the broker at {self.address} refuses the connection: {reason}"
            self._say(f"{text}; {advice}" if advice else text, refused=advice is not None)
            return
        self._backoff.reset()
        wait_s = self._backoff.wait_s()
        client.reconnect_delay_set(wait_s, wait_s)  # type: ignore[arg-type]  # paho adds it to a float
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

    def _connect_failed(self, _client: paho.Client, _data: Any) -> None:
        error = sys.exception()  # paho calls this while it handles what connecting raised
        self._say(
            f"the broker at {self.address} can't be reached: {error or 'no reason given'}",
            refused=isinstance(error, ssl.SSLCertVerificationError),
        )

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode | None, _properties: Any
    ) -> None:
        was_up = self.up.is_set()
        self.up.clear()
        if was_up:
            self._say(f"the broker at {self.address} is gone: {reason}")
            self._on_down()

    def _published(
        self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode | None, _properties: Any
    ) -> None:
        self._on_ack(mid, reason)

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload), message.retain)

    def _say(self, trouble: str, *, refused: bool = False) -> None:
        if trouble != self.trouble:
            self._log.warning("%s", trouble)
        self.trouble, self.refused = trouble, refused


def _no_delay(_client: paho.Client, _data: Any, sock: Any) -> None:
    """Without this, Nagle's algorithm holds small packets back for up to 40 ms."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
