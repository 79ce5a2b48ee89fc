"""What holds in the simulation only, and may not judge the pictures of a real camera: its signals, its scene, its detector.

A flow that mixes them runs and raises false accusations, so that it is refused. Node types say of themselves
- `real_pictures`: a bool, whether the node gives pictures of a real road;
- `simulation_only()`: a `Diagnostic` that says what of the node holds in the simulation only, and what to use instead; else None.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowrt.config.sections import FlowParts
from flowrt.diagnostics import Diagnostic
from flowrt.traffic.scene import Scene


def mixtures(scenes: Mapping[str, Scene], flow: FlowParts) -> Iterator[tuple[str, Diagnostic]]:
    """Everything of the simulation on the way of a real camera's pictures, each once, with the node to report it at."""
    reached = {
        name: downstream(name, flow) for name, node in flow.nodes.items() if getattr(node, "real_pictures", False)
    }
    for name, node in flow.nodes.items():
        judge = getattr(node, "simulation_only", None)
        found: Diagnostic | None = judge() if judge is not None else None
        if found is None:
            continue
        judged = {name} if flow.feeds[name] else {target for target, sources in flow.feeds.items() if name in sources}
        camera = next((camera for camera, nodes in reached.items() if judged & nodes), None)
        if camera is not None:
            message = f"{found.message}, but '{camera}' is a real camera"
            yield name, Diagnostic(found.keys, message, f"{found.hint}; {_or_a_clip(camera)}")
    for camera, nodes in reached.items():
        used = {getattr(flow.nodes.get(name), "scene", "") for name in nodes}
        for scene in scenes.values():
            if scene.simulated and scene.name in used:
                message = f"'{camera}' is a real camera, but the scene '{scene.name}' is the simulator's"
                hint = f"draw a scene on a picture of the camera (docs/scene.md), without `simulated`; {_or_a_clip(camera)}"
                yield camera, Diagnostic(("uri",), message, hint)


def _or_a_clip(camera: str) -> str:
    return f"if the simulator made the pictures of '{camera}', add `simulated: true` there"


def downstream(name: str, flow: FlowParts) -> set[str]:
    """The nodes that messages of a node reach, by whatever way, and the node itself."""
    reached, new = set(), {name}
    while new:
        reached |= new
        new = {target for target, sources in flow.feeds.items() if sources & new} - reached
    return reached
