"""An MQTT broker of which each answer is scripted: for faults that no real broker makes on demand. It knows just enough of the protocol."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.raw_server import serving

CONNACK_5 = b"\x20\x03\x00\x00\x00"
CONNACK_311 = b"\x20\x02\x00\x00"


class Packet(NamedTuple):
    """kind: 1 CONNECT, 3 PUBLISH, 8 SUBSCRIBE, 12 PINGREQ, 14 DISCONNECT. connection: how many came before this one."""

    kind: int
    flags: int
    body: bytes
    connection: int

    @property
    def mid(self) -> bytes:
        """The two bytes of a PUBLISH's or SUBSCRIBE's packet identifier."""
        if self.kind == 8:
            return self.body[:2]
        end = 2 + int.from_bytes(self.body[:2], "big")
        return self.body[end : end + 2]

    @property
    def client_id(self) -> str:
        """Of a CONNECT."""
        at = 10
        if self.body[6] == 5:
            at += 1 + self.body[10]  # properties, less than 128 bytes of them
        return self.body[at + 2 : at + 2 + int.from_bytes(self.body[at : at + 2], "big")].decode()


Script = Callable[[Packet], bytes | None]


def well(packet: Packet) -> bytes:
    """What a broker that is well answers (MQTT 5)."""
    match packet.kind:
        case 1:
            return CONNACK_5 if packet.body[6] == 5 else CONNACK_311
        case 3 if packet.flags & 6:
            return b"\x40\x02" + packet.mid
        case 8:
            return b"\x90\x04" + packet.mid + b"\x00\x01"
        case 12:
            return b"\xd0\x00"
    return b""


@contextmanager
def scripted_broker(script: Script = well) -> Iterator[tuple[str, list[Packet]]]:
    """Its address, and what came. Where the script says None, it hangs up."""
    packets: list[Packet] = []
    connections = [0]

    def serve(connection: socket.socket) -> None:
        number, connections[0] = connections[0], connections[0] + 1
        stream = connection.makefile("rb")
        while head := stream.read(1):
            length = shift = 0
            while True:
                byte = stream.read(1)[0]
                length |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    break
            packet = Packet(head[0] >> 4, head[0] & 15, stream.read(length), number)
            packets.append(packet)
            answer = script(packet)
            if answer is None:
                return
            connection.sendall(answer)

    with serving(serve) as url:
        yield url.replace("http:", "mqtt:"), packets
