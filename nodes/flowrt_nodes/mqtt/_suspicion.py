"""Whether it is a message that makes the broker close the connection, or the broker that is unwell.

MQTT 3.1.1 has no other way to refuse a message that is too large than to close the connection. A broker that crashes, or is restarted again
and again, closes it too. Only proof makes a message a dead letter: after `LOSSES` connections lost in a row while messages were under
way, one message is sent alone, on a connection that has taken another message and has then been quiet for `QUIET_S`. Where the connection
is lost then, `STRIKES` times for the same message and never before it was sent, it is the message.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from flowrt import OutboxRecord

LOSSES = 3
STRIKES = 3
QUIET_S = 1.0


class Suspicion:
    """Of one out-node. Used on the connection's thread; `active` may be read by any."""

    def __init__(self) -> None:
        self.active = False
        self._losses = self._strikes = 0
        self._suspect = 0
        self._witnessed = 0.0

    def acknowledged(self) -> None:
        """The broker has taken a message that was under way."""
        self.active, self._losses, self._strikes = False, 0, 0

    def connected(self) -> None:
        """There is a connection; nothing was taken on it yet."""
        self._witnessed = 0.0

    def witnessed(self) -> None:
        """The broker has taken the witness, a message that is above suspicion."""
        self._witnessed = time.monotonic()

    @property
    def may_send(self) -> bool:
        """Whether a message may go now: always, unless one is tried and the connection has not proved itself yet."""
        return not self.active or (self._witnessed > 0.0 and time.monotonic() - self._witnessed >= QUIET_S)

    def lost(self, sent: Sequence[OutboxRecord]) -> OutboxRecord | None:
        """The connection is lost, with these unacknowledged. Returns the message that is proved to be the cause; then it begins anew."""
        if not self.active:
            self._losses += bool(sent)
            self.active = self._losses >= LOSSES
            self._strikes = 0
            return None
        if len(sent) != 1:
            self._strikes = 0  # it is lost without any message, too
            return None
        (record,) = sent
        self._strikes = self._strikes + 1 if record.number == self._suspect else 1
        self._suspect = record.number
        if self._strikes < STRIKES:
            return None
        self.acknowledged()
        return record
