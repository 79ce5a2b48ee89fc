"""What the log hears of faults: each of them once, then a count."""

from __future__ import annotations

import logging
from time import monotonic

from flowrt.message import Fault

log = logging.getLogger("flowrt")

REPEAT_S = 10.0
"""The same fault of the same node is logged once in so long; each is counted, and offered to `catch`."""

KNOWN_FAULTS = 1000


class FaultLog:
    """Logs faults without flooding the log."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}

    def tell(self, fault: Fault) -> None:
        """Log a fault, unless the same one was logged just now."""
        key = (fault.node, fault.error_type, fault.error)
        told_s, untold = self._told.get(key, (-REPEAT_S, 0))
        if monotonic() - told_s < REPEAT_S:
            self._told[key] = told_s, untold + 1
            return
        more = f" ({untold} more of these since)" if untold else ""
        log.error("%s: %s: %s%s", fault.node, fault.error_type, fault.error, more, extra={"node": fault.node})
        if len(self._told) >= KNOWN_FAULTS:
            self._told.clear()
        self._told[key] = monotonic(), 0
