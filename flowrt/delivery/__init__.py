"""Delivery: from the journal to the outside, one deliverer thread per outbox.

Invariants
- A record leaves the journal only with an acknowledgement. Whatever else happens (Retry, an exception, a crash, a reload, the end of
  the run), it is sent again. So: at least once, in order of acceptance as far as the outside answers in order.
- One dead service holds up no other: each outbox has its own thread and its own cursor in the journal.
- Outboxes of one service (`Outbox.outside`) tell each other when it is back.
- A record that the outside refuses (`Reject`) is isolated: its batch is sent again one by one, and only it becomes a dead letter.
- A node that raises anything else is contained: counted, logged, backed off. A record becomes a dead letter for that only where it is
  proven to be the cause, since others pass meanwhile (`suspicion.py`).

What `Outbox.deliver` may rely on: records come in order; a record without an acknowledgement comes again, with `attempts` raised, only
after a Retry or after `SILENCE_S` without any acknowledgement; while records are under way and no new ones come, `deliver` is called with an
empty sequence every `Outbox.tick_s`, so that a node that gathers records, or learns late of a lost connection, gets to act.
"""

from flowrt.delivery.delivery import Delivery, SinkStatistics

__all__ = ["Delivery", "SinkStatistics"]
