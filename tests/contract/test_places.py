"""Events of one series at one instant: each has a place in time of its own, the same at every repetition (fault 8)."""

from __future__ import annotations

import random
import threading

import msgspec

from flowrt.contract import Contract
from flowrt.contract.places import PLACES, Places
from tests.contract.test_points import SITE, zone_event

SERIES = ("main-and-5th", "north", "crosswalk")
AT_NS = 1_777_888_800_250_000_000
MILLION = 1_000_000


def test_fault_08_a_million_events_of_one_instant_have_a_million_places() -> None:
    places, order = Places(), list(range(MILLION))
    first = {i: places.time_ns(SERIES, AT_NS, f"event-{i}", i) for i in order}
    assert len(set(first.values())) == MILLION
    assert all(0 <= at - AT_NS < PLACES for at in first.values())
    random.Random(1).shuffle(order)
    again = Places()
    assert all(again.time_ns(SERIES, AT_NS, f"event-{i}", i) == first[i] for i in order), "in any order"
    assert all(places.time_ns(SERIES, AT_NS, f"event-{i}", i) == first[i] for i in order), "and when written again"


def test_fault_08_nor_do_they_share_one_without_a_number_or_with_the_same_number() -> None:
    """More than a millisecond has room for go on in the next one."""
    for number, many in ((None, MILLION + 1000), (17, 50_000)):
        places, again = Places(), Places()
        taken = [places.time_ns(SERIES, AT_NS, f"event-{i}", number) for i in range(many)]
        assert len(set(taken)) == many
        assert all(0 <= at - AT_NS < 2 * PLACES for at in taken)
        assert [again.time_ns(SERIES, AT_NS, f"event-{i}", number) for i in range(1000)] == taken[:1000]
        assert places.time_ns(SERIES, AT_NS, f"event-{many - 500}", number) == taken[many - 500]


def test_a_long_run_keeps_little() -> None:
    """Events of many instants: what is remembered has a bound, and the place of a number needs no memory."""
    places = Places()
    times = [places.time_ns(SERIES, AT_NS + i * PLACES, f"event-{i}", i % 50) for i in range(100_000)]
    assert sum(len(one.places) for one in places._milliseconds.values()) <= 20_000
    assert times[:100] == [places.time_ns(SERIES, AT_NS + i * PLACES, f"event-{i}", i % 50) for i in range(100)]


def test_other_series_have_places_of_their_own() -> None:
    places = Places()
    assert places.time_ns(SERIES, AT_NS, "a", 1) == places.time_ns(("other",), AT_NS, "b", 1)


def test_several_threads_share_the_places() -> None:
    places, times = Places(), [set[int]() for _ in range(4)]

    def write(part: int) -> None:
        times[part] |= {places.time_ns(SERIES, AT_NS, f"event-{part}-{i}", 5) for i in range(5000)}

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set.union(*times)) == 20_000


def test_fault_08_messages_of_one_instant_give_lines_that_do_not_overwrite_each_other() -> None:
    """Through the contract, by both ways of writing: other tracks, and other events of one track."""
    contract, repeated = Contract.load(), Contract.load()
    event = zone_event(1)
    events = [
        msgspec.structs.replace(event, id=f"z-{i}", object=msgspec.structs.replace(event.object, track_id=i // 2))
        for i in range(4000)
    ]
    lines = [line for one in events for line in contract.lines(one, SITE)]
    keys = {(line.split(b" ")[0], line.rpartition(b" ")[2]) for line in lines}
    assert len(keys) == len(events)
    assert [line for one in events for line in repeated.lines(one, SITE)] == lines
    points = [point for one in events for point in contract.points(one, SITE)]
    assert [str(point.time_ns).encode() for point in points] == [line.rpartition(b" ")[2] for line in lines]
