"""The MQTT client package with what it does slowly, or wrongly, done over.

There are no public hooks for any of this, so it leans on private names of paho 2.2, to which the project is pinned; the tests of
`mqtt_out` tell when they change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import MessageState, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

_READ_BYTES = 65_536
_SEND_BYTES = 65_536
_TOPICS = 1000  # remembered
_FAILURE = 0x80  # reasons from here on say no
_ACKNOWLEDGED = (PacketTypes.PUBACK << 4, PacketTypes.PUBCOMP << 4)
_STATES = {1: MessageState.MQTT_MS_WAIT_FOR_PUBACK, 2: MessageState.MQTT_MS_WAIT_FOR_PUBREC}


class Client(paho.Client):
    """paho, as it is wanted here.

    - A QoS 2 exchange ends where the broker refuses it. A PUBREC with a reason of 0x80 or more is the last word (MQTT 5, section 4.3.3);
      paho 2.2 ignores the reason and sends PUBREL, whereupon Mosquitto closes the connection.
    - A short way for what the broker takes: PUBACK and PUBCOMP are read from where they came in, all that lie there at once; paho makes
      three system calls, each of which lets go of the GIL, and a dozen objects of each.
    - A short way for what is published at QoS 1 and 2: the same packet, without words for a log that nobody reads.
    - What the network thread itself queues needs no waking of the network thread, and messages queued in a row are sent as one.
    """

    on_taken: Callable[[int, ReasonCode | None], None]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._source: Any = None  # the socket that `_read` came from
        self._read, self._used = b"", 0
        self._topics: dict[str, bytes] = {}  # those that are good, as they stand in a packet

    def _fill(self) -> None:
        """Have something to read, or raise what reading from the socket raises."""
        if self._sock is not self._source:
            self._source, self._read, self._used = self._sock, b"", 0
        if self._used == len(self._read):
            self._read, self._used = super()._sock_recv(_READ_BYTES), 0

    def _sock_recv(self, bufsize: int) -> bytes:
        self._fill()
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

    def _packet_read(self) -> MQTTErrorCode:
        if self._in_packet["command"] == 0:  # between two packets
            try:
                self._fill()
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_AGAIN
            except OSError:
                pass  # paho meets it again, and knows what to do
            else:
                if self._take_acknowledgements():
                    return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._packet_read()

    def _take_acknowledgements(self) -> int:
        """Handle the plain PUBACKs and PUBCOMPs that lie next in the buffer; how many."""
        read, at, taken = self._read, self._used, 0
        while at + 4 <= len(read) and read[at] in _ACKNOWLEDGED and read[at + 1] in (2, 3):
            end = at + 2 + read[at + 1]
            if end > len(read) or (read[at + 1] == 3 and read[at + 4] >= _FAILURE):
                break
            self._used = end
            self._taken(read[at + 2] << 8 | read[at + 3])
            at, taken = end, taken + 1
        if taken:
            with self._msgtime_mutex:
                self._last_bytes_received = time.monotonic()
        return taken

    def publish(
        self,
        topic: str,
        payload: paho.PayloadType = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> paho.MQTTMessageInfo:
        """As paho's. The short way is for bytes, QoS 1 and 2, and clients that limit neither flights nor queue."""
        if (
            payload.__class__ is not bytes
            or qos not in (1, 2)
            or self._max_inflight_messages
            or self._max_queued_messages
        ):
            return super().publish(topic, payload, qos, retain, properties)
        assert isinstance(payload, bytes)
        head = self._topics.get(topic) or self._remember_topic(topic)
        mid = self._mid_generate()
        message = paho.MQTTMessage(mid, head[2:])
        message.timestamp, message.payload, message.properties = time.monotonic(), payload, properties
        message.qos, message.retain, message.dup = qos, retain, False
        packed = b""
        if self._protocol == paho.MQTTv5:
            packed = properties.pack() if properties is not None else b"\0"  # type: ignore[no-untyped-call]  # paho's
        packet = bytearray((PacketTypes.PUBLISH << 4 | qos << 1 | retain,))
        self._pack_remaining_length(packet, len(head) + 2 + len(packed) + len(payload))  # raises ValueError
        packet += b"".join((head, mid.to_bytes(2, "big"), packed, payload))
        with self._out_message_mutex:
            if mid in self._out_messages:
                message.info.rc = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
                return message.info
            self._out_messages[mid] = message
            if self._sock is None:  # paho sends it once it is connected
                message.state, message.info.rc = MessageState.MQTT_MS_PUBLISH, MQTTErrorCode.MQTT_ERR_NO_CONN
                return message.info
            self._inflight_messages += 1
            message.state = _STATES[qos]
            message.info.rc = self._packet_queue(paho.PUBLISH, packet, mid, qos, message.info)
        return message.info

    def _remember_topic(self, topic: str) -> bytes:
        """Raises ValueError where it is none to publish on."""
        name = topic.encode()
        if not name:
            raise ValueError("Invalid topic.")
        self._raise_for_invalid_topic(name)
        if len(self._topics) >= _TOPICS:
            self._topics.clear()
        self._topics[topic] = head = len(name).to_bytes(2, "big") + name
        return head

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
        if self.protocol == paho.MQTTv5 and len(packet) > 2 and packet[2] >= _FAILURE:
            mid = int.from_bytes(packet[:2], "big")
            reason = ReasonCode(PacketTypes.PUBREC, identifier=packet[2])
            properties = Properties(PacketTypes.PUBREC)  # type: ignore[no-untyped-call]  # paho's
            with self._out_message_mutex:
                if mid in self._out_messages:
                    return self._do_on_publish(mid, reason, properties)
        return super()._handle_pubrec()

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) > 2 and packet[2] >= _FAILURE:
            return super()._handle_pubackcomp(cmd)
        self._taken(packet[0] << 8 | packet[1])
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _taken(self, mid: int) -> None:
        """The broker has this one."""
        with self._out_message_mutex:
            message = self._out_messages.pop(mid, None)
            if message is None:
                return
            self._inflight_messages -= 1
        message.info._set_as_published()
        self.on_taken(mid, None)


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
