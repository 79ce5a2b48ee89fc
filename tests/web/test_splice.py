"""Edits of YAML text: data as if the same edits were made to the parsed data, and every untouched line byte for byte."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt_web.editing.splice import Edit, Insert, Remove, Rename, Set, data_of, edited, on_data
from flowrt_web.editing.tree import Refused, TextNode, child, find, read_tree
from flowrt_web.editing.words import written
from tests.harness import PROJECT

SCENE = PROJECT / "flows" / "scenes" / "four-way.yaml"

# -- documents as people write them ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["zones", "in_1", "a b", "on", "7", "Straße", "x-y", "kind", "#no", "null"])
SCALARS = st.one_of(
    st.integers(-5000, 5000),
    st.floats(-5000, 5000).map(lambda x: round(x, 2)),
    st.booleans(),
    st.none(),
    st.sampled_from(
        ["lane", "yes", "12:30", "a: b", "it's", 'say "so"', "# no comment", "ü", "line, one", "[x]", "", "~"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(NAMES, below, max_size=4)),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)


class Scribe:
    """Writes data as YAML in one of the many ways that people do: block or flow, on one line or several, with comments."""

    def __init__(self, seed: int, newline: str) -> None:
        self.chance = random.Random(seed)
        self.newline = newline

    def document(self, data: dict[str, Any]) -> str:
        return self.comment_lines(0) + self.mapping(data, 0)

    def mapping(self, data: dict[str, Any], indent: int) -> str:
        return "".join(self.pair(key, each, indent) for key, each in data.items())

    def pair(self, key: str, value: Any, indent: int) -> str:
        return self.comment_lines(indent) + " " * indent + self.scalar(key) + ":" + self.value(value, indent)

    def value(self, value: Any, indent: int) -> str:
        if not isinstance(value, dict | list) or not value or self.chance.random() < 0.5:
            if value is None and self.chance.random() < 0.5:
                return self.end()
            return " " * self.chance.randint(1, 3) + self.flow(value, indent + 2) + self.end()
        if isinstance(value, dict):
            return self.end() + self.mapping(value, indent + 2)
        step = self.chance.choice([0, 2])
        return self.end() + "".join(self.item(each, indent + step) for each in value)

    def item(self, value: Any, indent: int) -> str:
        opening = self.comment_lines(indent) + " " * indent + "-"
        if isinstance(value, dict) and value and self.chance.random() < 0.5:
            (key, first), *others = value.items()
            return (
                opening
                + f" {self.scalar(key)}:{self.value(first, indent + 2)}"
                + self.mapping(dict(others), indent + 2)
            )
        return opening + " " + self.flow(value, indent + 2) + self.end()

    def flow(self, value: Any, indent: int) -> str:
        if isinstance(value, dict | list) and value:
            parts = (
                [self.scalar(key) + ": " + self.flow(each, indent + 2) for key, each in value.items()]
                if isinstance(value, dict)
                else [self.flow(each, indent + 2) for each in value]
            )
            brackets = "{}" if isinstance(value, dict) else "[]"
            if self.chance.random() < 0.3:
                gap = "," + self.end() + " " * indent
                last = "," if self.chance.random() < 0.5 else ""
                return brackets[0] + gap[1:] + gap.join(parts) + last + self.newline + " " * indent + brackets[1]
            return brackets[0] + self.chance.choice([", ", ",  "]).join(parts) + brackets[1]
        return self.scalar(value)

    def scalar(self, value: Any) -> str:
        if isinstance(value, str) and self.chance.random() < 0.3:
            return "'" + value.replace("'", "''") + "'"
        return written(value)

    def end(self) -> str:
        return self.chance.choice(["", "", "", "   # why: it is so, [see] {there}"]) + self.newline

    def comment_lines(self, indent: int) -> str:
        return self.chance.choice(["", "", "", f"{' ' * indent}# what: comes{self.newline}", self.newline])


def places(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    found = [(path, data)]
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, each in below:
        found += places(each, (*path, step))
    return found


def any_edit(draw: Any, data: Any) -> Edit:
    path, value = draw(st.sampled_from(places(data)))
    if isinstance(value, list):
        return Insert(path, draw(st.integers(0, len(value))), draw(VALUES))
    if isinstance(value, dict):
        return Set((*path, draw(NAMES)), draw(VALUES))
    if draw(st.booleans()):
        return Set(path, draw(VALUES))
    if isinstance(path[-1], str) and draw(st.booleans()):
        return Rename(path, draw(NAMES))
    return Remove(path)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_edits_give_the_data_that_the_same_edits_give_on_data(draws: st.DataObject) -> None:
    data = draws.draw(DOCUMENTS)
    newline = draws.draw(st.sampled_from(["\n", "\r\n"]))
    text = Scribe(draws.draw(st.integers(0, 10_000)), newline).document(data)
    text = draws.draw(st.sampled_from(["", "\ufeff"])) + text
    if draws.draw(st.booleans()):
        text = text.removesuffix(newline)
    assert data_of(text.removeprefix("\ufeff")) == data, "the scribe writes what it was given"
    for _ in range(draws.draw(st.integers(1, 4))):
        edit = any_edit(draws.draw, data)
        try:
            wanted = on_data(data, edit)
        except Refused:
            continue
        after, refused = attempt(text, edit)
        assert "safely" not in refused, f"{edit} of\n{text}"
        if refused:
            continue
        assert data_of(after.removeprefix("\ufeff")) == wanted
        assert after.startswith("\ufeff") == text.startswith("\ufeff")
        assert ("\r\n" in after) <= ("\r\n" in text)
        assert untouched(text, after, edit)
        data, text = wanted, after


def attempt(text: str, edit: Edit) -> tuple[str, str]:
    """The edited text, or why the edit is refused."""
    try:
        return edited(text, [edit]), ""
    except Refused as refused:
        return "", str(refused)


def untouched(before: str, after: str, edit: Edit) -> bool:
    """Whether the lines that differ are one stretch, and lie within those that the edited place has."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if old == new:
        return True
    most = min(len(old), len(new))
    first = next((i for i in range(most) if old[i] != new[i]), most)
    last = next((i for i in range(most - first) if old[-1 - i] != new[-1 - i]), most - first)
    text = before.removeprefix("\ufeff")
    root = read_tree(text)
    way = find(root, edit.path[:-1] if isinstance(edit, Set | Rename | Remove) else edit.path)
    node = child(way[-1], edit.path[-1]) if isinstance(edit, Set | Rename) and edit.path else None
    start, end = _span(text, way, node)
    lines = text.splitlines(keepends=True)
    begin = sum(1 for _ in text[:start].splitlines(keepends=True)) - bool(start and text[start - 1] not in "\r\n")
    stop = len(text[:end].splitlines(keepends=True))
    return begin <= first and len(old) - last <= min(stop + 1, len(lines) + 1)


