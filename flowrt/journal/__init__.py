"""The journal: what a flow must not lose, on disk, before it counts as accepted.

Invariants
- A record is accepted once the transaction that holds it is committed and flushed to the disk (SQLite, WAL, fsync): neither
  `kill -9` nor a power cut takes it away. It leaves the file when it was delivered, became a dead letter, or was dropped by a limit.
- Delivery may begin between commit and flush: what is sent and then lost with the power was delivered and never accepted.
- On disk, per outbox, always: accepted = delivered + dead_letters + dropped + pending. Counters and rows change together.
- One writer thread commits whatever has queued as soon as it is idle (group commit). Nobody else writes, except the
  commands on dead letters, in short transactions of their own that the writer notices.
- Nothing grows for ever: limits by size and age, the lowest priority first, each drop counted.
"""

from flowrt.journal.journal import Journal, JournalClosed
from flowrt.journal.lock import JournalBusy
from flowrt.journal.rows import EventRow, Limits, data_folder, journal_path
from flowrt.journal.statistics import JournalStatistics, OutboxTally, percentiles
from flowrt.journal.view import REFUSED, DeadLetter, EventView, JournalView, OutboxView

__all__ = [
    "REFUSED",
    "DeadLetter",
    "EventRow",
    "EventView",
    "Journal",
    "JournalBusy",
    "JournalClosed",
    "JournalStatistics",
    "JournalView",
    "Limits",
    "OutboxTally",
    "OutboxView",
    "data_folder",
    "journal_path",
    "percentiles",
]
