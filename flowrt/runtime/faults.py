"""What a node raised, as people look for it: file and line, the traceback of the first time, and how often it came since."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from flowrt.flow import NodeSpec
from flowrt.node import BadInput
from flowrt.system.threads import one_line, printable

KINDS = 5
"""So many different faults of a node are kept, the latest ones."""
FRAMES, CHARACTERS = 12, 8000
"""Of a traceback."""
_RUNTIME = Path(__file__).parent


class KnownFault(msgspec.Struct, kw_only=True):
    """One fault of a node: the same class of exception, raised at the same line.

    error: the latest one's class and text. traceback: of the first one. count: how often it came.
    """

    error: str
    file: str
    line: int
    count: int
    first_s: float
    time_s: float
    traceback: str

    @property
    def place(self) -> str:
        """`FILE:LINE`, empty where it is not known."""
        return f"{self.file}:{self.line}" if self.file else ""


class Faults:
    """The faults of one node's place in the graph. Any thread may note one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, int], KnownFault] = {}

    def __iter__(self) -> Iterator[KnownFault]:
        """The one that came last, last."""
        with self._lock:
            return iter([msgspec.structs.replace(fault) for fault in self._known.values()])

    def note(self, error: BaseException, spec: NodeSpec, hook: object, time_s: float) -> KnownFault:
        """Count a fault. hook: the method that was called, for a fault that was found in what it returned."""
        no_bug = isinstance(error, BadInput)
        file, line = ("", 0) if no_bug else _place(error.__traceback__, spec, hook)
        key = (type(error).__qualname__, file, line)
        with self._lock:
            fault = self._known.pop(key, None)  # the latest stands last
            if fault is None:
                lines = traceback.format_exception(
                    type(error), error, outside_of_runtime(error.__traceback__), limit=-FRAMES
                )
                text = "" if no_bug else printable("".join(lines)[-CHARACTERS:], "\n")
                fault = KnownFault(
                    error="", file=file, line=line, count=0, first_s=time_s, time_s=time_s, traceback=text
                )
                while len(self._known) >= KINDS:
                    self._known.pop(next(iter(self._known)))
            fault.error, fault.time_s = one_line(error), time_s
            fault.count += 1
            self._known[key] = fault
            return msgspec.structs.replace(fault)

    def as_data(self) -> list[dict[str, Any]]:
        """For the status, the latest first."""
        return [msgspec.to_builtins(fault) for fault in self][::-1]


def outside_of_runtime(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the runtime's own lines at its begin; all of it where it has no others."""
    outside = trace
    while outside is not None and Path(outside.tb_frame.f_code.co_filename).parent == _RUNTIME:
        outside = outside.tb_next
    return outside or trace


def _place(trace: TracebackType | None, spec: NodeSpec, hook: object) -> tuple[str, int]:
    """Where it was raised: the innermost line of the node's own file or folder; of another file where none is on the way.

    What is wrong with a result is raised outside of the node: then it is the method that returned it.
    """
    own = Path(spec.type.file) if spec.type.file else None
    folder = own.parent if own is not None and own.name == "__init__.py" else None
    innermost = known = ("", 0)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        innermost = file, trace.tb_lineno
        if own is not None and (Path(file) == own or (folder is not None and folder in Path(file).parents)):
            known = innermost
        trace = trace.tb_next
    if known[0]:
        return known
    code = getattr(hook, "__code__", None)
    ours = not innermost[0] or Path(innermost[0]).parent == _RUNTIME
    return (code.co_filename, code.co_firstlineno) if ours and code is not None else innermost
