"""What the detector saw in a scored run, kept in a folder: pictures need not be drawn and looked at again to score changed rules.

One recording a detect node and run. Its name holds all that what was seen depends on: the world, the camera, the faults, the
node's settings and the content of its model. What it does not hold is the code that draws and detects: who changes that removes the folder.

Invariant: a recording has its name only once its run went to the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from flowrt import Detections, Message
from flowrt.fingerprint import fingerprint
from flowrt.flow import Flow
from flowrt.testing.recording import Header, Recording, Writer
from flowrt.testing.replay import substitute, tapped, upstream
from flowrt_scoring.simulated import Faults, cameras, detecting
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.uri import SimOptions


@contextmanager
def kept(flow: Flow, running: Flow, world: SimOptions, faults: Faults, motion: Motion, folder: Path) -> Iterator[Flow]:
    """`running`, the flow on simulated time, with what its detectors saw from the folder, where it is there, else written to it.

    motion: the world, which goes on with what is read as it does with the pictures that cameras take.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}-{_digest(flow, name, world, faults)}.rec" for name in detecting(flow)}
    there = {name: _messages(file, world, motion) for name, file in files.items() if file.exists()}
    writers: dict[str, tuple[Writer, Path]] = {}
    for name in files.keys() - there.keys():
        part = files[name].with_suffix(".part")
        part.unlink(missing_ok=True)
        header = Header(flow=flow.name, site=flow.site, nodes={name: flow.nodes[name].type.name})
        writers[name] = Writer(part, header), part

    def take(name: str, message: Message) -> None:
        if isinstance(message, Detections):
            writers[name][0].write(name, message)

    try:
        yield tapped(substitute(running, there), writers, take)
    finally:
        for writer, _ in writers.values():
            writer.close()
    for name, (_, part) in writers.items():
        part.replace(files[name])


def _messages(file: Path, world: SimOptions, motion: Motion) -> Iterator[Message]:
    for _, message in Recording(file):
        motion.run_until(world.start + message.time_s)
        yield message


def _digest(flow: Flow, name: str, world: SimOptions, faults: Faults) -> str:
    """A short text that differs where what the node sees differs."""
    spec = flow.nodes[name]
    behind = upstream(flow, [name])
    films = {camera: asdict(options) for camera, options in cameras(flow).items() if camera in behind}
    shared: Mapping[str, Any] = {"world": asdict(world), "faults": asdict(faults), "films": films}
    nodes = {other: _settings(flow, other) for other in sorted([name, *behind])}
    model = [fingerprint(file) for file in spec.settings.files(flow.folder)]
    facts = msgspec.json.encode({**shared, "nodes": nodes, "model": model}, order="deterministic")
    return f"seed-{world.seed}-{world.weather}-{hashlib.sha256(facts).hexdigest()[:16]}"


def _settings(flow: Flow, name: str) -> Any:
    spec = flow.nodes[name]
    return [spec.type.name, {field: getattr(spec.settings, field) for field in spec.settings.__struct_fields__}]
