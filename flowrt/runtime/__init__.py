"""The runtime: the only mutable graph.

Invariants
- A hop is a method call on the thread of the worker that brought the message. A worker comes to rest only between two.
- A runner that several workers reach has a lock of its own, held while its node processes, never while it sends on.
- Counting, per runner: in = out + dropped + errors + held, exact whenever all workers are held.
- A reload opens everything new before it touches anything old, then swaps while all workers are held, upstream first.
"""

from flowrt.runtime.runtime import ReloadFailed, Runtime, StartFailed

__all__ = ["ReloadFailed", "Runtime", "StartFailed"]
