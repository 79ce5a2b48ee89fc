"""What the page may do to a scene: operations that come from a tab, and what is refused of them."""

from __future__ import annotations

import pytest

from flowrt_web.editing.scene_operations import AddShape, Operation, SetProperty, Shape, edits_of
from flowrt_web.editing.tree import Refused

LINES = {"stop": {"kind": "stop_line", "line": [[1, 1], [9, 9]]}}


@pytest.mark.parametrize("value", ["${env:HOME}", "${file:/etc/passwd}", "a ${env:HOME} b"])
def test_a_page_brings_no_value_in_from_outside(value: str) -> None:
    """Who may draw may not read the environment and the files of this machine by it."""
    drawn: list[Operation] = [
        SetProperty(Shape("lines", "stop"), "signal", value),
        AddShape(Shape("lines", "new"), [(0, 0), (5, 5)], {"signal": value}),
    ]
    for operation in drawn:
        with pytest.raises(Refused, match="from outside"):
            edits_of("north", operation, {"scene": {"north": {"lines": LINES}}})
