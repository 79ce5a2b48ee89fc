"""accepting: a sink that notes when the journal had a message on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from flowrt import Letter, Message, Outbox, Receipt


class Accepting(Outbox):
    """Deliver nowhere. accepted: capture time in microseconds to monotonic ns at which the committed letter was read back."""

    def encode(self, message: Message) -> Iterator[Letter]:
        yield Letter(id=f"{message.time_s:.6f}", time_s=message.time_s, address="", body=b"", urgency="telemetry")

    def deliver(self, letters: Sequence[Letter], receipt: Receipt) -> None:
        now_ns = time.monotonic_ns()
        accepted = self.__dict__.setdefault("accepted", {})
        for letter in letters:
            accepted.setdefault(round(letter.time_s * 1e6), now_ns)
        receipt.delivered_all(letters)
