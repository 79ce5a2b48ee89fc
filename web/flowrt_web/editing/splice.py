"""Edits of one YAML text: a value set, an item or key put in or taken out, a key renamed. Only the text of what changes is replaced.

Every edit is checked: the new text must read as the old data with the same edit made to it, or it is refused.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from flowrt.config.report import plain
from flowrt.config.yaml import Unreadable, parse
from flowrt.diagnostics import Diagnostic
from flowrt_web.editing.lines import line_end, line_start, newline_near
from flowrt_web.editing.tree import Path, Refused, Step, TextNode, child, find, holds_reference, read_tree
from flowrt_web.editing.words import text as key_text
from flowrt_web.editing.words import written

_INDENT = 2
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\r\n]*")


class Set(msgspec.Struct, frozen=True, tag_field="do", tag="set"):
    """Set what is at `path`; its last step may be a new key of a mapping that is there."""

    path: tuple[str | int, ...]
    value: Any


class Insert(msgspec.Struct, frozen=True, tag_field="do", tag="insert"):
    """Put an item into the list at `path`, before the one that has that index now."""

    path: tuple[str | int, ...]
    index: int
    value: Any


class Remove(msgspec.Struct, frozen=True, tag_field="do", tag="remove"):
    """Take out a key or an item."""

    path: tuple[str | int, ...]


class Rename(msgspec.Struct, frozen=True, tag_field="do", tag="rename"):
    """Give a key another name."""

    path: tuple[str | int, ...]
    name: str


Edit = Set | Insert | Remove | Rename


def edited(text: str, edits: list[Edit]) -> str:
    """The text after all edits, one after the other. Raises Refused, and then nothing is changed."""
    mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    data = data_of(body)
    for edit in edits:
        wanted = on_data(data, edit)
        body = _spliced(body, edit)
        data = data_of(body)
        if data != wanted:
            raise Refused("this place of the file is written in a way that can't be edited safely: edit it by hand")
    return mark + body


def data_of(text: str) -> Any:
    """What flowrt reads in a text. Raises Refused."""
    problems: list[Diagnostic] = []
    try:
        root = parse(text, "", problems)
    except Unreadable as error:
        raise Refused(error.diagnostic.message) from None
    if problems:
        raise Refused(problems[0].message)
    return None if root is None else plain(root)


def on_data(data: Any, edit: Edit) -> Any:
    """The same edit on plain data. Raises Refused where there is no such place."""
    *steps, last = edit.path if not isinstance(edit, Insert) else (*edit.path, edit.index)
    return _changed(data, steps, lambda parent: _on_parent(parent, last, edit))


def _changed(data: Any, steps: list[Step], change: Any) -> Any:
    if not steps:
        return change(data)
    step, *rest = steps
    try:
        below = _changed(data[step], rest, change)
    except (KeyError, IndexError, TypeError):
        raise Refused(f"there is no {step} in the file any more") from None
    if isinstance(data, list) and isinstance(step, int):
        return [below if i == step else each for i, each in enumerate(data)]
    return {**data, step: below}


def _on_parent(parent: Any, last: Step, edit: Edit) -> Any:
    if isinstance(parent, list):
        if not isinstance(last, int) or not 0 <= last < len(parent) + isinstance(edit, Insert):
            raise Refused(f"there is no item {last}")
        items = {Set: 1, Remove: 1, Insert: 0}.get(type(edit), 1)
        new = [edit.value] if isinstance(edit, Set | Insert) else []
        return [*parent[:last], *new, *parent[last + items :]]
    if parent is None and isinstance(edit, Set):
        return {last: edit.value}
    if not isinstance(parent, dict):
        raise Refused(f"there is no {last} in the file any more")
    if isinstance(edit, Set):
        return {**parent, last: edit.value}
    if last not in parent:
        raise Refused(f"there is no {last} in the file any more")
    if isinstance(edit, Rename):
        if edit.name in parent:
            raise Refused(f"the name {edit.name} is taken")
        return {edit.name if key == last else key: value for key, value in parent.items()}
    return {key: value for key, value in parent.items() if key != last}


def _spliced(text: str, edit: Edit) -> str:
    root = read_tree(text)
    if isinstance(edit, Insert):
        return _insert(text, find(root, edit.path), edit)
    *above, last = edit.path
    way = find(root, tuple(above))
    parent = way[-1]
    if isinstance(edit, Rename):
        key = next(key for key, _ in parent.pairs if key.text == last)
        if key.anchor:
            raise Refused(f"the key {last} has an anchor: edit it in the file")
        return _replaced(text, key.start, key.end, key_text(edit.name))
    if child(parent, last) is not None or isinstance(edit, Remove):
        way = find(root, edit.path)
        return _set(text, way, edit) if isinstance(edit, Set) else _remove(text, way, last)
    if any(key.text == "<<" for key, _ in parent.pairs):
        raise Refused("this mapping has a merge key (<<): edit it in the file")
    return _add_key(text, way, f"{key_text(str(last))}: {written(edit.value)}")


def _set(text: str, way: list[TextNode], edit: Set) -> str:
    node = way[-1]
    _refuse_references(node, edit.path)
    if node.kind == "scalar" and "${" in node.text:
        raise Refused(f"{'.'.join(map(str, edit.path))} is filled in from outside (${{…}}): edit it in the file")
    start = node.start
    if node.kind != "scalar" and not node.flow:  # a block: its value goes behind the key or dash, in one line
        start = _behind_opening(text, way)
    space = " " if start and text[start - 1] not in " \t\r\n[{," else ""
    return _replaced(text, start, node.end, space + written(edit.value))


def _insert(text: str, way: list[TextNode], edit: Insert) -> str:
    node = way[-1]
    if node.kind != "sequence":
        raise Refused("there is no list any more")
    value, items = written(edit.value), node.items
    if not items:
        return _replaced(text, node.start, node.end, f"[{value}]")
    if node.flow:
        if edit.index < len(items):
            return _replaced(text, items[edit.index].start, items[edit.index].start, f"{value}, ")
        return _replaced(text, items[-1].end, items[-1].end, f", {value}")
    dash = _dash(text, items[min(edit.index, len(items) - 1)])
    indent = " " * (dash - line_start(text, dash))
    if edit.index == 0:
        return _replaced(text, dash, dash, f"- {value}{newline_near(text, dash)}{indent}")
    end = line_end(text, items[edit.index - 1].end)
    return _replaced(text, end, end, f"{newline_near(text, end)}{indent}- {value}")


def _add_key(text: str, way: list[TextNode], pair: str) -> str:
    node = way[-1]
    if node.empty:  # `zones:` with nothing behind it
        key = next(key for key, value in way[-2].pairs if value is node)
        column = key.start - line_start(text, key.start)
        if way[-2].flow:
            return _replaced(text, node.start, node.end, f" {{{pair}}}")
        return _replaced(
            text, node.start, node.end, f"{newline_near(text, node.start)}{' ' * (column + _INDENT)}{pair}"
        )
    if node.kind != "mapping":
        raise Refused("there is no mapping any more")
    if not node.pairs:
        return _replaced(text, node.start, node.end, f"{{{pair}}}")
    last = max(node.pairs[-1][0].end, node.pairs[-1][1].end)
    if node.flow:
        return _replaced(text, last, last, f", {pair}")
    first = node.pairs[0][0].start
    indent = " " * (first - line_start(text, first))
    end = line_end(text, last)
    return _replaced(text, end, end, f"{newline_near(text, end)}{indent}{pair}")


def _remove(text: str, way: list[TextNode], step: Step) -> str:
    parent, node = way[-2], way[-1]
    _refuse_references(node, (step,))
    if parent.kind == "sequence":
        spans = [(item.start, item.end) for item in parent.items]
        index = parent.items.index(node)
    else:
        spans = [(key.start, max(key.end, value.end)) for key, value in parent.pairs]
        index = next(i for i, (_, value) in enumerate(parent.pairs) if value is node)
    if parent.flow:
        return _remove_from_flow(text, parent, spans, index)
    if len(spans) == 1:
        if len(way) < 3:
            raise Refused("it is all that is in the file")
        start = _behind_opening(text, way[:-1])
        space = " " if start and text[start - 1] not in " \t\r\n" else ""
        return _replaced(text, start, parent.end, space + ("[]" if parent.kind == "sequence" else "{}"))
    start = _dash(text, node) if parent.kind == "sequence" else spans[index][0]
    if text[line_start(text, start) : start].strip():  # `- a: 1`, or `- - 1`: the line has begun before it
        following = parent.items[index + 1] if parent.kind == "sequence" else parent.pairs[index + 1][0]
        return _replaced(text, start, _dash(text, following) if parent.kind == "sequence" else following.start, "")
    start, end = line_start(text, start), line_end(text, spans[index][1])
    after = end + len(newline_near(text, end)) if end < len(text) else end
    if after == end:  # the last line of a file that ends without a line end
        start = line_end(text, spans[index - 1][1])
    return _replaced(text, start, after, "")


def _remove_from_flow(text: str, parent: TextNode, spans: list[tuple[int, int]], index: int) -> str:
    start, end = spans[index]
    if len(spans) == 1:
        comma = _comma(text, end, parent.end - 1)
        return _replaced(text, start, end if comma is None else comma + 1, "")
    if index + 1 < len(spans):
        following = spans[index + 1][0]
        if not _COMMENT.search(text[end:following]):
            return _replaced(text, start, following, "")
        comma = _comma(text, end, following)
        assert comma is not None, "between two items there is a comma"
        return _replaced(text, start, comma + 1, "")
    before = spans[index - 1][1]
    if not _COMMENT.search(text[before:start]):
        return _replaced(text, before, end, "")
    comma = _comma(text, before, start)
    assert comma is not None, "between two items there is a comma"
    return _replaced(_replaced(text, start, end, ""), comma, comma + 1, "")


def _refuse_references(node: TextNode, path: Path) -> None:
    if holds_reference(node):
        raise Refused(f"in {'.'.join(map(str, path))} is an anchor or alias: edit it in the file")


def _behind_opening(text: str, way: list[TextNode]) -> int:
    """Where the value of a key, or of a dash, begins that is written as a block: right behind the `:` or `-`."""
    parent, node = way[-2], way[-1]
    if parent.kind == "sequence":
        return _dash(text, node) + 1
    key = next(key for key, value in parent.pairs if value is node)
    return text.index(":", key.end) + 1


def _dash(text: str, item: TextNode) -> int:
    """The dash of an item in a block list."""
    start = item.start
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    if not start or text[start - 1] != "-":
        raise Refused("this list is written in a way that can't be edited safely: edit it by hand")
    return start - 1


def _comma(text: str, start: int, end: int) -> int | None:
    """The first comma of a gap that is in no comment."""
    hidden = _COMMENT.sub(lambda comment: " " * len(comment[0]), text[start:end])
    found = hidden.find(",")
    return None if found < 0 else start + found


def _replaced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]
