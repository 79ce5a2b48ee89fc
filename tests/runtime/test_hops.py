"""Hops: every way out of a node is counted, contained and in order, also where nodes in a row are gone through in one loop."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flowrt.message import Message, Record, Tick
from flowrt.runtime import Runtime
from tests.runtime.conftest import Bench

N = 3000


def ended(bench: Bench, nodes: str, *, threads: bool = True) -> Runtime:
    runtime = bench.runtime(nodes, threads=threads)
    runtime.start()
    assert runtime.wait(60)
    runtime.stop()
    assert runtime.ledger()["balanced"], runtime.ledger()
    return runtime


def sifted(numbers: range) -> list[tuple[str, int]]:
    """What the sieve makes of numbers."""
    made: list[tuple[str, int]] = []
    for number in numbers:
        if number % 5 == 0:
            continue
        if number % 7 == 0:
            made += [("Record", number), ("Record", number)]
        elif number % 11 == 0:
            made.append(("Tick", number))
        elif number % 13:
            made.append(("Record", number))
    return made


def seen(runtime: Runtime, name: str = "end") -> list[tuple[str, int]]:
    return [(type(message).__name__, number(message)) for message in runtime.runners[name].node.seen]


def number(message: Message) -> int:
    if isinstance(message, Tick):
        return message.count
    assert isinstance(message, Record)
    return int(message.data["number"])


def counts(runtime: Runtime) -> dict[str, tuple[int, ...]]:
    nodes = runtime.status()["nodes"]
    return {
        name: tuple(row[key] for key in ("in", "out", "emitted", "dropped", "errors")) for name, row in nodes.items()
    }


@pytest.mark.parametrize("source", ["numbers, n: 3000", "bursts, n: 3000, at_once: 150"])
def test_every_way_out_of_a_node_is_counted_and_taken_in_order(bench: Bench, source: str) -> None:
    runtime = ended(
        bench,
        f"""
        count: {{type: {source}}}
        a: {{type: relay, from: count}}
        sieve: {{type: sieve, from: a}}
        b: {{type: relay, from: sieve}}
        end: {{type: keep, from: b}}
        """,
    )
    wanted = sifted(range(N))
    assert seen(runtime) == wanted
    thirteens = sum(n % 13 == 0 and n % 5 != 0 and n % 7 != 0 and n % 11 != 0 for n in range(N))
    made = len(wanted)
    assert counts(runtime) == {
        "count": (N, N, N, 0, 0),
        "a": (N, N, N, 0, 0),
        "sieve": (N, N - thirteens, made + thirteens, 0, thirteens),  # each fault is emitted, too
        "b": (made, made, made, 0, 0),
        "end": (made, made, 0, 0, 0),
    }
    assert runtime.runners["a"].sent == N
    assert runtime.runners["a"].timed < 1000, "a quick node is not timed at each message"


def test_what_fails_is_caught_before_the_next_message_is_carried(bench: Bench) -> None:
    (bench.folder / "nodes" / "faulty.py").write_text(
        '"""faulty: faults as ticks."""\n\nfrom flowrt import Fault, Tick, Transform\n\n\n'
        'class Faulty(Transform):\n    """Make a tick of each fault."""\n\n'
        "    def process(self, fault: Fault) -> Tick:\n"
        '        return Tick(time_s=fault.time_s, camera_id="fault", count=int(fault.time_s))\n'
    )
    runtime = ended(
        bench,
        """
        count: {type: bursts, n: 3000}
        a: {type: relay, from: count}
        sieve: {type: sieve, from: a}
        faults: {type: faulty, from: sieve}
        end: {type: keep, from: [sieve, faults]}
        """,
    )
    errors = runtime.runners["sieve"].errors
    assert errors > 100
    told = [number(message) for message in runtime.runners["end"].node.seen]
    assert told == sorted(told), "the fault of a message comes before what the next one makes"
    assert sum(message.camera_id == "fault" for message in runtime.runners["end"].node.seen) == errors


def test_several_types_in_a_list_go_their_ways(bench: Bench) -> None:
    runtime = ended(
        bench,
        """
        count: {type: bursts, n: 3000, ticks: true}
        a: {type: relay, from: count}
        end: {type: keep, from: a}
        """,
    )
    assert seen(runtime) == [("Record" if n % 10 else "Tick", n) for n in range(N)]
    assert counts(runtime)["count"] == (N, N, N, 0, 0)


def test_a_source_of_lists_that_feeds_several_nodes(bench: Bench) -> None:
    runtime = ended(
        bench,
        """
        count: {type: bursts, n: 3000, ticks: true}
        a: {type: relay, from: count}
        sieve: {type: sieve, from: count}
        end: {type: keep, from: a}
        other: {type: keep, from: sieve}
        """,
    )
    assert [n for _, n in seen(runtime)] == list(range(N))
    assert seen(runtime, "other") == [made for made in sifted(range(N)) if made[1] % 10], "the sieve takes no ticks"
    assert counts(runtime)["count"] == (N, N, N, 0, 0)
    assert runtime.runners["count"].sent == N + N - N // 10


def test_lists_are_merged_by_time_under_virtual_time(bench: Bench) -> None:
    from flowrt.runtime.virtual import run

    runtime = bench.runtime(
        """
        one: {type: bursts, n: 200, at_once: 50}
        two: {type: numbers, n: 200}
        both: {type: relay, from: [one, two]}
        end: {type: keep, from: both}
        """,
        threads=False,
    )
    runtime.start()
    assert run(runtime) == 400
    runtime.finish()
    assert [n for _, n in seen(runtime)] == sorted([*range(200), *range(200)])
    assert runtime.ledger()["balanced"]


def test_rewiring_under_load_loses_and_counts_nothing_twice(bench: Bench) -> None:
    flow = """
        count: {type: bursts, n: 100000000, at_once: 500}
        a: {type: relay, from: count}
        b: {type: relay, from: a}
        end: {type: tally, from: b}
    """
    (bench.folder / "nodes" / "tally.py").write_text(
        '"""tally: checks the order."""\n\nfrom flowrt import Record, Transform\n\n\n'
        'class Tally(Transform):\n    """Count, and fail at a gap."""\n\n'
        "    def open(self, context):\n        self.next = 0\n\n"
        "    def process(self, record: Record) -> None:\n"
        '        assert record.data["number"] == self.next, self.next\n        self.next += 1\n'
    )
    between = (
        flow.replace("b: {type: relay, from: a}", "b: {type: relay, from: more}") + "    more: {type: relay, from: a}\n"
    )
    aside = flow + "    aside: {type: relay, from: a}\n"
    runtime = bench.runtime(flow)
    runtime.start()
    for edit in [between, aside, flow, flow.replace("type: relay, from: a", "type: relay, from: a, place: attic")] * 5:
        facts: dict[str, Any] = bench.edit(runtime, edit)
        assert facts["ledger"]["balanced"], facts["ledger"]
        time.sleep(0.02)
    runtime.stop()
    end = runtime.runners["end"]
    assert end.errors == 0
    assert end.n_in == end.node.next == runtime.runners["count"].n_in > 10_000
    assert runtime.ledger()["balanced"]


def test_a_slow_node_given_a_list_does_not_hold_up_a_reload(bench: Bench) -> None:
    flow = """
        count: {type: bursts, n: 1000, at_once: 1000}
        a: {type: slow, from: count}
        end: {type: keep, from: a}
    """
    (bench.folder / "nodes" / "slow.py").write_text(
        '"""slow: takes its time."""\n\nimport time\n\nfrom flowrt import Record, Transform\n\n\n'
        'class Slow(Transform):\n    """Wait."""\n\n    wait_s: float = 0.02\n\n'
        "    def process(self, record: Record) -> Record:\n        time.sleep(self.wait_s)\n        return record\n"
    )
    runtime = bench.runtime(flow)
    runtime.start()
    while runtime.runners["end"].n_in < 3:
        time.sleep(0.01)
    assert runtime.status()["nodes"]["count"]["busy_s"] > 0
    before = runtime.runners["end"].n_in
    bench.edit(runtime, flow.replace("type: slow", "type: slow, wait_s: 0"))
    assert runtime.runners["end"].n_in < before + 500, "between two messages, not after the list"
    assert runtime.wait(60)
    runtime.stop()
    assert [n for _, n in seen(runtime)] == list(range(1000))
    assert "busy_s" not in runtime.status()["nodes"]["count"]
