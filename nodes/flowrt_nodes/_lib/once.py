"""Facts about the objects of one picture that several nodes want: whoever asks first derives them, all others get the same.

A fact is kept with the message that it follows from, so it lives as long, and a message with other columns begins without any.
Arrays of facts are read-only, as those of messages are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from flowrt import Objects, Tracks

Seen = TypeVar("Seen", bound=Objects)
Place = TypeVar("Place")
Fact = TypeVar("Fact")


def once(derive: Callable[[Seen], Fact]) -> Callable[[Seen], Fact]:
    """A function of a picture's objects, computed once for each picture."""

    def ask(seen: Seen) -> Fact:
        facts: dict[Any, Any] = seen.__dict__
        if derive not in facts:
            facts[derive] = _kept(derive(seen))
        return facts[derive]  # type: ignore[no-any-return]  # what `derive` returned

    ask.__name__, ask.__doc__ = derive.__name__, derive.__doc__
    return ask


def once_here(derive: Callable[[Place, Tracks], Fact]) -> Callable[[Place, Tracks], Fact]:
    """A method of something that never changes, asked about a picture's tracks: computed once for each of it and each picture."""

    def ask(self: Place, tracks: Tracks) -> Fact:
        facts: dict[Any, Any] = tracks.__dict__
        key = (derive, self)
        if key not in facts:
            facts[key] = _kept(derive(self, tracks))
        return facts[key]  # type: ignore[no-any-return]  # what `derive` returned

    ask.__name__, ask.__doc__ = derive.__name__, derive.__doc__
    return ask


def _kept(fact: Any) -> Any:
    for array in fact if isinstance(fact, tuple) else (fact,):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return fact
