"""What the page asks of a flow besides the live figures: its graph, and everything about one node."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flowrt.catalog import setting_extras
from flowrt.commands.nodes import description
from flowrt.flow import FROM, Flow, NodeSpec
from flowrt.http import Host, Route
from flowrt.node import Node
from flowrt.secrets import MASK
from flowrt_web.views import cameras


def routes(host: Host) -> Iterable[Route]:
    """The routes of the flow page."""

    async def graph(_: Request) -> Response:
        return host.json(graph_of(host.runtime.flow) | {"edit": sorted(host.edit)})

    async def node(request: Request) -> Response:
        name = request.path_params["name"]
        runner = host.runtime.runners.get(name)
        if runner is None:
            return host.json({"error": f"there is no node {name}"}, 404)
        return host.json(about_node(runner.spec) | {"faults": runner.faults.as_data()})

    yield Route("/api/page/flow", graph)
    yield Route("/api/page/nodes/{name}", node)


def graph_of(flow: Flow) -> dict[str, Any]:
    """Nodes and edges, as the page draws them. lane: the camera that feeds a node, empty where several do or none."""
    lanes = lanes_of(flow)
    nodes = [
        {"name": name, "type": spec.type.name, "role": spec.type.role, "lane": lanes[name], "about": spec.type.summary}
        for name, spec in flow.nodes.items()
    ]
    edges = [
        {
            "source": edge.source,
            "target": edge.target,
            "field": edge.field,
            "port": edge.port,
            "side": edge.field != FROM,
            "ports": [kind.port for kind in flow.arriving[edge]],
        }
        for edge in flow.edges
    ]
    views = [
        {"name": view.camera, "node": view.node, "scene": view.scene, "position": view.position}
        for view in cameras(flow)
    ]
    return {
        "flow": flow.name,
        "site": flow.site,
        "file": str(flow.path),
        "nodes": nodes,
        "edges": edges,
        "cameras": views,
        "scenes": list(flow.sections.get("scene", {})),
    }


def lanes_of(flow: Flow) -> dict[str, str]:
    """By node, the one source that brings it messages by `from`; empty where several do."""
    lanes: dict[str, str] = {}
    for name in flow.order():
        feeding = {lanes[edge.source] for edge in flow.nodes[name].edges if edge.field == FROM}
        lanes[name] = (feeding.pop() if len(feeding) == 1 else "") if flow.nodes[name].edges else name
    return lanes


def about_node(spec: NodeSpec) -> dict[str, Any]:
    """Settings, with secret ones masked, and the documentation of the type."""
    return {
        "name": spec.name,
        "type": spec.type.name,
        "role": spec.type.role,
        "summary": spec.type.summary,
        "documentation": description(spec.type),
        "docstring": inspect.getdoc(spec.type.cls) or "",
        "place": {"file": spec.mark.file, "line": spec.mark.line},
        "settings": settings_of(spec.settings),
        "inputs": [msgspec.to_builtins(edge) for edge in spec.edges],
    }


def settings_of(node: Node) -> Mapping[str, Any]:
    """Setting to value."""
    secret = {name for name, extra in setting_extras(type(node)).items() if extra.get("secret")}
    return {
        name: MASK if name in secret and getattr(node, name) else plain(getattr(node, name))
        for name in node.__struct_fields__
    }


def plain(value: Any) -> Any:
    """A value as JSON can say it."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=repr))