def _span(text: str, way: list[TextNode], node: TextNode | None) -> tuple[int, int]:
    """From the key of what is edited to its end; of all its siblings, where one comes or goes."""
    whole = node if node is not None else way[-1]
    above = way[-1] if node is not None else way[-2] if len(way) > 1 else way[-1]
    keys = [key.start for key, value in above.pairs if value is whole]
    return (keys or [whole.start])[0], whole.end


# -- one by one -----------------------------------------------------------------------------------------------------------


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    pairs = list(zip(before.split("\n"), after.split("\n"), strict=True))
    return [pair for pair in pairs if pair[0] != pair[1]]


def test_one_moved_point_changes_one_line() -> None:
    text = SCENE.read_text()
    after = edited(text, [Set(("scene", "north", "zones", "in_1", "zone", 1), [500, 300.5])])
    ((old, new),) = changed_lines(text, after)
    assert new == old.replace("[542.2, 333.7]", "[500, 300.5]")
    after = edited(text, [Set(("scene", "south", "lamps", "phase_2", "red", 0), 12)])
    assert len(changed_lines(text, after)) == 1


ALIGNED = """\
# a comment at the top
scene:
  north:
    picture_px: [1280, 720]   # of the camera
    zones:
      # the lanes
      in_1:      {zone: [[1, 2], [3, 4], [5, 6]], kind: lane}     # to the centre
      "in 2":    {zone: [[1, 2], [3, 4], [5, 6]], kind: lane}

    lamps: {}
    lines:
    stop_line:
      line:
      - [1, 2]
      # the far end
      - [3, 4]
"""


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (Remove(("scene", "north", "zones", "in_1", "zone", 1)), "[1, 2], [3, 4], [5, 6]], kind: lane}     #", "[1, 2], [5, 6]], kind: lane}     #"),
        (Insert(("scene", "north", "zones", "in_1", "zone"), 3, [7, 8]), "[5, 6]], kind: lane}     #", "[5, 6], [7, 8]], kind: lane}     #"),
        (Set(("scene", "north", "zones", "in_1", "limit_kmh"), 50), "kind: lane}     #", "kind: lane, limit_kmh: 50}     #"),
        (Rename(("scene", "north", "zones", "in 2"), "in_2"), '"in 2":    {', "in_2:    {"),
        (
            Set(("scene", "north", "zones", "new one"), {"zone": [[0, 0], [1, 0], [1, 1]]}),
            'kind: lane}\n\n',
            'kind: lane}\n      "new one": {zone: [[0, 0], [1, 0], [1, 1]]}\n\n',
        ),
        (Remove(("scene", "north", "zones", "in_1")), "      in_1:      {zone: [[1, 2], [3, 4], [5, 6]], kind: lane}     # to the centre\n", ""),
        (Set(("scene", "north", "lamps", "a"), {"red": [1, 2, 3]}), "lamps: {}", "lamps: {a: {red: [1, 2, 3]}}"),
        (Set(("scene", "north", "lines", "a"), 1), "lines:\n", "lines:\n      a: 1\n"),
        (Set(("scene", "north", "stop_line", "line", 1, 0), 9), "- [3, 4]", "- [9, 4]"),
        (Insert(("scene", "north", "stop_line", "line"), 1, [7, 7]), "- [1, 2]\n", "- [1, 2]\n      - [7, 7]\n"),
        (Remove(("scene", "north", "stop_line", "line", 0)), "      - [1, 2]\n", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_an_edit_looks_like(edit: Edit, old: str, new: str, newline: str) -> None:
    text = ALIGNED.replace("\n", newline)
    old, new = old.replace("\n", newline), new.replace("\n", newline)
    assert text.count(old) == 1
    assert edited(text, [edit]) == text.replace(old, new)
    assert edited("\ufeff" + text, [edit]) == "\ufeff" + text.replace(old, new)


REFERENCES = """\
x-points: &points [[1, 2], [3, 4], [5, 6]]
x-base: &base {kind: lane, limit_kmh: 50}
scene:
  north:
    zones:
      a: {zone: *points, kind: lane}
      b: {<<: *base, zone: [[1, 2], [3, 4], [5, 6]]}
      c: {zone: &c [[1, 2], [3, 4], [5, 6]]}
      d: {zone: [[1, 2], [3, 4], [5, 6]], limit_kmh: "${env:LIMIT}"}
"""
ZONES = ("scene", "north", "zones")


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (Set((*ZONES, "a", "zone", 0), [0, 0]), "alias"),
        (Remove((*ZONES, "a")), "alias"),
        (Set((*ZONES, "b", "limit_kmh"), 30), "merge key"),
        (Set((*ZONES, "b", "heading"), [0, 1]), "merge key"),
        (Set((*ZONES, "c", "zone", 0), [0, 0]), "anchor"),
        (Remove((*ZONES, "c")), "anchor"),
        (Set((*ZONES, "d", "limit_kmh"), 30), "outside"),
        (Set((*ZONES, "e", "zone"), 1), "any more"),
        (Remove((*ZONES, "e")), "any more"),
        (Rename((*ZONES, "d"), "c"), "taken"),
    ],
)
def test_what_is_refused_with_a_word(edit: Edit, why: str) -> None:
    with pytest.raises(Refused, match=why):
        edited(REFERENCES, [edit])
    assert edited(REFERENCES, [Set((*ZONES, "d", "zone", 0), [0, 0])]).count("[0, 0]") == 1, "the rest can be edited"


@pytest.mark.parametrize("text", ["", "a: [", "a: 1\n---\nb: 2\n", "a: !tag 1\n", "a: 1\na: 2\n"])
def test_a_file_that_is_no_good_is_not_edited(text: str) -> None:
    with pytest.raises(Refused):
        edited(text, [Set(("a",), 2)])
