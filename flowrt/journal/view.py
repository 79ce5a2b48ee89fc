"""A journal seen from another process, while a run may be going on: for the commands.

Reading takes no lock that a run would notice. Retrying and dropping dead letters are short transactions, which the running
writer waits for and then counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from flowrt.journal.storage.lock import is_locked, wal_of
from flowrt.journal.storage.rows import RECORD_COLUMNS, SIZE_SQL, STAND_IN_HEADERS, connect
from flowrt.journal.storage.schema import OLD_NAMES, VERSION, check_version, migrate
from flowrt.sink import PRIORITIES, Priority

REFUSED = "refused"
"""The state of an outbox whose records are held, since the service refuses every message until its configuration is fixed."""


class OutboxView(msgspec.Struct, frozen=True, kw_only=True):
    """One outbox, over the whole life of the file: accepted = delivered + dead_letters + dropped + pending.

    drain_s: estimated seconds until nothing is pending at the present rate; None where nothing moves.
    oldest_s: for how long the first in line has waited while the flow ran. refused: whether the service refuses every message, as last_error
    says, so that what is pending is held until its configuration is fixed; of a flow that does not run, whether it was so at its end.
    since_s: since when the state is what it is (was, at the end).
    """

    name: str
    state: str
    accepted: int
    delivered: int
    pending: int
    pending_mb: float
    dead_letters: int
    dropped: int
    oldest_s: float
    rate_per_s: float
    drain_s: float | None
    last_error: str
    refused: bool
    since_s: float


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was refused for good."""

    number: int
    outbox: str
    id: str
    time_s: float
    died_s: float
    address: str
    priority: Priority
    reason: str
    headers: dict[str, Any]
    body: bytes


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded event. change: grows with every new or updated event of the file."""

    id: str
    time_s: float
    type: str
    node: str
    payload: bytes
    change: int


class JournalView:
    """An existing journal. Use as a context manager. Raises FileNotFoundError, JournalVersionError, sqlite3.Error."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self.path = path
        self._open(write)

    def _open(self, write: bool) -> None:
        self._link, facts = connect(self.path, read_only=not write), self.path.stat()
        self._identity = facts.st_dev, facts.st_ino
        try:
            if write:
                check_version(self._link, self.path)
                migrate(self._link, self.path)
            self._version = check_version(self._link, self.path)
            if 0 < self._version < 3:
                self._link.executescript(OLD_NAMES)
        except BaseException:
            self._link.close()
            raise

    def follow_file(self) -> None:
        """Where the file was removed and written again meanwhile, read the new one. While there is none, the old one is still read."""
        try:
            facts = self.path.stat()
        except OSError:
            return
        if (facts.st_dev, facts.st_ino) != self._identity:
            self._link.close()
            self._open(write=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    @property
    def running(self) -> bool:
        """Whether a process delivers from this journal now."""
        return is_locked(self.path.with_name(self.path.name + ".lock")) or is_locked(wal_of(self.path))

    def outboxes(self) -> list[OutboxView]:
        """Every outbox of the file, all read at one moment, so that the counts agree."""
        with self.one_moment():
            return self._outboxes()

    def _outboxes(self) -> list[OutboxView]:
        running, now_s = self.running, time.time()
        age_s = self._age_s()
        waiting = {
            key: (count, size, queued_s)
            for key, count, size, queued_s in self._link.execute(
                f"SELECT outbox, count(*), sum({SIZE_SQL}), min(queued_s) FROM records GROUP BY outbox"
            )
        }
        found = []
        for key, name, accepted, delivered, dead, dropped, state, error, rate, updated_s, since_s in self._link.execute(
            "SELECT key, name, accepted, delivered, dead_letters, dropped, state, last_error, rate_per_s, updated_s, "
            f"{'since_s' if self._version > 1 else 'updated_s'} FROM outboxes ORDER BY name"
        ):
            count, size, queued_s = waiting.get(key, (0, 0, age_s))
            fresh = running and now_s - updated_s < 30
            found.append(
                OutboxView(
                    name=name,
                    state=(state or "connecting") if running or state == "parked" else "not running",
                    accepted=accepted,
                    delivered=delivered,
                    pending=count,
                    pending_mb=size / 1e6,
                    dead_letters=dead,
                    dropped=dropped,
                    oldest_s=max(age_s - queued_s, 0.0),
                    rate_per_s=rate if fresh else 0.0,
                    drain_s=count / rate if fresh and rate > 0 else None,
                    last_error=error,
                    refused=state == REFUSED,
                    since_s=since_s,
                )
            )
        return found

    def _age_s(self) -> float:
        """Now, or when the flow ran last, on the scale of ages; before version 4 that was the wall clock."""
        if self._version < VERSION:
            return time.time()
        (age_s,) = self._link.execute("SELECT coalesce(max(age_s), 0) FROM outboxes").fetchone()
        return float(age_s)

    def dead_letters(self, numbers: Sequence[int] = (), outbox: str = "") -> list[DeadLetter]:
        """Dead letters, oldest first; all, or those with the given numbers, or of one outbox."""
        where, values = _which(numbers, outbox)
        columns = ", ".join(f"d.{name}" for name in RECORD_COLUMNS.split(", "))
        rows = self._link.execute(
            f"SELECT {columns}, o.name, d.reason, d.died_s FROM dead_letters d JOIN outboxes o ON o.key = d.outbox "
            f"WHERE {where} ORDER BY d.number",
            values,
        )
        return [
            DeadLetter(
                number=row[0],
                outbox=row[10],
                id=row[5],
                time_s=row[4],
                died_s=row[12],
                address=row[6],
                priority=PRIORITIES[row[2]] if row[2] in range(len(PRIORITIES)) else "event",
                reason=row[11],
                headers=_headers(row[7]),
                body=row[8],
            )
            for row in rows
        ]

    def waiting(self, numbers: Sequence[int]) -> dict[int, str]:
        """Which of these numbers are records that wait for delivery: number to outbox."""
        rows = self._link.execute(
            "SELECT l.number, o.name FROM records l JOIN outboxes o ON o.key = l.outbox "
            f"WHERE l.number IN ({','.join('?' * len(numbers))})",
            tuple(numbers),
        )
        return dict(rows.fetchall())

    def retry(self, numbers: Sequence[int] = (), outbox: str = "") -> int:
        """Queue dead letters again, behind everything that waits; how many. Those that only stand for a message stay."""
        where, values = _which(numbers, outbox)
        where += " AND CAST(d.headers AS BLOB) <> ?"
        values = (*values, STAND_IN_HEADERS)
        link = self._link
        link.execute("BEGIN IMMEDIATE")
        try:
            rows = link.execute(
                "SELECT d.outbox, d.number FROM dead_letters d JOIN outboxes o ON o.key = d.outbox "
                f"WHERE {where} ORDER BY d.number",
                values,
            ).fetchall()
            age_s = self._age_s()
            for key, number in rows:
                link.execute(
                    "INSERT INTO records(outbox, priority, queued_s, time_s, id, address, headers, body, crc) "
                    "SELECT outbox, priority, ?, time_s, id, address, headers, body, crc FROM dead_letters WHERE number = ?",
                    (age_s, number),
                )
                link.execute("DELETE FROM dead_letters WHERE number = ?", (number,))
                link.execute("UPDATE outboxes SET dead_letters = dead_letters - 1 WHERE key = ?", (key,))
            link.execute("COMMIT")
        except BaseException:
            link.execute("ROLLBACK")
            raise
        return len(rows)

    def drop(self, numbers: Sequence[int] = (), outbox: str = "") -> int:
        """Remove dead letters for good; how many. They stay counted."""
        where, values = _which(numbers, outbox)
        return self._link.execute(
            "DELETE FROM dead_letters WHERE number IN "
            f"(SELECT d.number FROM dead_letters d JOIN outboxes o ON o.key = d.outbox WHERE {where})",
            values,
        ).rowcount

    def events(self, *, type: str = "", since_s: float = 0.0, after_change: int = 0) -> Iterator[EventView]:
        """Recorded events by time, filtered; with `after_change` only what is newer than that change."""
        order = "change" if after_change else "time_s, id"
        rows = self._link.execute(
            "SELECT id, time_s, type, node, payload, change FROM events "
            f"WHERE (? = '' OR type = ?) AND time_s >= ? AND change > ? ORDER BY {order}",
            (type, type, since_s, after_change),
        )
        for id_, time_s, type_, node, payload, change in rows:
            yield EventView(id=id_, time_s=time_s, type=type_, node=node, payload=payload, change=change)

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """What is read within it is of one moment, whatever is written meanwhile."""
        self._link.execute("BEGIN")
        try:
            yield
        finally:
            self._link.execute("ROLLBACK")

    def newest_change(self) -> int:
        """The number of the newest change of an event; 0 where there is none."""
        return int(self._link.execute("SELECT coalesce(max(change), 0) FROM events").fetchone()[0])

    def event_types(self) -> list[str]:
        """The types that occur."""
        return [name for (name,) in self._link.execute("SELECT DISTINCT type FROM events ORDER BY type")]


def _which(numbers: Sequence[int], outbox: str) -> tuple[str, tuple[Any, ...]]:
    if numbers:
        return f"d.number IN ({','.join('?' * len(numbers))})", tuple(numbers)
    return "(? = '' OR o.name = ?)", (outbox, outbox)


def _headers(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
