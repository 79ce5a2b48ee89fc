"""catch: errors of other nodes, as messages."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from flowrt import Context, Fault, Transform, setting


class Catch(Transform):
    """Pass on the faults of the nodes named in `from`: what they raised while they processed a message.

    A node that raises goes on with its next message; `catch` makes its error a message that can be counted, shown or sent.
    Repeats of the same error of the same node within `quiet_s` are left out and counted.
    """

    quiet_s: Annotated[float, setting("Time without repeats of the same error; 0 passes on all.", ge=0, le=86400)] = 0.0

    example: ClassVar[str] = """\
troubles: {type: catch, from: [objects, tracks], quiet_s: 10}
"""

    def open(self, context: Context) -> None:
        self._last_s: dict[tuple[str, str, str], float] = {}
        self._left_out = 0

    def process(self, fault: Fault) -> Fault | None:
        if self.quiet_s == 0:
            return fault
        key = (fault.node, fault.error_type, fault.error[:200])
        last_s = self._last_s.get(key)
        if last_s is not None and 0 <= fault.time_s - last_s < self.quiet_s:
            self._left_out += 1
            return None
        if len(self._last_s) >= 1000:
            del self._last_s[next(iter(self._last_s))]
        self._last_s[key] = fault.time_s
        return fault

    def status(self) -> dict[str, Any]:
        return {"left_out": self._left_out}
