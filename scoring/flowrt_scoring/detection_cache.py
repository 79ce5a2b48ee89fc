"""A cache of the detections of scored runs, so that changed rules are scored without drawing and detecting again.

One recording per detect node and run. Its name is a digest of everything that the detections depend on (the world, the camera, the
faults, the node's settings and the content of its model) except the code that draws and detects: remove the folder after
changing that.
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
from flowrt.flow import Flow
from flowrt.system.fingerprint import fingerprint
from flowrt.testing.recording import Header, Recording
from flowrt.testing.recording_store import RecordingStore, UnfinishedRecording
from flowrt.testing.replay import substitute, tapped, upstream
from flowrt_scoring.simulated import Faults, cameras, detecting
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.uri import SimOptions


@contextmanager
def cached_detections(
    flow: Flow, running: Flow, world: SimOptions, faults: Faults, motion: Motion, folder: Path
) -> Iterator[Flow]:
    """`running`, the flow on simulated time, with its detections read from the folder if they are there, else written to it.

    motion: the world, which is stepped along with what is read as it is with the pictures of cameras.
    """
    store = RecordingStore(folder, ".rec")
    keys = {name: _digest(flow, name, world, faults) for name in detecting(flow)}
    files = {name: store.find(name, key) for name, key in keys.items()}
    cached = {name: _messages(file, world, motion) for name, file in files.items() if file is not None}
    new: dict[str, UnfinishedRecording] = {}
    for name in files.keys() - cached.keys():
        header = Header(flow=flow.name, site=flow.site, nodes={name: flow.nodes[name].type.name})
        new[name] = store.begin(name, keys[name], header)

    def record(name: str, message: Message) -> None:
        if isinstance(message, Detections):
            new[name].writer.write(name, message)

    try:
        yield tapped(substitute(running, cached), new, record)
    except BaseException:
        for recording in new.values():
            recording.discard()
        raise
    for recording in new.values():
        recording.finish()


def _messages(file: Path, world: SimOptions, motion: Motion) -> Iterator[Message]:
    for _, message in Recording(file):
        motion.run_until(world.start + message.time_s)
        yield message


def _digest(flow: Flow, name: str, world: SimOptions, faults: Faults) -> str:
    """A digest of everything that the detections of a node depend on."""
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
