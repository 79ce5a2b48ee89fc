"""For authors of nodes and rules: what a test of one needs.

`run` gives a node messages and returns what it makes; `deliver` does that for a sink and returns a `FakeSink`; `golden` compares with a file.
`tracks`, `traffic`, `drive`, `scene`, `zone`, `line` and `signal` make what arrives. docs/testing.md shows each.

What `flowrt test`, `record` and `replay` are made of lies in this folder too (`suite.py`, `recording.py`, `replay.py`) and is not public.
Names are imported when they are first asked for, so that pytest may look for fixtures here (`kit/fixtures.py`) at no cost.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.testing.kit.golden import golden
    from flowrt.testing.kit.nodes import FakeSink, context, deliver, opened, run
    from flowrt.traffic.testing import START_S, drive, line, scene, signal, tracks, traffic, zone

__all__ = [
    "START_S",
    "FakeSink",
    "context",
    "deliver",
    "drive",
    "golden",
    "line",
    "opened",
    "run",
    "scene",
    "signal",
    "tracks",
    "traffic",
    "zone",
]

_KIT = {"FakeSink", "context", "deliver", "opened", "run"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'flowrt.testing' has no attribute '{name}'")
    if name == "golden":
        return getattr(import_module("flowrt.testing.kit.golden"), name)
    return getattr(import_module("flowrt.testing.kit.nodes" if name in _KIT else "flowrt.traffic.testing"), name)
