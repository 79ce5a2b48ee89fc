"""rate_limit: pass on at most so many messages in a time."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from flowrt import Context, M, Message, Transform, setting
from flowrt.capture_time import set_back

MOST_BUCKETS = 10_000


class RateLimit(Transform):
    """Pass on at most `most` messages within `per_s` seconds of capture time; what comes beyond that is left out and counted.

    A token bucket: up to `most` at once, refilled evenly. Each kind of message has a bucket of its own, with `by: camera` each
    camera as well, with `by: all` there is one bucket.
    """

    most: Annotated[int, setting("Messages let through in each `per_s`.", ge=1, le=1_000_000)] = 1
    per_s: Annotated[float, setting("Length of time for `most` messages.", gt=0, le=86400)] = 1.0
    by: Annotated[Literal["type", "camera", "all"], setting("What has a limit of its own.")] = "camera"

    example: ClassVar[str] = """\
now_and_then: {type: rate_limit, from: tracks, most: 2, per_s: 1}
"""

    def open(self, context: Context) -> None:
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        self._left_out = 0

    def reconfigured(self, changed: frozenset[str]) -> None:
        if "by" in changed:
            self._buckets.clear()

    def process(self, message: M) -> M | None:
        key = self._key(message)
        tokens, at_s = self._buckets.get(key, (float(self.most), message.time_s))
        if set_back(at_s, message.time_s):
            at_s = message.time_s
        elapsed_s = max(message.time_s - at_s, 0.0)
        tokens = min(tokens + elapsed_s * self.most / self.per_s, float(self.most))
        passed = tokens >= 1.0 - 1e-9
        if len(self._buckets) >= MOST_BUCKETS and key not in self._buckets:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (tokens - 1.0 if passed else tokens, max(at_s, message.time_s))
        if not passed:
            self._left_out += 1
            return None
        return message

    def export_state(self) -> Any:
        return self._buckets

    def import_state(self, state: Any) -> None:
        self._buckets = state

    def status(self) -> dict[str, Any]:
        return {"left_out": self._left_out}

    def _key(self, message: Message) -> tuple[str, str]:
        if self.by == "all":
            return "", ""
        return message.port, message.camera_id if self.by == "camera" else ""
