"""What every test can rely on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from flowrt.system.downloads import CACHE


@pytest.fixture(autouse=True, scope="session")
def _cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is cached for the user is cached for the tests, in processes that they start too."""
    before = os.environ.get(CACHE)
    os.environ[CACHE] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ[CACHE]
    else:
        os.environ[CACHE] = before


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Commands set up the log for their process; the next test begins without that."""
    log = logging.getLogger("flowrt")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before
    log.setLevel(before[1])
