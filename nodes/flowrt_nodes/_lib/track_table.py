"""Memory about tracks as columns, bounded by time: what most traffic nodes keep between pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowrt import Tracks

Column = tuple[Any, tuple[int, ...], Any]
"""dtype, shape of one entry, and the value that a new track starts with."""
Key = tuple[str, int]
"""camera_id, track_id: track ids are unique only within a camera."""


class TrackTable:
    """One row of memory per track: columns are numpy arrays, indexed by the rows that `rows` gives.

    Invariant: a track has one row from its first sight until `forget_after_s` after its last; rows are used again.
    """

    def __init__(self, forget_after_s: float, **columns: Column) -> None:
        self.forget_after_s = forget_after_s
        self._spec = columns
        self._row: dict[Key, int] = {}
        self._free: list[int] = []
        self._columns: dict[str, NDArray[Any]] = {}
        self._seen_s = np.zeros(0)
        self._last_ids: tuple[str, bytes] = ("", b"")
        self._last_rows = np.zeros(0, np.int64)
        self._none_new = np.zeros(0, bool)
        self._last_s = -np.inf
        self._next_clean_s = -np.inf
        self._grow(64)

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """The whole column (capacity, ...): index it with the rows of `rows`."""
        return self._columns[column]

    def cameras(self) -> list[str]:
        """The cameras whose tracks are remembered."""
        return sorted({camera for camera, _ in self._row})

    def rows(self, tracks: Tracks) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(N,) the row of each track, and (N,) whether it is new; forgets tracks that have been away too long."""
        time_s, camera = tracks.time_s, tracks.camera_id
        if time_s >= self._next_clean_s:
            self._clean(time_s)
        ids = camera, tracks.track_id.tobytes()
        if ids == self._last_ids:  # the same tracks as in the picture before, as most often
            self._last_s = time_s
            return self._last_rows, self._none_new
        self._note_seen()
        known = self._row
        places = [known.get((camera, track), -1) for track in tracks.track_id.tolist()]
        none_new = new = np.zeros(len(places), bool)
        rows = np.array(places, np.int64)
        if -1 in places:
            new = rows < 0
            for i in new.nonzero()[0].tolist():
                rows[i] = known[camera, int(tracks.track_id[i])] = self._take()
        rows.flags.writeable = False
        self._last_ids, self._last_rows, self._last_s, self._none_new = ids, rows, time_s, none_new
        return rows, new

    def columns(self) -> dict[str, Column]:
        """What it was made with."""
        return self._spec

    def last_seen(self, camera: str) -> list[tuple[Key, int, float]]:
        """Tracks of a camera: key, row, and when they were last seen."""
        self._note_seen()
        seen_s = self._seen_s.tolist()
        return [(key, row, seen_s[row]) for key, row in self._row.items() if key[0] == camera]

    def _note_seen(self) -> None:
        """Write down when the tracks of the last picture were seen; while the same ones are seen, it can wait."""
        self._seen_s[self._last_rows] = self._last_s

    def _take(self) -> int:
        if not self._free:
            self._grow(2 * len(self._seen_s))
        row = self._free.pop()
        for name, (_, _, start) in self._spec.items():
            self._columns[name][row] = start
        return row

    def _grow(self, capacity: int) -> None:
        before = len(self._seen_s)
        for name, (dtype, shape, start) in self._spec.items():
            column = np.full((capacity, *shape), start, dtype)
            if before:
                column[:before] = self._columns[name]
            self._columns[name] = column
        seen = np.full(capacity, -np.inf)
        seen[:before] = self._seen_s
        self._seen_s = seen
        self._free.extend(range(capacity - 1, before - 1, -1))

    def _clean(self, time_s: float) -> None:
        self._next_clean_s = time_s + self.forget_after_s / 2
        self._note_seen()
        self._last_ids, self._last_rows = ("", b""), self._last_rows[:0]
        limit = time_s - self.forget_after_s
        for key in [key for key, row in self._row.items() if self._seen_s[row] < limit]:
            self._free.append(self._row.pop(key))

    def export(self) -> dict[str, Any]:
        """Everything remembered, for a successor with the same columns."""
        self._note_seen()
        rows = np.array(list(self._row.values()), np.int64)
        columns = {name: column[rows] for name, column in self._columns.items()}
        return {"keys": list(self._row), "seen_s": self._seen_s[rows], "columns": columns}

    def take_over(self, state: dict[str, Any]) -> None:
        """Add what a predecessor exported; columns it did not have start fresh."""
        self._note_seen()
        self._last_ids, self._last_rows = ("", b""), self._last_rows[:0]
        for i, key in enumerate(state["keys"]):
            row = self._row.setdefault(key, -1)
            if row < 0:
                row = self._row[key] = self._take()
            self._seen_s[row] = state["seen_s"][i]
            for name, column in state["columns"].items():
                if name in self._columns and column.shape[1:] == self._columns[name].shape[1:]:
                    self._columns[name][row] = column[i]
