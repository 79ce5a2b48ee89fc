"""gate: lets detections through by the count, so that a flow stands still whenever the benchmark wants it to."""

from __future__ import annotations

import threading

from flowrt import Context, Detections, Transform


class Gate(Transform):
    """Hold pictures back until they are asked for."""

    def open(self, context: Context) -> None:
        self._wanted = threading.Semaphore(0)
        self._missing = 0
        self._all_passed = threading.Event()
        self._for_good = False

    def process(self, detections: Detections) -> Detections:
        while not self._wanted.acquire(timeout=0.5):
            if self._for_good:
                return detections
        self._missing -= 1
        if self._missing == 0:
            self._all_passed.set()
        return detections

    def let_through(self, pictures: int) -> None:
        """Let so many through, and wait until the last of them passed. Raises TimeoutError after five minutes."""
        self._all_passed.clear()
        self._missing = pictures
        self._wanted.release(pictures)
        if not self._all_passed.wait(300):
            raise TimeoutError("the flow stands still")

    def open_for_good(self) -> None:
        """Let everything through from now on, so that the flow can end."""
        self._for_good = True
