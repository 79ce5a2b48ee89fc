"""Where everything of a YAML text stands: nodes with the positions of their first and last character.

Positions are indexes into the text. A block collection ends with its last item, not with the white space and comments behind it.
"""

from __future__ import annotations

from typing import Any, Literal

import yaml


class Refused(Exception):
    """An edit that can't be made safely; the message says why, and what to do."""


Kind = Literal["scalar", "sequence", "mapping", "alias"]


class TextNode:
    """A node and its place. flow: written in brackets. items: of a sequence; pairs: of a mapping, keys with their values."""

    __slots__ = ("anchor", "end", "flow", "items", "kind", "pairs", "start", "text")

    def __init__(
        self, kind: Kind, start: int, end: int, *, flow: bool = False, anchor: str = "", text: str = ""
    ) -> None:
        self.kind, self.start, self.end, self.flow, self.anchor, self.text = kind, start, end, flow, anchor, text
        self.items: list[TextNode] = []
        self.pairs: list[tuple[TextNode, TextNode]] = []

    @property
    def empty(self) -> bool:
        """Whether nothing is written there: `key:` without a value."""
        return self.kind == "scalar" and self.start == self.end


Step = str | int
Path = tuple[Step, ...]


def read_tree(text: str) -> TextNode:
    """The tree of a text without byte order mark. Raises Refused where it is no YAML, or has more than one document."""
    try:
        events = iter(list(yaml.parse(text, Loader=yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise Refused(f"the file is not YAML as it is now: {' '.join(str(error).split())[:200]}") from None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _node(next(events), events, text)
    raise Refused("the file is empty")


def _node(event: Any, events: Any, text: str) -> TextNode:
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.AliasEvent):
        return TextNode("alias", start, end, text=str(event.anchor))
    anchor = event.anchor or ""
    if isinstance(event, yaml.ScalarEvent):
        if event.style in ("|", ">"):  # its mark ends where the next line begins
            end = start + len(text[start:end].rstrip())
        return TextNode("scalar", start, end, anchor=anchor, text=event.value)
    flow = bool(event.flow_style)
    if isinstance(event, yaml.SequenceStartEvent):
        node = TextNode("sequence", start, end, flow=flow, anchor=anchor)
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            node.items.append(_node(event, events, text))
        last = node.items[-1].end if node.items else node.end
    else:
        node = TextNode("mapping", start, end, flow=flow, anchor=anchor)
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _node(event, events, text)
            node.pairs.append((key, _node(next(events), events, text)))
        last = max(node.pairs[-1][0].end, node.pairs[-1][1].end) if node.pairs else node.end
    node.end = event.end_mark.index if flow else last
    return node


def find(root: TextNode, path: Path) -> list[TextNode]:
    """The nodes on the way to `path`, root and target included. Raises Refused where an edit there would also change another place."""
    way = [root]
    for number, step in enumerate(path):
        node, shown = way[-1], ".".join(map(str, path[: number + 1]))
        below = child(node, step)
        if below is None:
            if node.kind == "mapping" and any(key.text == "<<" for key, _ in node.pairs):
                raise Refused(f"{shown} comes from a merge key (<<): edit it where it is written, in the file")
            raise Refused(f"there is no {shown} in the file any more")
        if below.kind == "alias":
            raise Refused(f"{shown} is an alias (*{below.text}): edit it where it is written, in the file")
        if below.anchor:
            raise Refused(f"{shown} has an anchor (&{below.anchor}), others may use it: edit it in the file")
        way.append(below)
    return way


def child(node: TextNode, step: Step) -> TextNode | None:
    """What is below a node; None where there is nothing."""
    if node.kind == "sequence" and isinstance(step, int):
        return node.items[step] if 0 <= step < len(node.items) else None
    return next((value for key, value in node.pairs if key.text == step), None)


def holds_reference(node: TextNode) -> bool:
    """Whether an anchor or alias is in it."""
    if node.anchor or node.kind == "alias":
        return True
    return any(map(holds_reference, node.items)) or any(
        holds_reference(key) or holds_reference(value) for key, value in node.pairs
    )
