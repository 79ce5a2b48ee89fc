"""Every value of a written-out block points at its text, so that an editor that works on the text finds what to change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flowrt.commands.graph import mermaid
from flowrt.config import load
from flowrt.config.cache import LoadCache
from flowrt.config.document.documents import Documents
from flowrt.config.report import Report
from flowrt.config.yaml import Mapping, Scalar, Sequence, Yaml, core_value
from flowrt.diagnostics import Mark

FLOWS = Path(__file__).parents[2] / "flows"
FILE = FLOWS / "four-cameras.yaml"
LINES = FILE.read_text("utf-8").splitlines()


def text_at(mark: Mark) -> str:
    assert mark.file == str(FILE)
    assert mark.end_column > mark.column
    return LINES[mark.line - 1][mark.column - 1 : mark.end_column - 1]


def leaves(node: Yaml) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    else:
        for item in node.items.values() if isinstance(node, Mapping) else node.items:
            yield from leaves(item)


def test_every_node_and_value_of_a_block_points_at_its_text_and_its_entry() -> None:
    documents = Documents(FILE, {}, {}, LoadCache(), Report())
    written_out = 0
    for name, entry in documents.nodes.items():
        key = text_at(entry.mark)
        if entry.mark.use is None:
            assert key == name
            continue
        written_out += 1
        use = entry.mark.use
        camera = use.what.removeprefix("camera: ")
        assert LINES[use.line - 1][use.column - 1 :].startswith(f"{camera}:")
        assert key.replace("${camera}", camera) == name or f"{camera}_{key}" == name
        for leaf in leaves(entry.node):
            assert leaf.mark.use is not None
            text = text_at(leaf.mark)
            meant = text.strip('"').replace("${camera}", camera)
            assert leaf.value == (meant if text.startswith('"') else core_value(meant))
            if leaf.mark.use.what.startswith("${"):  # a parameter, written at the entry and used in the block
                assert leaf.mark.use.what in LINES[leaf.mark.use.line - 1]
    assert written_out == 4 * 16


def test_a_list_that_is_a_parameter_points_at_the_entry() -> None:
    documents = Documents(FILE, {}, {}, LoadCache(), Report())
    node = documents.nodes["east_turns"].node
    assert isinstance(node, Mapping)
    banned = node.items["banned"]
    assert isinstance(banned, Sequence)
    assert LINES[banned.mark.line - 1].lstrip().startswith("east:")
    assert banned.mark.use is not None
    assert LINES[banned.mark.use.line - 1].lstrip().startswith("turns:")


def test_the_graph_draws_what_belongs_to_an_entry_together() -> None:
    drawn = mermaid(load(FILE)).splitlines()
    starts = [number for number, line in enumerate(drawn) if line.startswith("  subgraph")]
    assert [drawn[number].split("[")[1] for number in starts] == [
        f'"camera: {side}"]' for side in ("north", "east", "south", "west")
    ]
    east = drawn[starts[1] : drawn.index("  end", starts[1])]
    assert len(east) == 1 + 16
    assert all("east" in line for line in east)
