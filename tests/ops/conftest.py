"""What the tests of this folder share: a database with a day of three intersections in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import busy_day
import pytest
from servers import influx

from flowrt.contract import Contract
from flowrt_ops.influx_reader import Reader


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract.load()


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> Iterator[Reader]:
    """A real InfluxDB behind the rewriting proxy; the first site has the most in it."""
    folder: Path = tmp_path_factory.mktemp("influx")
    with influx(folder) as running:
        for seed, site in enumerate(busy_day.SITES, start=1):
            assert busy_day.write(running.url, contract, site, busy_day.day(seed)) > 5000
        assert busy_day.write(running.url, contract, busy_day.SITES[0], busy_day.week()) > 2000
        yield Reader(running.url)
