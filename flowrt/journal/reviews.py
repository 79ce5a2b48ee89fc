"""Reviews: what people said of recorded events, kept in the journal beside them.

The table is made with the first review, so that a journal without any is as it was; an older flowrt passes over it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from flowrt.journal.storage.rows import connect

TABLE = (
    "CREATE TABLE IF NOT EXISTS reviews(id TEXT PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT NOT NULL, "
    "time_s REAL NOT NULL) WITHOUT ROWID"
)


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said of an event. time_s: when."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    verdict: Literal["confirmed", "dismissed"]
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    time_s: float = 0.0


def read_reviews(path: Path) -> dict[str, Review]:
    """The reviews in a journal's file, by the event's id; none where there are none yet. Raises sqlite3.Error."""
    with contextlib.closing(connect(path, read_only=True)) as link:
        if not link.execute("SELECT 1 FROM sqlite_master WHERE name = 'reviews'").fetchone():
            return {}
        rows = link.execute("SELECT id, verdict, reason, time_s FROM reviews").fetchall()
    return {row[0]: Review(id=row[0], verdict=row[1], reason=row[2], time_s=row[3]) for row in rows}


def write_review(path: Path, review: Review) -> None:
    """Keep a review, in place of one that the event had. Raises KeyError where there is no such event, sqlite3.Error."""
    if not path.is_file():  # a connection that writes would make one
        raise KeyError(review.id)
    with contextlib.closing(connect(path, read_only=False)) as link:
        link.execute("BEGIN IMMEDIATE")
        try:
            if not link.execute("SELECT 1 FROM events WHERE id = ?", (review.id,)).fetchone():
                raise KeyError(review.id)
            link.execute(TABLE)
            link.execute(
                "INSERT OR REPLACE INTO reviews(id, verdict, reason, time_s) VALUES (?, ?, ?, ?)",
                (review.id, review.verdict, review.reason, review.time_s),
            )
            link.execute("DELETE FROM reviews WHERE id NOT IN (SELECT id FROM events)")
            link.execute("COMMIT")
        except BaseException:
            link.execute("ROLLBACK")
            raise
