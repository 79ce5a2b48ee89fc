"""What every test can rely on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Commands set up the log for their process; the next test begins without that."""
    log = logging.getLogger("flowrt")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before
    log.setLevel(before[1])
