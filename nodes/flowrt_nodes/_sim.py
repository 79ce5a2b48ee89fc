"""One time for everything that shows the same simulated intersection: its cameras and its signals begin together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flowrt import Context


@contextmanager
def epoch_s(context: Context) -> Iterator[float]:
    """When the simulation began: now for the first who asks, the same moment for all who ask while somebody still uses it."""
    key = "simulation-epoch"
    began = context.shared.acquire(key, context.clock.now_s)
    try:
        yield began
    finally:
        context.shared.release(key)
