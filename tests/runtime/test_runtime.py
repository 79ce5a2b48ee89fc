"""The runtime: hops, order, accounts, faults, ends."""

from __future__ import annotations

import re
import threading
import time

import pytest

from flowrt.runtime import Runtime, StartFailed
from flowrt.runtime.virtual import run
from tests.runtime.conftest import Bench

CHAIN = """
    count: {type: numbers, n: 200}
    a: {type: relay, from: count}
    b: {type: total, from: a}
    end: {type: keep, from: b}
"""


def numbers(runtime: Runtime, name: str = "end") -> list[int]:
    return [message.data["number"] for message in runtime.runners[name].node.seen]


def balanced(runtime: Runtime) -> bool:
    with runtime.paused():
        ledger = runtime.ledger()
    assert ledger["balanced"], ledger
    return True


def test_messages_arrive_in_order_and_are_counted(bench: Bench) -> None:
    runtime = bench.runtime(CHAIN.replace("n: 200", "n: 13"))
    runtime.start()
    assert runtime.wait(5)
    runtime.stop()
    assert numbers(runtime) == list(range(13))
    assert runtime.runners["end"].node.finished
    nodes = runtime.status()["nodes"]
    assert [nodes[name]["in"] for name in ("count", "a", "b", "end")] == [13, 13, 13, 13]
    assert balanced(runtime)


def test_a_node_that_raises_is_contained_counted_and_offered_to_catch(bench: Bench) -> None:
    runtime = bench.runtime(CHAIN + "faults: {type: caught, from: [a, b]}")
    runtime.start()
    assert runtime.wait(5)
    runtime.stop()
    assert numbers(runtime) == [n for n in range(200) if n != 13]
    faults = runtime.runners["faults"].node.seen
    assert [(fault.node, fault.error) for fault in faults] == [("b", "thirteen")]
    row = runtime.status()["nodes"]["b"]
    assert (row["in"], row["out"], row["errors"]) == (200, 199, 1)
    assert re.fullmatch(r"RuntimeError: thirteen \(.*nodes/total.py:\d+\)", row["last_error"])
    assert balanced(runtime)


def test_inference_keeps_the_order_and_blocks_the_sender(bench: Bench) -> None:
    runtime = bench.runtime("""
        count: {type: numbers, n: 100}
        think: {type: think, from: count, takes_s: 0.001}
        end: {type: keep, from: think}
    """)
    runtime.start()
    assert runtime.wait(10)
    runtime.stop()
    assert numbers(runtime) == list(range(100))
    assert runtime.status()["queues"]["think"]["depth_max"] <= 2
    assert balanced(runtime)


def test_a_live_source_keeps_the_newest_frame_and_every_status(bench: Bench) -> None:
    runtime = bench.runtime("""
        camera: {type: pictures, n: 200}
        think: {type: think, from: camera, takes_s: 0.01}
        end: {type: keep, from: think}
        states: {type: keep, from: camera.camera_status}
    """)
    runtime.start()
    assert runtime.wait(20)
    runtime.stop()
    got = numbers(runtime)
    row = runtime.status()["nodes"]["camera"]
    assert row["dropped"] > 0
    assert row["in"] == row["out"] + row["dropped"] == 202
    assert got == sorted(set(got))
    assert got[-1] == 199, "the newest frame is never the one that is dropped"
    assert [state.status for state in runtime.runners["states"].node.seen] == ["online", "offline"]
    assert balanced(runtime)


def test_where_two_drivers_meet_nothing_is_lost(bench: Bench) -> None:
    runtime = bench.runtime("""
        one: {type: numbers, n: 5000}
        two: {type: numbers, n: 5000}
        both: {type: relay, from: [one, two]}
        end: {type: keep, from: both}
    """)
    runtime.start()
    assert runtime.wait(20)
    runtime.stop()
    for source in ("one", "two"):
        got = [m.data["number"] for m in runtime.runners["end"].node.seen if m.camera_id == source]
        assert got == list(range(5000))
    assert balanced(runtime)


def test_a_source_that_fails_is_started_again_and_in_the_end_given_up(bench: Bench) -> None:
    runtime = bench.runtime("""
        count: {type: numbers, n: 10, fail_at: 3, restart: {max: 2, window_s: 60, backoff_s: 0.01}}
        end: {type: keep, from: count}
        faults: {type: caught, from: count}
    """)
    runtime.start()
    assert runtime.wait(5)
    runtime.stop()
    assert numbers(runtime) == [0, 1, 2] * 3
    assert runtime.failed_sources == ["count"]
    assert len(runtime.runners["faults"].node.seen) == 3
    assert balanced(runtime)


