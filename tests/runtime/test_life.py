"""A node's life: what is opened is closed, also where opening fails half way."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowrt.node import Context, Node, close_node, open_node
from tests import harness


class Holder(Node):
    """Takes three things, and fails before the third where it is told to."""

    fails: bool = False

    def open(self, context: Context) -> None:
        self.said: list[str] = []
        self.on_close(lambda: self.said.append("first"))
        self.on_close(lambda: self.said.append("second"))
        if self.fails:
            raise SystemExit("no third")

    def close(self) -> None:
        self.said.append("close")


def test_what_an_open_node_registered_is_closed_after_it_the_latest_first(tmp_path: Path) -> None:
    node = Holder()
    open_node(node, harness.context(tmp_path))
    close_node(node)
    close_node(node)
    assert node.said == ["close", "second", "first"]


def test_where_open_fails_only_what_was_registered_is_closed(tmp_path: Path) -> None:
    node = Holder(fails=True)
    with pytest.raises(SystemExit):
        open_node(node, harness.context(tmp_path))
    assert node.said == ["second", "first"]
    close_node(node)
    assert node.said == ["second", "first"]
