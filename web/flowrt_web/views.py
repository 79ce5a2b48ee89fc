"""Chooses, for each camera, the node whose messages the page shows: the last one that gives boxes, else the camera itself."""

from __future__ import annotations

from typing import NamedTuple

from flowrt import Detections, Frame, Objects, Tracks
from flowrt.flow import FROM, Flow


class CameraView(NamedTuple):
    """A camera as the page shows it. node: whose messages are shown. scene: the name of the scene that nodes behind it use."""

    camera: str
    node: str
    scene: str
    position: str


def cameras(flow: Flow) -> list[CameraView]:
    """Every camera of a flow."""
    return [
        CameraView(name, _best(flow, behind), _scene(flow, behind), str(getattr(spec.settings, "position", "")))
        for name, spec in flow.nodes.items()
        if Frame in spec.type.ports.outputs and (behind := _behind(flow, name))
    ]


def _behind(flow: Flow, camera: str) -> list[str]:
    """The camera and what only it feeds by `from`, each after what feeds it."""
    behind = [camera]
    for name in flow.order():
        sources = {edge.source for edge in flow.nodes[name].edges if edge.field == FROM}
        if sources and sources <= set(behind):
            behind.append(name)
    return behind


def _best(flow: Flow, behind: list[str]) -> str:
    """The deepest node that makes tracks; else detections; else the camera."""
    best, best_rank = behind[0], 0
    for name in behind:
        rank = max((_rank(kind) for kind in flow.nodes[name].type.ports.outputs), default=0)
        if rank and rank >= best_rank:
            best, best_rank = name, rank
    return best


def _rank(kind: type) -> int:
    if issubclass(kind, Tracks):
        return 3
    if issubclass(kind, Detections):
        return 2
    return 1 if issubclass(kind, Objects) else 0


def _scene(flow: Flow, behind: list[str]) -> str:
    """The scene that most of these nodes use."""
    named = [entry for name in behind for kind, entry in flow.nodes[name].entries.values() if kind == "scene"]
    return max(named, key=named.count, default="")
