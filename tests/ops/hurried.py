"""A flow under virtual time whose letters really go out: every picture is looked at, however slow the machine is.

python hurried.py FLOW BEGIN_S DURATION_S [NODE.SETTING=VALUE ...]

BEGIN_S is the flow's first moment, seconds since the epoch. Broker and database are those of MQTT_URL and INFLUX_URL.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from flowrt.clock import SystemClock, VirtualClock
from flowrt.commands.check import parse_overrides
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.load import load
from flowrt.runtime import Runtime
from flowrt.runtime.virtual import run


def main(file: str, begin_s: float, duration_s: float, settings: list[str]) -> None:
    """Run it, and wait until everything was taken."""
    flow = load(file, overrides=parse_overrides(settings))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db", clock=SystemClock())
        delivery = Delivery(journal, SystemClock())
        contract = Contract.of_flow(flow.folder)
        clock = VirtualClock(begin_s)
        runtime = Runtime(flow, delivery=delivery, contract=contract, clock=clock, data=Path(folder), threads=False)
        runtime.start()
        try:
            run(runtime, until_s=begin_s + duration_s)
        finally:
            runtime.stop(timeout_s=60.0)
            left = {name: journal.pending(name) for name in journal.outboxes() if journal.pending(name)}
            journal.close()
    assert not left, f"not delivered: {left}"


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
