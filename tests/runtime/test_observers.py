"""A look at what a node makes: nothing is lost or counted twice by it, it outlives an edit, and it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from flowrt.message import Message
from flowrt.runtime import Runtime
from tests.runtime.conftest import Bench

ENDLESS = """
    count: {type: numbers, n: 10000000, every_s: 0.001}
    a: {type: relay, from: count}
    end: {type: keep, from: a}
"""


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def counts(runtime: Runtime) -> dict[tuple[str, str], int]:
    return {
        (edge.source, edge.target): count for runner in runtime.runners.values() for edge, count in runner.edge_counts()
    }


def test_a_look_sees_every_message_and_changes_no_account(bench: Bench) -> None:
    runtime = bench.runtime(ENDLESS)
    runtime.start()
    until(lambda: runtime.runners["end"].n_in > 50)
    seen: list[Message] = []
    end = runtime.observe("a", seen.append)
    until(lambda: len(seen) > 50)
    end()
    until(lambda: runtime.runners["end"].n_in > 150)
    with runtime.paused():
        many = len(seen)
        numbers = [message.data["number"] for message in seen]  # type: ignore[attr-defined]  # records
        assert numbers == list(range(numbers[0], numbers[0] + many)), "each once, in order"
        assert runtime.ledger()["balanced"]
        taken = {name: runner.n_in for name, runner in runtime.runners.items()}
        assert counts(runtime) == {("count", "a"): taken["a"], ("a", "end"): taken["end"]}
    until(lambda: runtime.runners["end"].n_in > taken["end"] + 20)
    assert len(seen) == many, "it has ended"


def test_a_look_goes_on_when_the_node_is_replaced(bench: Bench) -> None:
    runtime = bench.runtime(ENDLESS)
    runtime.start()
    seen: list[Message] = []
    end = runtime.observe("a", seen.append)
    until(lambda: len(seen) > 20)
    bench.edit(runtime, ENDLESS.replace("type: relay", "type: total"))
    many = len(seen)
    until(lambda: len(seen) > many + 20)
    end()
    with runtime.paused():
        many = len(seen)
        assert runtime.ledger()["balanced"]
        taken = runtime.runners["end"].n_in
    until(lambda: runtime.runners["end"].n_in > taken + 20)
    assert len(seen) == many


def test_a_look_that_fails_ends_and_harms_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    runtime = bench.runtime(ENDLESS)
    runtime.start()
    seen: list[Message] = []

    def fail(_: Message) -> None:
        raise RuntimeError("this picture can't be drawn")

    runtime.observe("a", fail)
    runtime.observe("a", seen.append)
    until(lambda: len(seen) > 50)
    with runtime.paused():
        assert runtime.ledger()["balanced"]
    assert runtime.trouble() == []
    assert caplog.text.count("this picture can't be drawn") == 1
