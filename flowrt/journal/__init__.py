"""The journal: what a flow must not lose, on disk, before it counts as accepted.

Invariants
- A record is accepted once the transaction that holds it is committed and flushed to the disk (SQLite, WAL, fsync): neither
  `kill -9` nor a power cut takes it away. It leaves the file when it was delivered, became a dead letter, or was dropped by a limit.
- Delivery may begin between commit and flush: what is sent and then lost with the power was delivered and never accepted.
- On disk, per outbox, always: accepted = delivered + dead_letters + dropped + pending. Counters and rows change together.
- One writer thread commits whatever has queued as soon as it is idle (group commit). Nothing else writes, except the
  commands on dead letters, in short transactions of their own that the writer notices.
- Counts and status come from memory, under a lock that is never held over the disk.
- Ages count while a journal is open, whatever the machine's clock says (`storage/age_clock.py`).
- Nothing grows for ever: limits by size and age, the lowest priority first, each drop counted.
"""

from flowrt.journal.counters import JournalStatistics, OutboxCounters, percentiles
from flowrt.journal.journal import Journal
from flowrt.journal.memory import JournalClosed
from flowrt.journal.storage.disk import Disk
from flowrt.journal.storage.lock import JournalBusy
from flowrt.journal.storage.rows import EventRow, Limits, clean_text, data_folder, journal_path
from flowrt.journal.storage.schema import JournalVersionError
from flowrt.journal.view import REFUSED, DeadLetter, EventView, JournalView, OutboxView

__all__ = [
    "REFUSED",
    "DeadLetter",
    "Disk",
    "EventRow",
    "EventView",
    "Journal",
    "JournalBusy",
    "JournalClosed",
    "JournalStatistics",
    "JournalVersionError",
    "JournalView",
    "Limits",
    "OutboxCounters",
    "OutboxView",
    "clean_text",
    "data_folder",
    "journal_path",
    "percentiles",
]
