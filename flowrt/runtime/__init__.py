"""The runtime: the only mutable graph.

Invariants
- A message is carried by the thread of the worker that brought it. A worker is paused only between two messages.
- A runner that several workers reach has a lock of its own, held while its node processes, never while it sends on.
- Counting, per runner: in = out + dropped + errors + held, exact whenever all workers are paused.
- A reload opens everything new before it touches anything old, then exchanges while all workers are paused, upstream first.
- Whatever a node raises, SystemExit included, is counted as its fault, and goes no further.
"""

from flowrt.runtime.runtime import ReloadFailed, Runtime, StartFailed
from flowrt.runtime.shared_call import SharedCall

__all__ = ["ReloadFailed", "Runtime", "SharedCall", "StartFailed"]
