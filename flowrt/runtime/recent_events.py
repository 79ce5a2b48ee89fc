"""The events of a run as they are shown: how many of each type, and the last ones."""

from __future__ import annotations

from collections import OrderedDict, deque

import msgspec

from flowrt.journal import EventRow

SHOWN_BYTES = 20_000
"""Of an event that is kept to be shown, a longer payload is left out."""
KNOWN = 10_000


class RecentEvents:
    """counts: by type. last, last_critical: the newest at the end."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.last: deque[EventRow] = deque(maxlen=50)
        self.last_critical: deque[EventRow] = deque(maxlen=50)
        self._known: OrderedDict[str, None] = OrderedDict()

    def remember(self, row: EventRow, critical: bool) -> None:
        """Count an event once, however many sinks it reaches and however often it is updated."""
        if row.id in self._known:
            return
        self._known[row.id] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        self.counts[row.type] = self.counts.get(row.type, 0) + 1
        if len(row.payload) > SHOWN_BYTES:
            row = msgspec.structs.replace(row, payload=msgspec.json.encode({"id": row.id}))
        self.last.append(row)
        if critical:
            self.last_critical.append(row)
