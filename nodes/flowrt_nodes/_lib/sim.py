"""The address of the simulated intersection, and the start of its time, common to its cameras and signals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flowrt import Context, Diagnostic


def check_address(uri: str) -> Iterable[Diagnostic]:
    """What is wrong with the setting `uri`, without the renderer behind it."""
    from flowrt_sim.uri import parse

    try:
        parse(uri)
    except ValueError as error:
        yield Diagnostic(("uri",), str(error), "see docs/simulation.md for the parameters")


@contextmanager
def epoch_s(context: Context) -> Iterator[float]:
    """When the simulation began: now for the first node that uses it, and the same moment for all others meanwhile."""
    key = "simulation-epoch"
    began = context.shared.acquire(key, context.clock.now_s)
    try:
        yield began
    finally:
        context.shared.release(key)
