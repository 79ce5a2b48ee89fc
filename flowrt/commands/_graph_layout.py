"""Where the nodes and edges of a flow stand in a picture: layers from left to right, few crossings.

The manner is that of Sugiyama, Tagawa and Toda (1981): a node's layer is the longest way to it, long edges get a waypoint in
each layer between, and each layer is sorted by the middle of its neighbours. Lengths are pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from flowrt.flow import FROM, Edge, Flow

MARGIN, GAP_X, GAP_Y, BOX_HEIGHT, WAYPOINT_HEIGHT = 24.0, 96.0, 26.0, 46.0, 12.0
CHAR_WIDTH, LABEL_CHAR_WIDTH, LABEL_HEIGHT, PADDING = 7.6, 5.6, 12.0, 22.0
SWEEPS = 8


class Box(NamedTuple):
    """A node: its top left corner and size."""

    name: str
    type: str
    role: str
    x: float
    y: float
    width: float
    height: float


class EdgeReference(NamedTuple):
    """An edge: its corners from source to target. side_input: a second input, drawn dashed."""

    points: list[tuple[float, float]]
    label: str
    label_at: tuple[float, float]
    side_input: bool


class Layout(NamedTuple):
    """A whole picture."""

    width: float
    height: float
    boxes: list[Box]
    wires: list[EdgeReference]


NodeRunner = tuple[str, int]
"""A node (its name, -1), or a waypoint (the text of its edge, the layer)."""


def edge_label(flow: Flow, edge: Edge) -> str:
    """What travels on an edge, by its ports."""
    return ", ".join(dict.fromkeys(kind.port for kind in flow.arriving.get(edge, ())))


def layout(flow: Flow) -> Layout:
    """Place every node and edge."""
    layer_of = _layers(flow)
    ways = {edge: _way(edge, layer_of) for edge in flow.edges}
    columns: list[list[NodeRunner]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for name in flow.order():
        columns[layer_of[name]].append((name, -1))
    for way in ways.values():
        for cell in way[1:-1]:
            columns[cell[1]].append(cell)
    _untangle(columns, [pair for way in ways.values() for pair in pairwise(way)])
    return _place(flow, columns, ways)


def _layers(flow: Flow) -> dict[str, int]:
    """Longest way from a source; a source stands just before the first node that it feeds."""
    layer: dict[str, int] = {}
    targets: dict[str, list[str]] = {}
    for name in flow.order():
        layer[name] = max((layer[edge.source] + 1 for edge in flow.nodes[name].edges), default=0)
        for edge in flow.nodes[name].edges:
            targets.setdefault(edge.source, []).append(name)
    for name, node in flow.nodes.items():
        if not node.edges and name in targets:
            layer[name] = min(layer[target] for target in targets[name]) - 1
    return layer


def _way(edge: Edge, layer_of: dict[str, int]) -> list[NodeRunner]:
    between = range(layer_of[edge.source] + 1, layer_of[edge.target])
    text = f"{edge.source} {edge.port} {edge.field} {edge.target}"
    return [(edge.source, -1), *((text, layer) for layer in between), (edge.target, -1)]


def _untangle(columns: list[list[NodeRunner]], pairs: list[tuple[NodeRunner, NodeRunner]]) -> None:
    """Sort each column by the mean place of its neighbours, forwards and backwards in turn."""
    before: dict[NodeRunner, list[NodeRunner]] = {}
    after: dict[NodeRunner, list[NodeRunner]] = {}
    for left, right in pairs:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            place = {cell: i / max(len(each) - 1, 1) for each in columns for i, cell in enumerate(each)}
            mean = {cell: _mean([place[other] for other in neighbours.get(cell, [])], place[cell]) for cell in column}
            column.sort(key=mean.__getitem__)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _place(flow: Flow, columns: list[list[NodeRunner]], ways: dict[Edge, list[NodeRunner]]) -> Layout:
    heights = [sum(_height(cell) + GAP_Y for cell in column) - GAP_Y for column in columns]
    tallest = max(heights, default=0.0)
    boxes: dict[NodeRunner, Box] = {}
    x = MARGIN
    gap_x = GAP_X
    for column, height in zip(columns, heights, strict=True):
        width = max((_width(flow, cell) for cell in column), default=0.0)
        y = MARGIN + (tallest - height) / 2
        for cell in column:
            node = flow.nodes.get(cell[0]) if cell[1] < 0 else None
            kind, role = (node.type.name, node.type.role) if node else ("", "")
            boxes[cell] = Box(cell[0], kind, role, x, y, width, _height(cell))
            y += _height(cell) + GAP_Y
        leaving = [edge_label(flow, edge) for edge, way in ways.items() if way[0] in column]
        gap_x = max([GAP_X, *(len(label) * LABEL_CHAR_WIDTH + 2 * PADDING for label in leaving)])
        x += width + gap_x
    said: dict[str, list[str]] = {}
    wires = [_wire(flow, edge, [boxes[cell] for cell in way], said) for edge, way in ways.items()]
    width = x - gap_x + MARGIN if columns else 2 * MARGIN
    return Layout(width, tallest + 2 * MARGIN, [box for cell, box in boxes.items() if cell[1] < 0], wires)


def _height(cell: NodeRunner) -> float:
    return BOX_HEIGHT if cell[1] < 0 else WAYPOINT_HEIGHT


def _width(flow: Flow, cell: NodeRunner) -> float:
    if cell[1] >= 0:
        return 0.0
    return max(len(cell[0]), len(flow.nodes[cell[0]].type.name)) * CHAR_WIDTH + PADDING


def _wire(flow: Flow, edge: Edge, way: list[Box], said: dict[str, list[str]]) -> EdgeReference:
    """One edge. said: the labels that stand behind each node already; the same words are not repeated for its other edges."""
    points = [(way[0].x + way[0].width, way[0].y + way[0].height / 2)]
    for box in way[1:-1]:
        middle = box.y + box.height / 2
        points += [(box.x, middle), (box.x + box.width, middle)]
    points.append((way[-1].x, way[-1].y + way[-1].height / 2))
    label = edge_label(flow, edge)
    labels = said.setdefault(edge.source, [])
    if label in labels:
        label = ""
    else:
        labels.append(label)
    x, y = points[0]
    at = (x + PADDING / 2 + len(label) * LABEL_CHAR_WIDTH / 2, y - 4 - LABEL_HEIGHT * max(len(labels) - 1, 0))
    return EdgeReference(points, label, at, edge.field != FROM)
