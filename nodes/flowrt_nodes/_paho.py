"""The MQTT client package with what it does slowly, or wrongly, done over.

There are no public hooks for any of this, so it leans on private names of paho 2.2, to which the project is pinned; the tests of
`mqtt_out` tell when they change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

_READ_BYTES = 65_536
_SEND_BYTES = 65_536


class Client(paho.Client):
    """paho, as it is wanted here.

    - A QoS 2 exchange ends where the broker refuses it. A PUBREC with a reason of 0x80 or more is the last word (MQTT 5, section 4.3.3);
      paho 2.2 ignores the reason and sends PUBREL, whereupon Mosquitto closes the connection.
    - A short way for what the broker takes: paho makes a dozen objects of each PUBACK, most of what receiving one costs.
    - Reads as much as there is with one system call, where paho makes three for each PUBACK, and each lets go of the GIL.
    - What the network thread itself queues needs no waking of the network thread, and messages queued in a row are sent as one.
    """

    on_taken: Callable[[int, ReasonCode | None], None]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._source: Any = None  # the socket that `_read` came from
        self._read, self._used = b"", 0

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._sock is not self._source:
            self._source, self._read, self._used = self._sock, b"", 0
        if self._used == len(self._read):
            self._read, self._used = super()._sock_recv(_READ_BYTES), 0
        piece = self._read[self._used : self._used + bufsize]
        self._used += len(piece)
        return piece

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle what came, until nothing is left in our own buffer either, and send what that gave rise to."""
        result = super().loop_read(max_packets)
        while result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._source is self._sock and self._used < len(self._read):
            result = super().loop_read(max_packets)
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and self._out_packet:
            return self.loop_write()
        return result

    def _packet_queue(
        self, command: int, packet: Any, mid: int, qos: int, info: paho.MQTTMessageInfo | None = None
    ) -> MQTTErrorCode:
        if threading.current_thread() is not self._thread:
            return super()._packet_queue(command, packet, mid, qos, info)
        acknowledged = command & 0xF0 == PacketTypes.PUBLISH << 4 and qos > 0
        last = self._out_packet[-1] if self._out_packet else None
        if acknowledged and last is not None and self._may_grow(last):
            last["packet"] += packet
            last["to_process"] += len(packet)
        else:
            self._out_packet.append(
                {
                    "command": command, "mid": mid, "qos": qos, "pos": 0,
                    "to_process": len(packet), "packet": packet, "info": info,
                }
            )  # fmt: skip
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _may_grow(self, queued: Any) -> bool:
        """Whether this is of a kind with which nothing happens once it is sent, and was not begun."""
        is_publish = queued["command"] & 0xF0 == PacketTypes.PUBLISH << 4
        whole = queued["pos"] == 0 and len(queued["packet"]) < _SEND_BYTES
        return bool(is_publish and queued["qos"] > 0 and whole)

    def _handle_pubrec(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if self.protocol == paho.MQTTv5 and len(packet) > 2 and packet[2] >= 0x80:
            mid = int.from_bytes(packet[:2], "big")
            reason = ReasonCode(PacketTypes.PUBREC, identifier=packet[2])
            properties = Properties(PacketTypes.PUBREC)  # type: ignore[no-untyped-call]  # paho's
            with self._out_message_mutex:
                if mid in self._out_messages:
                    return self._do_on_publish(mid, reason, properties)
        return super()._handle_pubrec()

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) > 2 and packet[2] >= 0x80:
            return super()._handle_pubackcomp(cmd)
        mid = packet[0] << 8 | packet[1]
        with self._out_message_mutex:
            message = self._out_messages.pop(mid, None)
            if message is None:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            self._inflight_messages -= 1
        message.info._set_as_published()
        self.on_taken(mid, None)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


class ReadyProperties(Properties):
    """Properties that many messages share, packed once. `forget` after a change."""

    def pack(self) -> bytes:
        """The bytes that go out."""
        ready: bytes | None = self.__dict__.get("ready")
        if ready is None:
            ready = self.__dict__["ready"] = super().pack()  # type: ignore[no-untyped-call]  # paho's
        return ready

    def forget(self) -> None:
        """Pack again when next asked."""
        self.__dict__.pop("ready", None)