def test_a_node_that_does_not_open_leaves_nothing_running(bench: Bench) -> None:
    runtime = bench.runtime("""
        count: {type: numbers, n: 10}
        fussy: {type: fussy, from: count, place: attic}
        end: {type: keep, from: fussy}
    """)
    before = threading.active_count()
    with pytest.raises(StartFailed, match=r"fussy can't start: attic is no place to open"):
        runtime.start()
    assert threading.active_count() == before


def test_stop_is_quick_and_clean(bench: Bench) -> None:
    runtime = bench.runtime("""
        count: {type: numbers, n: 1000000, every_s: 0.001}
        think: {type: think, from: count}
        end: {type: keep, from: think}
    """)
    runtime.start()
    time.sleep(0.2)
    start = time.monotonic()
    runtime.stop()
    assert time.monotonic() - start < 5
    got = numbers(runtime)
    assert got == list(range(len(got)))
    assert runtime.runners["count"].n_out == len(got), "what was under way arrived"
    assert balanced(runtime)


def test_virtual_time_gives_the_same_run_every_time(bench: Bench) -> None:
    def once() -> list[tuple[str, int]]:
        runtime = bench.runtime(
            """
            one: {type: numbers, n: 50}
            two: {type: numbers, n: 80}
            think: {type: think, from: [one, two], takes_s: 0}
            end: {type: keep, from: think}
            """,
            threads=False,
        )
        runtime.start()
        assert run(runtime) == 130
        runtime.finish()
        assert balanced(runtime)
        return [(m.camera_id, m.data["number"]) for m in runtime.runners["end"].node.seen]

    first = once()
    assert len(first) == 130
    assert [n for _, n in first] == sorted(n for _, n in first)
    assert once() == first


DATED = '''
"""dated: three records of a day in 2026, a second apart."""

from collections.abc import Iterator

from flowrt import Record, Source


class Dated(Source):
    """Three records of a day in 2026, a second apart."""

    def produce(self) -> Iterator[Record]:
        for number in range(3):
            yield Record(time_s=1_777_888_000.5 + number, data={"number": number})
'''


def test_virtual_time_begins_with_the_first_message(bench: Bench) -> None:
    """A timer and a health probe beside a recording of 2026 do not report 56 years first."""
    (bench.folder / "nodes" / "dated.py").write_text(DATED)
    runtime = bench.runtime(
        """
        clock: {type: timer, every_s: 1, at_start: true}
        health: {type: health_probe, every_s: 1}
        count: {type: dated}
        ticks: {type: keep, from: clock}
        reports: {type: keep, from: health.health}
        end: {type: keep, from: count}
        """,
        threads=False,
    )
    runtime.start()
    assert run(runtime) < 20
    assert len(runtime.runners["end"].node.seen) == 3
    assert [m.time_s for m in runtime.runners["ticks"].node.seen] == [1_777_888_000.5, 1_777_888_001.0, 1_777_888_002.0]
    reports = runtime.runners["reports"].node.seen
    assert [m.time_s for m in reports][:2] == [1_777_888_000.5, 1_777_888_001.5]
    assert [m.uptime_seconds for m in reports][:2] == [0.0, 1.0]


def test_a_virtual_clock_with_a_beginning_keeps_it(bench: Bench) -> None:
    (bench.folder / "nodes" / "dated.py").write_text(DATED)
    runtime = bench.runtime(
        "clock: {type: timer, every_s: 1}\ncount: {type: dated}\nticks: {type: keep, from: [clock, count]}",
        threads=False,
    )
    runtime.clock.move_to(1_777_887_998.0)  # type: ignore[attr-defined]
    runtime.start()
    run(runtime)
    assert runtime.runners["ticks"].node.seen[0].time_s == 1_777_887_999.0


def test_a_chain_of_2000_nodes_works(bench: Bench) -> None:
    text = "\n".join(f"n{i}: {{type: relay, from: {'count' if i == 0 else f'n{i - 1}'}}}" for i in range(2000))
    runtime = bench.runtime(f"count: {{type: numbers, n: 10}}\n{text}\nend: {{type: keep, from: n1999}}")
    runtime.start()
    assert runtime.wait(10)
    runtime.stop()
    assert numbers(runtime) == list(range(10))
    assert runtime.runners["end"].errors == 0


def test_letters_are_accepted_and_delivered(bench: Bench) -> None:
    runtime = bench.runtime("""
        count: {type: numbers, n: 500}
        out: {type: letters, from: count}
    """)
    runtime.start()
    assert runtime.wait(5)
    runtime.stop()
    assert runtime.runners["out"].node.delivered == [f"count-{n}" for n in range(500)]
    sink = runtime.status()["sinks"]["out"]
    assert (sink.accepted, sink.delivered, sink.pending) == (500, 500, 0)
