"""Outages of 30 and 60 s, with a ledger each. They pass at the same time, each with its own broker and journal; tests read the results."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from flowrt.contract import Contract
from tests.delivery.outages import AWAY_S, SCENARIOS, Ledger

pytestmark = pytest.mark.slow
MQTT = [name for name in SCENARIOS if "disk" not in name]


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ledger]]]:
    """All of them, under way."""
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        folder = tmp_path_factory.mktemp("outages")
        Contract.load()  # msgspec does not bear that several threads make it look at a type for the first time
        under_way = {}
        for number, (name, scenario) in enumerate(SCENARIOS.items()):
            (own := folder / str(number)).mkdir()
            under_way[name] = pool.submit(scenario, own)
        yield under_way


@pytest.fixture
def ledger(outages: dict[str, Future[Ledger]], request: pytest.FixtureRequest) -> Ledger:
    """The finished account of one outage."""
    return outages[request.param].result(timeout=240.0)


@pytest.mark.parametrize("ledger", SCENARIOS, indirect=True)
def test_nothing_accepted_is_lost(ledger: Ledger) -> None:
    assert len(set(ledger.sent)) == len(ledger.sent) == ledger.after.accepted
    lost = ledger.owed - set(ledger.arrived)
    assert not lost, f"{len(lost)} of {len(ledger.owed)}"
    assert (ledger.after.delivered, ledger.after.pending) == (ledger.after.accepted, 0)
    assert (ledger.after.dead_letters, ledger.after.dropped, ledger.after.errors) == (0, {}, 0)
    assert (ledger.after.state, ledger.after.last_error) == ("up", "")


@pytest.mark.parametrize("ledger", SCENARIOS, indirect=True)
def test_it_was_away_in_mid_batch_for_so_long(ledger: Ledger, request: pytest.FixtureRequest) -> None:
    assert ledger.away_s >= AWAY_S[request.node.callspec.params["ledger"]]
    assert ledger.during.delivered < len(ledger.sent)
    assert len(ledger.owed) > 500


@pytest.mark.parametrize("ledger", MQTT, indirect=True)
def test_meanwhile_it_waited_and_said_so_and_held_up_no_other(ledger: Ledger) -> None:
    assert ledger.during.state == "waiting"
    assert ledger.during.last_error
    assert ledger.during.pending > 500
    assert ledger.during.oldest_s > ledger.away_s - 5.0
    assert ledger.beside >= ledger.beside_of > 500


@pytest.mark.parametrize("ledger", ["broker stopped for 60 s", "disk full for 30 s"], indirect=True)
def test_where_the_outside_forgets_nothing_everything_is_there(ledger: Ledger) -> None:
    assert set(ledger.arrived) == set(ledger.sent)


@pytest.mark.parametrize("ledger", ["disk full for 30 s"], indirect=True)
def test_a_full_disk_makes_senders_wait_and_has_a_name(ledger: Ledger) -> None:
    assert "full" in ledger.trouble
    assert "a.journal" in ledger.trouble
    assert ledger.during.accepted < len(ledger.sent)
    assert ledger.arrived == ledger.sent
