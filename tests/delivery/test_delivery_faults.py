"""Services that crash again and again, messages that break a node, outages that end: who is to blame, and who hears of it.

Named by the numbers of the issue in which they were found.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery
from flowrt.delivery.suspicion import SUSPECT_AFTER, Suspicion
from flowrt.journal import Journal
from flowrt.sink import Acknowledger, OutboxRecord, Retry
from flowrt.system.backoff import Backoff
from tests.delivery.outside import Outside, eventually, records


def hasty() -> Backoff:
    """Waits that a test does not notice."""
    return Backoff(0.0005, 0.002)


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(None, clock=SystemClock())
    yield journal
    journal.close()


@pytest.fixture
def delivery(journal: Journal) -> Iterator[Delivery]:
    delivery = Delivery(journal, SystemClock(), backoff=hasty)
    yield delivery
    delivery.close(2.0)


class CrashLoop:
    """An outside that crashes in each of `down` calls and then works for `up` calls, again and again."""

    def __init__(self, down: int, up: int) -> None:
        self.down, self.up, self.calls = down, up, 0

    def __call__(self, batch: Sequence[OutboxRecord]) -> None:
        if batch:
            self.calls += 1
            if self.calls % (self.down + self.up) < self.down:
                raise ConnectionResetError("it crashed")


@pytest.mark.parametrize(("down", "up"), [(10, 1), (12, 1), (25, 2), (11, 3), (40, 5)])
def test_fault_11_a_service_that_crashes_again_and_again_costs_no_message(
    delivery: Delivery, down: int, up: int
) -> None:
    node = Outside().prepare(CrashLoop(down, up))
    delivery.add("out", node)
    delivery.accept("out", records(30))
    eventually(lambda: delivery.statistics()["out"].delivered == 30, 60.0)
    statistics = delivery.statistics()["out"]
    assert (statistics.dead_letters, statistics.pending) == (0, 0)
    assert sorted(node.ids, key=lambda name: int(name[2:])) == [record.id for record in records(30)]


@pytest.mark.parametrize("seed", range(5))
def test_fault_11_nor_one_that_crashes_at_random(delivery: Delivery, seed: int) -> None:
    chance = random.Random(seed)

    def crash(batch: Sequence[OutboxRecord]) -> None:
        if batch and chance.random() < 0.85:
            raise ConnectionResetError("it crashed")

    delivery.add("out", Outside().prepare(crash))
    delivery.accept("out", records(40))
    eventually(lambda: delivery.statistics()["out"].delivered == 40, 60.0)
    assert delivery.statistics()["out"].dead_letters == 0


@pytest.mark.parametrize("poison", [{3}, {0}, {0, 1}, {2, 3, 4}, {0, 5, 9}, {15}])
def test_fault_11_messages_that_break_the_node_are_found_since_others_pass(
    delivery: Delivery, poison: set[int]
) -> None:
    names = {f"n-{number}" for number in poison}

    def broken(batch: Sequence[OutboxRecord]) -> None:
        if any(record.id in names for record in batch):
            raise ZeroDivisionError("poison")

    node = Outside().prepare(broken)
    delivery.add("out", node)
    delivery.accept("out", records(20))
    eventually(lambda: delivery.statistics()["out"].dead_letters == len(poison), 30.0)
    eventually(lambda: delivery.statistics()["out"].delivered == 20 - len(poison))
    assert set(node.ids) == {f"n-{number}" for number in range(20)} - names
    assert len(node.ids) == len(set(node.ids))


def test_fault_11_the_only_message_is_not_given_up(delivery: Delivery) -> None:
    def broken(batch: Sequence[OutboxRecord]) -> None:
        if any(record.id == "n-0" for record in batch):
            raise ZeroDivisionError("poison")

    delivery.add("out", Outside().prepare(broken))
    delivery.accept("out", records(1))
    eventually(lambda: delivery.statistics()["out"].errors > 3 * SUSPECT_AFTER)
    assert (delivery.statistics()["out"].dead_letters, delivery.statistics()["out"].pending) == (0, 1)
    delivery.accept("out", records(9, start=1))
    eventually(lambda: delivery.statistics()["out"].dead_letters == 1)
    eventually(lambda: delivery.statistics()["out"].delivered == 9)


def test_fault_11_proof_may_be_acknowledged_later(delivery: Delivery) -> None:
    """A node that answers from another thread, as that of a broker does."""

    class Later(Outside):
        """Acknowledges from its own thread."""

        def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
            if any(record.id == "n-0" for record in records):
                raise ZeroDivisionError("poison")
            self._arrived.extend(records)
            threading.Timer(0.02, acknowledger.delivered_all, (list(records),)).start()

    delivery.add("out", Later().prepare())
    delivery.accept("out", records(6))
    eventually(lambda: delivery.statistics()["out"].dead_letters == 1)
    eventually(lambda: delivery.statistics()["out"].delivered == 5)


def test_fault_11_being_away_is_no_suspicion() -> None:
    suspicion = Suspicion()
    for _ in range(SUSPECT_AFTER - 1):
        assert not suspicion.raised(1)
    suspicion.away()  # as after a Retry
    assert not suspicion.raised(1)
    assert suspicion.try_behind is None


def trial(works: Callable[[int], bool], count: int, chance: random.Random, poison: frozenset[int]) -> set[int]:
    """The messages that are blamed where the node works in some calls, and never with some messages."""
    suspicion, queue, blamed, calls = Suspicion(chance), list(range(1, count + 1)), set(), 0
    while queue:
        calls += 1
        message, behind = queue[0], suspicion.try_behind
        if behind is not None:
            other = next((each for each in queue if each > behind), 0)
            suspicion.tries(other)
            message = other or message
        if message not in poison and works(calls):
            queue.remove(message)
            suspicion.passed(message)
        elif suspicion.raised(message):
            queue.remove(message)
            blamed.add(message)
    return blamed


@pytest.mark.parametrize("share", [0.03, 0.1, 0.15, 0.3, 0.5, 0.8])
def test_fault_11_of_thousands_of_healthy_messages_none_is_blamed(share: float) -> None:
    chance = random.Random(7)
    for _ in range(30):
        assert trial(lambda _: chance.random() < share, 100, chance, frozenset()) == set()


@pytest.mark.parametrize(("down", "up"), [(10, 1), (11, 1), (19, 1), (9, 2), (30, 3), (200, 100)])
def test_fault_11_nor_where_it_crashes_by_the_clock(down: int, up: int) -> None:
    for seed in range(30):
        chance = random.Random(seed)
        works = lambda call, seed=seed: (call + seed) % (down + up) >= down  # noqa: E731
        assert trial(works, 100, chance, frozenset()) == set()


def test_fault_11_those_to_blame_are_found_and_no_other() -> None:
    chance = random.Random(9)
    for _ in range(100):
        poison = frozenset(chance.sample(range(1, 60), chance.randint(1, 4)))
        assert trial(lambda _: chance.random() < 0.9, 100, chance, poison) == poison


def raise_it(error: BaseException) -> Callable[[object], None]:
    raised: list[int] = []

    def fault(_: object) -> None:
        if not raised:
            raised.append(1)
            raise error

    return fault


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_fault_02_an_exit_in_deliver_is_a_fault_of_the_node(delivery: Delivery, error: BaseException) -> None:
    node = Outside().prepare(raise_it(error))
    delivery.add("out", node)
    delivery.accept("out", records(3))
    eventually(lambda: delivery.statistics()["out"].delivered == 3)
    assert (delivery.statistics()["out"].errors, delivery.trouble()) == (1, [])


def test_fault_02_a_deliverer_that_ends_starts_again_and_says_so(delivery: Delivery) -> None:
    class Rude(Outside):
        """Exits where it is asked whether it is ready, twice."""

        def ready(self) -> bool:
            self._asked = self.__dict__.get("_asked", 0) + 1
            if self._asked in (2, 3):
                sys.exit("gone")
            return True

    node = Rude().prepare()
    delivery.add("out", node)
    eventually(lambda: any("deliver out" in trouble and "gone" in trouble for trouble in delivery.trouble()))
    delivery.accept("out", records(5))
    eventually(lambda: delivery.statistics()["out"].delivered == 5)
    assert node.ids == [record.id for record in records(5)]


# -- 13: what outboxes of one service know of it ---------------------------------------------------------------------------


class OfOneService(Outside):
    """Delivers to a service that others deliver to as well."""

    address: str = "database:8086"

    @property
    def outside(self) -> object:
        return self.address


def patient() -> Backoff:
    """Waits that are at their longest."""
    return Backoff(60.0, 60.0)


def test_fault_13_outboxes_of_one_service_hear_of_each_other_when_it_is_back(journal: Journal) -> None:
    away = threading.Event()
    away.set()

    def fault(batch: Sequence[OutboxRecord]) -> None:
        if away.is_set():
            raise Retry("away")

    waits = iter([Backoff(0.05, 0.05), patient(), patient(), patient()])
    delivery = Delivery(journal, SystemClock(), backoff=lambda: next(waits))
    first, second, third = (OfOneService().prepare(fault) for _ in range(3))
    elsewhere = OfOneService(address="elsewhere").prepare(fault)
    nodes = {"first": first, "second": second, "third": third, "elsewhere": elsewhere}
    for name, node in nodes.items():
        delivery.add(name, node)
        delivery.accept(name, records(10))
    eventually(lambda: all(row.state == "waiting" for row in delivery.statistics().values()))
    away.clear()
    began = time.monotonic()
    eventually(lambda: all(len(nodes[name].ids) == 10 for name in ("first", "second", "third")), 5.0)
    assert time.monotonic() - began < 5.0
    assert elsewhere.ids == []  # 60 s have not passed
    delivery.close(2.0)


def test_fault_13_also_where_acknowledgements_come_later(journal: Journal) -> None:
    away = threading.Event()
    away.set()

    class Later(OfOneService):
        """Acknowledges from a thread of its own."""

        def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
            if away.is_set():
                raise Retry("away")
            self._arrived.extend(records)
            if records:
                threading.Timer(0.01, acknowledger.delivered_all, (list(records),)).start()

    waits = iter([Backoff(0.05, 0.05), patient()])
    delivery = Delivery(journal, SystemClock(), backoff=lambda: next(waits))
    nodes = {"first": Later().prepare(), "second": Later().prepare()}
    for name, node in nodes.items():
        delivery.add(name, node)
        delivery.accept(name, records(1))
    eventually(lambda: all(row.state == "waiting" for row in delivery.statistics().values()))
    away.clear()
    eventually(lambda: all(row.delivered == 1 for row in delivery.statistics().values()), 5.0)
    delivery.close(2.0)


def test_fault_13_a_wait_that_the_service_asked_for_is_kept(journal: Journal) -> None:
    states = {"one": True, "asked": True}

    def away(name: str, after_s: float | None) -> Callable[[Sequence[OutboxRecord]], None]:
        def fault(_: Sequence[OutboxRecord]) -> None:
            if states[name]:
                raise Retry("away", after_s)

        return fault

    delivery = Delivery(journal, SystemClock(), backoff=hasty)
    asked = OfOneService().prepare(away("asked", 30.0))
    one = OfOneService().prepare(away("one", None))
    for name, node in (("asked", asked), ("one", one)):
        delivery.add(name, node)
        delivery.accept(name, records(1))
    eventually(lambda: all(row.state == "waiting" for row in delivery.statistics().values()))
    states.update(one=False, asked=False)
    eventually(lambda: one.ids == ["n-0"])
    assert asked.ids == []
    delivery.close(2.0)


def test_fault_17_large_messages_under_way_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    class Mute(Outside):
        """Takes messages and answers later."""

        def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
            self._arrived.extend(records)

    journal = Journal(tmp_path / "a.journal", clock=SystemClock())
    for start in range(0, 100, 20):
        journal.append("out", records(20, start=start, size=1_000_000), wait=True)
    delivery = Delivery(journal, SystemClock(), backoff=hasty)
    node = Mute().prepare()
    delivery.add("out", node)
    eventually(lambda: len(node.ids) >= 32)
    deliverer = delivery._deliverers["out"]
    for number in range(100):
        eventually(lambda number=number: len(node.ids) > number)  # type: ignore[misc]
        assert len(node.ids) - number <= 41
        deliverer.delivered(node._arrived[number])
    eventually(lambda: delivery.statistics()["out"].delivered == 100)
    assert node.ids == [record.id for record in records(100)]
    delivery.close(2.0)
    journal.close()


def test_fault_17_a_wait_that_is_no_number_is_the_next_step(journal: Journal) -> None:
    calls: list[float] = []

    def odd(_: Sequence[OutboxRecord]) -> None:
        calls.append(time.monotonic())
        if len(calls) < 4:
            raise Retry("away", after_s=[float("nan"), float("-inf"), -5.0][len(calls) - 1])

    delivery = Delivery(journal, SystemClock(), backoff=lambda: Backoff(0.1, 0.1))
    delivery.add("out", Outside().prepare(odd))
    delivery.accept("out", records(1))
    eventually(lambda: delivery.statistics()["out"].delivered == 1)
    assert calls[1] - calls[0] >= 0.05
    assert calls[2] - calls[1] >= 0.05
    delivery.close(2.0)


class Watchful(Outside):
    """Knows whether its service is there."""

    def reach(self) -> bool:
        if self.away:
            raise Retry(self.away)
        return True

    away = ""


def test_fault_21_a_state_says_no_more_than_is_known(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    journal = Journal(None, clock=SystemClock())
    delivery = Delivery(journal, SystemClock(), backoff=lambda: Backoff(0.01, 0.02))
    blind, watchful = Outside().prepare(), Watchful().prepare()
    watchful.__dict__["away"] = "nobody there"
    delivery.add("blind", blind)
    delivery.add("watchful", watchful)

    def state(name: str) -> tuple[str, str]:
        row = delivery.statistics()[name]
        return row.state, row.last_error

    eventually(lambda: state("watchful") == ("waiting", "nobody there"))
    assert state("blind") == ("connecting", ""), "nothing was sent: nothing is known"
    assert delivery.statistics()["watchful"].state_s >= 0.0
    watchful.__dict__["away"] = ""
    eventually(lambda: state("watchful") == ("up", ""))
    assert not [text for text in caplog.messages if "delivers" in text], "nothing was delivered"

    def refuse(batch: object) -> None:
        raise Retry("not now", 0.01)

    blind.__dict__["_fault"] = refuse
    delivery.accept("blind", records(1))
    eventually(lambda: state("blind") == ("waiting", "not now"))
    blind.__dict__["_fault"] = None
    eventually(lambda: state("blind") == ("up", ""))
    assert [text for text in caplog.messages if "delivers" in text] == ["'blind' delivers"], "for the first time"
    blind.__dict__["_fault"] = refuse
    delivery.accept("blind", records(1, start=7))
    eventually(lambda: state("blind") == ("waiting", "not now"))
    blind.__dict__["_fault"] = None
    eventually(lambda: state("blind") == ("up", ""))
    assert [text for text in caplog.messages if "delivers" in text][1:] == ["'blind' delivers again"]
    delivery.close(2.0)
    journal.close()
