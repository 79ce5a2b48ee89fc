"""Memory about tracks as columns, bounded by time: what most traffic nodes keep between pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowrt.capture_time import set_back
from flowrt.traffic.objects import Tracks

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
        self._columns = {name: np.empty((0, *shape), dtype) for name, (dtype, shape, _) in columns.items()}
        self._seen_s = np.zeros(0)
        self._free: list[int] = []
        self._newest_s = self._next_clean_s = -np.inf

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """The whole column (capacity, ...): index it with the rows of `rows`."""
        return self._columns[column]

    def cameras(self) -> list[str]:
        """The cameras whose tracks are remembered."""
        return sorted({camera for camera, _ in self._row})

    def rows(self, tracks: Tracks) -> NDArray[np.int64]:
        """(N,) the row of each track; forgets tracks that have been away too long, and those seen before the clock was set back."""
        time_s, camera = tracks.time_s, tracks.camera_id
        if set_back(self._newest_s, time_s):
            for key, row, seen_s in self.last_seen(camera):
                if seen_s > time_s:
                    self._free.append(row)
                    del self._row[key]
            self._next_clean_s = time_s
        self._newest_s = time_s
        if time_s >= self._next_clean_s:
            self._next_clean_s = time_s + self.forget_after_s / 2
            for key in [key for key, row in self._row.items() if self._seen_s[row] < time_s - self.forget_after_s]:
                self._free.append(self._row.pop(key))
        rows = np.array([self._row_of((camera, track)) for track in tracks.track_id.tolist()], np.int64)
        self._seen_s[rows] = time_s
        return rows

    def columns(self) -> dict[str, Column]:
        """What it was made with."""
        return self._spec

    def last_seen(self, camera: str) -> list[tuple[Key, int, float]]:
        """Tracks of a camera: key, row, and when they were last seen."""
        seen_s = self._seen_s.tolist()
        return [(key, row, seen_s[row]) for key, row in self._row.items() if key[0] == camera]

    def _row_of(self, key: Key) -> int:
        """The row of a track, a fresh one for a new track."""
        row = self._row.get(key)
        if row is None:
            if not self._free:
                self._grow()
            row = self._row[key] = self._free.pop()
            for name, (_, _, start) in self._spec.items():
                self._columns[name][row] = start
        return row

    def _grow(self) -> None:
        before, more = len(self._seen_s), max(len(self._seen_s), 64)
        for name, (dtype, shape, start) in self._spec.items():
            self._columns[name] = np.concatenate((self._columns[name], np.full((more, *shape), start, dtype)))
        self._seen_s = np.concatenate((self._seen_s, np.full(more, -np.inf)))
        self._free.extend(range(before + more - 1, before - 1, -1))

    def export(self) -> dict[str, Any]:
        """Everything remembered, for a successor with the same columns."""
        rows = np.array(list(self._row.values()), np.int64)
        columns = {name: column[rows] for name, column in self._columns.items()}
        return {"keys": list(self._row), "seen_s": self._seen_s[rows], "columns": columns}

    def take_over(self, state: dict[str, Any]) -> None:
        """Add what a predecessor exported; columns it did not have start fresh."""
        rows = [self._row_of(key) for key in state["keys"]]
        self._seen_s[rows] = state["seen_s"]
        for name, column in state["columns"].items():
            if name in self._columns and column.shape[1:] == self._columns[name].shape[1:]:
                self._columns[name][rows] = column
