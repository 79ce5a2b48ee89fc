"""What was committed last, kept in memory, so that a deliverer that keeps up need not read it back from the file.

Invariants
- Of one outbox, the tail holds every waiting letter with a number above its `floor`. Whoever asks for letters behind a number at or
  above the floor gets them from here; whoever stands further back reads the file.
- No letter in a tail was handed out before, from here or from the file; so none of them can have a receipt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from flowrt.journal.rows import size_of
from flowrt.node import Letter

_MOST_BYTES = 4_000_000  # of one outbox; what a dead service leaves unread must not fill the memory


class _Tail(msgspec.Struct):
    floor: int
    letters: deque[Letter] = msgspec.field(default_factory=deque)
    bytes: int = 0

    def pop(self) -> Letter:
        letter = self.letters.popleft()
        self.floor = letter.number
        self.bytes -= size_of(letter)
        return letter


class Tails:
    """The tails of all outboxes. The caller brings the lock."""

    def __init__(self, last: int) -> None:
        """last: the number of the letter that was committed last."""
        self._last = last
        self._tails: dict[str, _Tail] = {}

    def add(self, letters: Mapping[str, list[Letter]]) -> None:
        """These were committed in one transaction, by outbox, with numbers in their order."""
        if not letters:
            return
        first = min(of_one[0].number for of_one in letters.values())
        if first != self._last + 1:  # another process put some in between (`flowrt dead-letters retry`)
            self.forget(first - 1)
        self._last = max(of_one[-1].number for of_one in letters.values())
        for outbox, of_one in letters.items():
            tail = self._tails.get(outbox)
            if tail is None:
                tail = self._tails[outbox] = _Tail(of_one[0].number - 1)
            tail.letters.extend(of_one)
            tail.bytes += sum(map(size_of, of_one))
            while tail.bytes > _MOST_BYTES:
                tail.pop()

    def take(self, outbox: str, after: int, limit: int) -> list[Letter] | None:
        """The letters behind number `after`, which are then no longer here; None where the file has to be read."""
        tail = self._tails.get(outbox)
        if tail is None or after < tail.floor:
            return None
        letters = tail.letters
        self.handed_out(outbox, after)
        if len(letters) > limit:
            return [tail.pop() for _ in range(limit)]
        taken = list(letters)
        if taken:
            letters.clear()
            tail.bytes, tail.floor = 0, taken[-1].number
        return taken

    def handed_out(self, outbox: str, number: int) -> None:
        """Letters up to this number were read, and are no longer here."""
        tail = self._tails.get(outbox)
        while tail is not None and tail.letters and tail.letters[0].number <= number:
            tail.pop()

    def forget(self, number: int) -> None:
        """Whatever is in the file now, up to this number, is to be read from there."""
        self._last = max(self._last, number)
        for tail in self._tails.values():
            tail.letters.clear()
            tail.bytes, tail.floor = 0, max(tail.floor, number)
