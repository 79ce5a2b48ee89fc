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
DASH = 5, 4
"""Strokes and gaps of a side input."""
MAX_LABEL_STEPS = 12


class Box(NamedTuple):
    """A node: its top left corner and size."""

    name: str
    type: str
    role: str
    x: float
    y: float
    width: float
    height: float


class Connector(NamedTuple):
    """An edge: its corners from source to target. side_input: a second input, drawn dashed."""

    points: list[tuple[float, float]]
    label: str
    label_at: tuple[float, float]
    side_input: bool


class Layout(NamedTuple):
    """A picture of a flow."""

    width: float
    height: float
    boxes: list[Box]
    wires: list[Connector]


Slot = tuple[str, int]
"""A node (its name, -1), or a waypoint (the text of its edge, the layer)."""


def edge_label(flow: Flow, edge: Edge) -> str:
    """What travels on an edge, by its ports."""
    return ", ".join(dict.fromkeys(kind.port for kind in flow.arriving.get(edge, ())))


def layout(flow: Flow) -> Layout:
    """Place every node and edge."""
    layer_of = _layers(flow)
    ways = {edge: _way(edge, layer_of) for edge in flow.edges}
    columns: list[list[Slot]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for name in flow.order():
        columns[layer_of[name]].append((name, -1))
    for way in ways.values():
        for slot in way[1:-1]:
            columns[slot[1]].append(slot)
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


def _way(edge: Edge, layer_of: dict[str, int]) -> list[Slot]:
    between = range(layer_of[edge.source] + 1, layer_of[edge.target])
    text = f"{edge.source} {edge.port} {edge.field} {edge.target}"
    return [(edge.source, -1), *((text, layer) for layer in between), (edge.target, -1)]


def _untangle(columns: list[list[Slot]], pairs: list[tuple[Slot, Slot]]) -> None:
    """Sort each column by the mean place of its neighbours, forwards and backwards in turn."""
    before: dict[Slot, list[Slot]] = {}
    after: dict[Slot, list[Slot]] = {}
    for left, right in pairs:
        before.setdefault(right, []).append(left)
        after.setdefault(left, []).append(right)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            place = {slot: i / max(len(each) - 1, 1) for each in columns for i, slot in enumerate(each)}
            mean = {slot: _mean([place[other] for other in neighbours.get(slot, [])], place[slot]) for slot in column}
            column.sort(key=mean.__getitem__)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _place(flow: Flow, columns: list[list[Slot]], ways: dict[Edge, list[Slot]]) -> Layout:
    heights = [sum(_height(slot) + GAP_Y for slot in column) - GAP_Y for column in columns]
    tallest = max(heights, default=0.0)
    boxes: dict[Slot, Box] = {}
    x = MARGIN
    gap_x = GAP_X
    for column, height in zip(columns, heights, strict=True):
        width = max((_width(flow, slot) for slot in column), default=0.0)
        y = MARGIN + (tallest - height) / 2
        for slot in column:
            node = flow.nodes.get(slot[0]) if slot[1] < 0 else None
            kind, role = (node.type.name, node.type.role) if node else ("", "")
            boxes[slot] = Box(slot[0], kind, role, x, y, width, _height(slot))
            y += _height(slot) + GAP_Y
        leaving = [edge_label(flow, edge) for edge, way in ways.items() if way[0] in column]
        gap_x = max([GAP_X, *(len(label) * LABEL_CHAR_WIDTH + 2 * PADDING for label in leaving)])
        x += width + gap_x
    nodes = [box for slot, box in boxes.items() if slot[1] < 0]
    labels = _Labels(nodes)
    wires = [_wire(flow, edge, [boxes[slot] for slot in way], labels) for edge, way in ways.items()]
    width = x - gap_x + MARGIN if columns else 2 * MARGIN
    return Layout(width, tallest + 2 * MARGIN, nodes, wires)


def _height(slot: Slot) -> float:
    return BOX_HEIGHT if slot[1] < 0 else WAYPOINT_HEIGHT


def _width(flow: Flow, slot: Slot) -> float:
    if slot[1] >= 0:
        return 0.0
    return max(len(slot[0]), len(flow.nodes[slot[0]].type.name)) * CHAR_WIDTH + PADDING


def _wire(flow: Flow, edge: Edge, way: list[Box], labels: _Labels) -> Connector:
    """One edge with its label; the same label is not repeated for other edges of its source."""
    points = [(way[0].x + way[0].width, way[0].y + way[0].height / 2)]
    for box in way[1:-1]:
        middle = box.y + box.height / 2
        points += [(box.x, middle), (box.x + box.width, middle)]
    points.append((way[-1].x, way[-1].y + way[-1].height / 2))
    label = labels.once(edge.source, edge_label(flow, edge))
    return Connector(points, label, labels.place(label, *points[0]), edge.field != FROM)


def label_width(label: str) -> float:
    """The room for a label."""
    return len(label) * LABEL_CHAR_WIDTH


class _Labels:
    """Places labels behind their nodes so that none covers another or a box."""

    def __init__(self, boxes: list[Box]) -> None:
        self._taken = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
        self._known: set[tuple[str, str]] = set()

    def once(self, source: str, label: str) -> str:
        """The label where it is new behind that node, else nothing."""
        if (source, label) in self._known:
            return ""
        self._known.add((source, label))
        return label

    def place(self, label: str, x: float, y: float) -> tuple[float, float]:
        """The middle of the label's base line: the nearest free place above the edge's begin, else below it."""
        middle, half = x + PADDING / 2 + label_width(label) / 2, label_width(label) / 2
        for step in range(2 * MAX_LABEL_STEPS) if label else ():
            rows = -step if step < MAX_LABEL_STEPS else step - MAX_LABEL_STEPS + 1
            base = y - 4 + rows * LABEL_HEIGHT
            area = (middle - half, base - LABEL_HEIGHT + 2, middle + half, base + 2)
            if area[1] > 0 and not any(_overlap(area, other) for other in self._taken):
                self._taken.append(area)
                return middle, base
        return middle, y - 4


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
