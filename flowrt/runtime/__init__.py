"""The runtime: the only mutable graph.

Invariants
- A hop is a method call on the thread of the driver that brought the message. A driver comes to rest only between two.
- A cell that several drivers reach has a lock of its own, held while its node processes, never while it sends on.
- Counting, per cell: in = out + dropped + errors + held, exact whenever all drivers are held.
- A reload opens everything new before it touches anything old, then swaps while all drivers are held, upstream first.
"""

from flowrt.runtime.runtime import ReloadFailed, Runtime, StartFailed

__all__ = ["ReloadFailed", "Runtime", "StartFailed"]
