"""Whether a message is to blame for a node that raises, or what the node delivers to.

A message on which the node raised `SUSPECT_AFTER` times in a row is only suspect: a service that crashes again and again looks the same. Then
the messages behind it are tried in its place, one after the other, and after each that passes the suspect again. It is to blame where at
least `PROOFS` others passed meanwhile, and as many as failed. Where others fail as well, it is the outside, and the suspicion is dropped.
"""

from __future__ import annotations

SUSPECT_AFTER = 10
PROOFS = 2
_MOST_FAILED = 10


class Suspicion:
    """Of one outbox. The caller holds the lock."""

    def __init__(self) -> None:
        self._suspect = 0
        self._failures = 0
        self._other = 0  # the message tried last in its place
        self._passed = self._failed = 0
        self._others_turn = False

    def clear(self) -> None:
        """Nothing is suspect: the outside is away, or it passed."""
        self._suspect = self._failures = self._other = self._passed = self._failed = 0
        self._others_turn = False

    def raised(self, number: int) -> bool:
        """The node raised on this message, sent alone. Whether the message is proven to be the cause."""
        if self._others_turn and number == self._other:
            self._failed += 1
            if self._failed > self._passed + _MOST_FAILED:
                self.clear()
            return False
        if number != self._suspect:
            self.clear()
            self._suspect = number
        self._failures += 1
        if self._failures < SUSPECT_AFTER:
            return False
        if self._passed >= PROOFS and self._passed >= self._failed:
            self.clear()
            return True
        self._others_turn = True
        return False

    def passed(self, number: int) -> None:
        """This message was acknowledged."""
        if number == self._suspect:
            self.clear()
        elif self._others_turn and number == self._other:
            self._passed += 1
            self._others_turn = False

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
