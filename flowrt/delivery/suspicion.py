"""Whether a message is to blame for a node that raises, or what the node delivers to.

A message on which the node raised `SUSPECT_AFTER` times in a row is only suspect: a service that crashes again and again looks the same. From
then on the messages behind it and the suspect are tried in random turns. It is to blame where others pass meanwhile, as many as fail at
least, and where it would be a rare chance that all passes fall on the others (Fisher's exact test), both since then and counting what
happened just before. Where ten more of the others fail than pass, the suspicion is dropped.
"""

from __future__ import annotations

import math
import random
from collections import deque

SUSPECT_AFTER = 10
_PROOFS = 2
_RARE_MEANWHILE, _RARE = 5e-3, 1e-4
_REMEMBERED = 10


class Suspicion:
    """Of one outbox. The caller holds the lock."""

    def __init__(self, randomness: random.Random | None = None) -> None:
        self._random = randomness or random.Random()
        self._before: deque[bool] = deque(maxlen=_REMEMBERED)  # whether messages passed, before there was a suspect
        self._suspect = self._failures = 0
        self._other = 0  # the message tried last in its place
        self._passed = self._failed = 0  # of the others, meanwhile
        self._others_turn = False

    def raised(self, number: int) -> bool:
        """The node raised on this message, sent alone. Whether the message is proven to be the cause."""
        if number == self._suspect:
            self._failures += 1
        elif self._failures >= SUSPECT_AFTER and number == self._other:
            self._failed += 1
            if self._failed > self._passed + _REMEMBERED:
                self._drop()
        else:
            self._drop()
            self._suspect, self._failures = number, 1
        self._take_turns()
        if number != self._suspect or not self._is_proven():
            return False
        self._forget()
        return True

    def passed(self, number: int) -> None:
        """This message, or a batch that ends with it, was acknowledged."""
        if not self._failures or number == self._suspect:
            self._drop()
            self._before.append(True)
        elif number == self._other:
            self._passed += 1
            self._take_turns()

    def away(self) -> None:
        """What the node delivers to is away: no message is to blame for that."""
        self._drop()
        self._before.append(False)

    @property
    def try_behind(self) -> int | None:
        """Behind which message the next one to try is; None where it is the turn of the first in line."""
        return max(self._suspect, self._other) if self._others_turn else None

    def tries(self, number: int) -> None:
        """This one is tried in the place of the suspect; 0 where there is none."""
        if number:
            self._other = number
        else:
            self._others_turn = False

    def _take_turns(self) -> None:
        self._others_turn = self._failures >= SUSPECT_AFTER and self._random.random() < 0.5

    def _is_proven(self) -> bool:
        if self._failures < SUSPECT_AFTER or self._passed < max(_PROOFS, self._failed):
            return False
        others = self._passed + self._failed
        return self._chance(self._passed, others) < _RARE_MEANWHILE and (
            self._chance(self._passed + sum(self._before), others + len(self._before)) < _RARE
        )

    def _chance(self, passed: int, others: int) -> float:
        """That of all tries, those of the suspect and so many of others, the ones that passed are all of others."""
        return math.comb(others, passed) / math.comb(others + self._failures, passed)

    def _drop(self) -> None:
        """There is no suspect any more; its failures say something about the outside."""
        self._before.extend([False] * min(self._failures, _REMEMBERED))
        self._forget()

    def _forget(self) -> None:
        self._suspect = self._failures = self._other = self._passed = self._failed = 0
        self._others_turn = False
