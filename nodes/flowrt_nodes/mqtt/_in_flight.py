"""What an out-node has taken over and the broker has not acknowledged yet: one place for each record, from `add` to the end.

A record waits in order, then it is with paho under the id that paho gave it, then it is answered or forgotten. `add` is called by the
deliverer, everything else on the connection's thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from flowrt import OutboxRecord


class PublishProperties(Properties):
    """Properties that many messages share: paho only reads them, and packing them costs as much as sending."""

    _packed: bytes = b""

    def __init__(self, *, content_type: str, expiry_s: int) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
        self.ContentType = content_type
        if expiry_s:
            self.MessageExpiryInterval = expiry_s

    def mark_resent(self) -> None:
        """What is sent from now on says that it is a repetition."""
        if not hasattr(self, "UserProperty"):
            self.UserProperty = ("resent", "true")
            object.__setattr__(self, "_packed", b"")

    def pack(self) -> bytes:
        """The bytes that go out."""
        if not self._packed:
            object.__setattr__(self, "_packed", super().pack())  # type: ignore[no-untyped-call]  # paho's
        return self._packed


class Sent(msgspec.Struct):
    """A record that is with paho. qos: it was sent with. since: when, or when the connection was made again.

    losses: connections lost while it was under way. received: whether the broker answered its QoS 2 with PUBREC on this connection.
    """

    record: OutboxRecord
    qos: int
    since: float
    properties: PublishProperties | None
    losses: int = 0
    received: bool = False


class InFlight:
    """The records of one out-node that are under way. lost: why some of them have to come from the journal again; empty where none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[OutboxRecord] = deque()
        self._sent: dict[int, Sent] = {}
        self._numbers: set[int] = set()  # of both
        self.lost = ""

    def __len__(self) -> int:
        """How many are with paho."""
        return len(self._sent)

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._waiting

    def add(self, records: Iterable[OutboxRecord]) -> None:
        """Take records over; those that are under way already stay as they are."""
        with self._lock:
            new = [record for record in records if record.number not in self._numbers]
            self._numbers.update(record.number for record in new)
            self._waiting.extend(new)

    def next(self) -> OutboxRecord | None:
        """The record that is sent next, which `sent` or `done` is to be told of."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def sent(self, mid: int, record: OutboxRecord, qos: int, properties: PublishProperties | None) -> None:
        """paho has it, under that id."""
        with self._lock:
            self._sent[mid] = Sent(record, qos, time.monotonic(), properties)

    def received(self, mid: int) -> None:
        """The broker has it at QoS 2; the rest of the exchange is to follow."""
        with self._lock:
            sent = self._sent.get(mid)
            if sent is not None:
                sent.received = True

    def answered(self, mid: int) -> Sent | None:
        """What the answer to that id is about; None where it concerns no record."""
        with self._lock:
            sent = self._sent.pop(mid, None)
            if sent is not None:
                self._numbers.discard(sent.record.number)
            return sent

    def done(self, record: OutboxRecord, *, lost: str = "") -> None:
        """It is not sent, or was answered at once. lost: why it has to come from the journal again."""
        with self._lock:
            self._numbers.discard(record.number)
            self.lost = lost or self.lost

    def unacknowledged(self) -> list[Sent]:
        """What is with paho, in order."""
        with self._lock:
            return list(self._sent.values())

    def lose(self, why: str, *, qos_0_only: bool = False) -> None:
        """paho has them no more, so they come from the journal again. Without `qos_0_only` that goes for what waits, too."""
        with self._lock:
            if qos_0_only:
                lost = {mid: sent for mid, sent in self._sent.items() if sent.qos == 0}
                for mid, sent in lost.items():
                    del self._sent[mid]
                    self._numbers.discard(sent.record.number)
                if not lost:
                    return
            else:
                if not self._numbers:
                    return
                self._waiting.clear()
                self._sent.clear()
                self._numbers.clear()
            self.lost = why

    def take_lost(self) -> str:
        """Why records have to come again, once."""
        with self._lock:
            why, self.lost = self.lost, ""
            return why

    def oldest_s(self) -> float:
        """For how long the oldest has waited for its answer."""
        with self._lock:
            since = min((sent.since for sent in self._sent.values()), default=None)
        return 0.0 if since is None else time.monotonic() - since

    def restart_clocks(self) -> None:
        """The connection was made again: what is under way is sent again now."""
        now = time.monotonic()
        with self._lock:
            for sent in self._sent.values():
                sent.since = now
