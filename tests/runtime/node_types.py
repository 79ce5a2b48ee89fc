"""Nodes for runtime tests, written into a `nodes/` folder beside a flow, as a user would."""

from __future__ import annotations

import textwrap
from pathlib import Path

NODES = {
    "numbers": '''
        import time
        from collections.abc import Iterator
        from flowrt import Record, Source

        class Numbers(Source):
            """Count from 0 to n - 1."""
            n: int = 10
            every_s: float = 0.0
            fail_at: int = -1

            def produce(self) -> Iterator[Record]:
                for number in range(self.n):
                    if self.context.stopping.is_set():
                        return
                    if number == self.fail_at:
                        raise RuntimeError(f"no number {number}")
                    if self.every_s and not self.context.clock.sleep(self.every_s, self.context.stopping):
                        return
                    yield Record(time_s=float(number), camera_id=self.context.node, data={"number": number})
    ''',
    "bursts": '''
        from collections.abc import Iterator
        from flowrt import Record, Source, Tick

        class Bursts(Source):
            """Count from 0 to n - 1, `at_once` numbers in a list, each tenth a tick and by itself where `ticks` says so."""
            n: int = 1000
            at_once: int = 100
            ticks: bool = False

            def produce(self) -> Iterator[Record | Tick | list[Record | Tick]]:
                yield []
                for first in range(0, self.n, self.at_once):
                    if self.context.stopping.is_set():
                        return
                    yield [self._one(number) for number in range(first, min(first + self.at_once, self.n))]

            def _one(self, number: int) -> Record | Tick:
                if self.ticks and number % 10 == 0:
                    return Tick(time_s=float(number), camera_id=self.context.node, count=number)
                return Record(time_s=float(number), camera_id=self.context.node, data={"number": number})
    ''',
    "sieve": '''
        from flowrt import Record, Tick, Transform

        class Sieve(Transform):
            """Pass numbers on; of those divisible by 5, 7, 11, 13, in this order: none, a list of two, a tick, an error."""

            def process(self, record: Record) -> Record | Tick | list[Record] | None:
                number = record.data["number"]
                if number % 5 == 0:
                    return None
                if number % 7 == 0:
                    return [record, record]
                if number % 11 == 0:
                    return Tick(time_s=record.time_s, camera_id=record.camera_id, count=number)
                if number % 13 == 0:
                    raise RuntimeError("thirteen")
                return record
    ''',
    "pictures": '''
        from collections.abc import Iterator
        import numpy as np
        from flowrt import CameraStatus, Frame, Source

        class Pictures(Source):
            """A live source of frames, far faster than anything behind it."""
            n: int = 100
            every_s: float = 0.001

            @property
            def live(self) -> bool:
                return True

            def produce(self) -> Iterator[Frame | CameraStatus]:
                yield CameraStatus(time_s=0.0, status="online")
                for number in range(self.n):
                    if not self.context.clock.sleep(self.every_s, self.context.stopping):
                        return
                    yield Frame(time_s=float(number), camera_id=self.context.node, number=number, image=np.zeros((2, 2, 3), np.uint8))
                yield CameraStatus(time_s=float(self.n), status="offline")
    ''',
    "relay": '''
        from typing import Annotated
        from flowrt import M, Transform, setting

        class Relay(Transform):
            """Pass everything on."""
            label: str = ""
            place: Annotated[str, setting("Where.", restart=True)] = ""

            def process(self, message: M) -> M:
                return message
    ''',
    "total": '''
        from typing import Annotated
        from flowrt import Record, Transform, setting

        class Total(Transform):
            """Add up numbers, times a factor; remembers the sum."""
            factor: float = 1.0
            carry: Annotated[bool, setting("Carry the sum over to a successor.", restart=True)] = True

            def open(self, context):
                self._sum = 0.0
                self._opened = True

            def reconfigured(self, changed):
                if self.factor < 0:
                    raise ValueError("the factor must not be negative")

            def process(self, record: Record) -> Record | None:
                self._sum += record.data["number"] * self.factor
                if record.data["number"] == 13:
                    raise RuntimeError("thirteen")
                return Record(time_s=record.time_s, camera_id=record.camera_id, data={"number": record.data["number"], "sum": self._sum})

            def export_state(self):
                return self._sum if self.carry else None

            def import_state(self, state):
                self._sum = state
    ''',
    "think": '''
        import time
        from concurrent.futures import Future, ThreadPoolExecutor
        from typing import Annotated
        from flowrt import Frame, Inference, M, Message, Record, setting

        class Think(Inference[Future]):
            """Take a while on another thread, in order."""
            takes_s: Annotated[float, setting("How long.")] = 0.002
            brain: Annotated[str, setting("Which.", restart=True)] = "a"

            def open(self, context):
                self._pool = ThreadPoolExecutor(2)

            def close(self):
                self._pool.shutdown()

            def submit(self, message: Record | Frame) -> Future:
                brain = self.brain
                def work():
                    time.sleep(self.takes_s)
                    number = message.data["number"] if isinstance(message, Record) else message.number
                    return Record(time_s=message.time_s, camera_id=message.camera_id, data={"number": number, "brain": brain})
                return self._pool.submit(work)

            def collect(self, pending: Future) -> Record:
                return pending.result()
    ''',
    "keep": '''
        from flowrt import Message, Transform

        class Keep(Transform):
            """Remember every message, for tests."""

            def open(self, context):
                self.seen = []
                self.finished = False

            def process(self, message: Message) -> None:
                self.seen.append(message)

            def finish(self):
                self.finished = True
                return ()

            def export_state(self):
                return self.seen

            def import_state(self, state):
                self.seen = state
    ''',
    "fussy": '''
        from typing import Annotated
        from flowrt import Record, Transform, setting

        class Fussy(Transform):
            """Opens only where it likes the place."""
            place: Annotated[str, setting("Where.", restart=True)] = "good"

            def open(self, context):
                if self.place != "good":
                    raise OSError(f"{self.place} is no place to open")

            def process(self, record: Record) -> Record:
                return record
    ''',
    "letters": '''
        from collections.abc import Iterator
        from flowrt import OutboxRecord, Outbox, Record

        class Letters(Outbox):
            """Deliver into a list."""

            def open(self, context):
                self.delivered = []
                self.away = False

            def encode(self, record: Record) -> Iterator[OutboxRecord]:
                yield OutboxRecord(id=f"{record.camera_id}-{record.data['number']}", time_s=record.time_s, address="numbers", body=str(record.data["number"]).encode())

            def deliver(self, letters, receipt) -> None:
                from flowrt import Retry
                if self.away:
                    raise Retry("away", 0.01)
                for letter in letters:
                    self.delivered.append(letter.id)
                    receipt.delivered(letter)

            def export_state(self):
                return self.delivered

            def import_state(self, state):
                self.delivered = state
    ''',
    "caught": '''
        from flowrt import Fault, Transform

        class Caught(Transform):
            """Remember faults."""

            def open(self, context):
                self.seen = []

            def process(self, fault: Fault) -> None:
                self.seen.append(fault)
    ''',
}  # fmt: skip


def write_nodes(folder: Path) -> None:
    """Write the library into `folder`/nodes."""
    nodes = folder / "nodes"
    nodes.mkdir(exist_ok=True)
    for name, text in NODES.items():
        (nodes / f"{name}.py").write_text(textwrap.dedent(text))
