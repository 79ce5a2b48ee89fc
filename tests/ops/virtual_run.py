"""The shipped flow under virtual time, with real delivery, and the true boxes in the place of the detector's.

python virtual_run.py FLOW BEGIN_S [NODE.SETTING=VALUE ...]

For events that a minute of traffic seldom has: the rules see every picture of the simulation, however slow the machine is.
BEGIN_S is the flow's first moment, seconds since the epoch. Broker and database are those of MQTT_URL and INFLUX_URL.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from flowrt import Detections
from flowrt.clock import SystemClock, VirtualClock
from flowrt.commands.check import parse_overrides
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.runtime import Runtime
from flowrt.runtime.virtual import run
from flowrt.testing.replay import substitute
from flowrt_sim import CLASSES
from flowrt_sim.source import SimCamera
from flowrt_sim.uri import parse

CAMERA, DETECTOR = "north", "objects"
"""Of the shipped flow."""


def seen(uri: str, begin_s: float) -> Iterator[Detections]:
    """The detections of a perfect detector; the pictures are not drawn."""
    camera = SimCamera(parse(uri))
    for number, (time_s, truth) in enumerate(camera.truths()):
        yield Detections(
            time_s=begin_s + time_s,
            camera_id=CAMERA,
            frame_number=number,
            picture_px=camera.size_px,
            boxes_px=truth.boxes_px.astype(np.float32),
            class_id=truth.class_ids,
            confidence=np.ones(len(truth.ids), np.float32),
            labels=CLASSES,
            model="truth",
        )


def main(file: str, begin_s: float, settings: list[str]) -> None:
    """Run to the end of the simulation, and wait until everything is delivered."""
    flow = load(file, overrides=parse_overrides(settings))
    uri: str = flow.nodes[CAMERA].settings.uri
    flow = substitute(flow, {DETECTOR: seen(uri, begin_s)})
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.db", clock=SystemClock())
        delivery = Delivery(journal, SystemClock())
        contract = Contract.of_flow(flow.folder)
        clock = VirtualClock(begin_s)
        runtime = Runtime(flow, delivery=delivery, contract=contract, clock=clock, data=Path(folder), threads=False)
        runtime.start()
        try:
            run(runtime, until_s=begin_s + parse(uri).duration_s)
        finally:
            runtime.stop(timeout_s=60.0)
            left = {name: journal.pending(name) for name in journal.outboxes() if journal.pending(name)}
            journal.close()
    assert not left, f"not delivered: {left}"


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
