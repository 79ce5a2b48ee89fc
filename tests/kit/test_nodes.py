"""The kit for authors: what runs one node, without a flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flowrt import (
    Acknowledger,
    Context,
    Detections,
    Frame,
    Inference,
    Message,
    Outbox,
    OutboxRecord,
    Record,
    Reject,
    Retry,
    SideInput,
    SignalState,
    Source,
    Tick,
    Transform,
)
from flowrt.catalog import NodeTypeError
from flowrt.testing import context, deliver, golden, run


def ticks(*times_s: float) -> list[Tick]:
    return [Tick(time_s=time_s, count=n) for n, time_s in enumerate(times_s)]


class Told(Transform):
    """Says what it got, when, and in which light."""

    signal: SideInput = ""

    def open(self, context: Context) -> None:
        self._light = "none"

    def on_signal(self, state: SignalState) -> None:
        self._light = state.states["cars"]

    def process(self, tick: Tick) -> Record:
        return Record(time_s=tick.time_s, data={"light": self._light, "now_s": self.context.clock.now_s()})

    def finish(self) -> Iterator[Record]:
        yield Record(time_s=0.0, data={"end": True})


def test_messages_arrive_by_time_under_a_virtual_clock_and_side_inputs_first() -> None:
    lights = [SignalState(time_s=t, states={"cars": state}) for t, state in ((2.0, "red"), (3.0, "green"))]
    made = run(Told(), [*ticks(1.0, 2.0, 4.0), *lights])
    assert [each.data for each in made if isinstance(each, Record)] == [
        {"light": "none", "now_s": 1.0},
        {"light": "red", "now_s": 2.0},
        {"light": "green", "now_s": 4.0},
        {"end": True},
    ]


def test_what_no_port_takes_is_an_error_that_says_what_is_taken() -> None:
    with pytest.raises(TypeError, match="Told takes Tick, SignalState, found Record"):
        run(Told(), [Record(time_s=0.0, data={})])


def test_ports_are_read_as_the_loader_reads_them() -> None:
    class Untyped(Transform):
        """No port."""

        def process(self, message):  # type: ignore[no-untyped-def]  # what is tested
            return message

    with pytest.raises(NodeTypeError, match="needs a message type"):
        run(Untyped(), [])


def test_an_inference_is_collected_in_order() -> None:
    class Half(Inference[int]):
        """Takes three at once."""

        @property
        def in_flight(self) -> int:
            return 3

        def submit(self, tick: Tick) -> int | None:
            return tick.count if tick.count % 2 == 0 else None

        def collect(self, pending: int) -> Record:
            return Record(time_s=float(pending), data={})

    assert [each.time_s for each in run(Half(), ticks(*range(8)))] == [0.0, 2.0, 4.0, 6.0]


def test_an_endless_source_ends_at_a_time_or_after_a_thousand_messages() -> None:
    class Beat(Source):
        """For ever."""

        endless = True

        def produce(self) -> Iterator[Tick]:
            count = 0
            while not self.context.stopping.is_set():
                yield Tick(time_s=count / 2, count=count)
                count += 1

    assert len(run(Beat(), until_s=10.0)) == 21
    assert len(run(Beat())) == 1000


class Picky(Outbox):
    """Refuses odd numbers and is away at first."""

    def open(self, context: Context) -> None:
        self._calls = 0

    def encode(self, message: Message) -> Iterator[OutboxRecord]:
        assert isinstance(message, Tick)
        yield OutboxRecord(id=str(message.count), time_s=message.time_s, address="a", body=b"")

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        self._calls += 1
        if self._calls == 1:
            raise Retry("away", after_s=60)
        if any(int(record.id) % 2 for record in records):
            raise Reject("odd")
        acknowledger.delivered_all(records)


def test_a_sink_is_asked_again_and_what_it_rejects_is_found() -> None:
    sink = deliver(Picky(), ticks(0, 1, 2))
    assert [record.id for record in sink.sent] == ["0", "2"]
    assert [(record.id, why) for record, why in sink.refused] == [("1", "odd")]
    assert [retry.after_s for retry in sink.retries] == [60]
    assert sink.waiting == []
    with pytest.raises(TypeError, match="`deliver` runs it"):
        run(Picky(), [])


def test_a_context_of_ones_own(tmp_path: Path, node_context: Context) -> None:
    assert node_context.data.is_dir()
    assert node_context.clock.virtual
    made = run(Told(), ticks(5.0), context=context(tmp_path, node="mine"))
    assert len(made) == 2


def test_a_golden_file_is_compared_shown_and_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWRT_GOLDEN", raising=False)
    file = tmp_path / "golden" / "x.json"
    with pytest.raises(AssertionError, match="was not there and is written now"):
        golden(ticks(1.0), file)
    golden(ticks(1.0 + 1e-9), file)
    with pytest.raises(
        AssertionError, match=r'(?s)-    "time": "1970-01-01T00:00:01.*\+    "time": "1970-01-01T00:00:02'
    ):
        golden(ticks(2.0), file)
    monkeypatch.setenv("FLOWRT_GOLDEN", "update")
    golden(ticks(2.0), file)
    monkeypatch.delenv("FLOWRT_GOLDEN")
    golden(ticks(2.0), file)


def test_a_picture_goes_into_a_detector() -> None:
    import numpy as np

    class Nothing(Transform):
        """Sees nothing."""

        def process(self, frame: Frame) -> Detections:
            empty = np.zeros(0, np.float32)
            return Detections(
                time_s=frame.time_s, boxes_px=np.zeros((0, 4), np.float32), confidence=empty,
                class_id=np.zeros(0, np.int64), labels=(), picture_px=frame.size_px,
            )  # fmt: skip

    [seen] = run(Nothing(), [Frame(time_s=1.0, image=np.zeros((72, 128, 3), np.uint8))])
    assert isinstance(seen, Detections)
    assert seen.picture_px == (128, 72)
