"""Fixtures for pytest, which finds them by the entry point `pytest11` of an installed flowrt.

node_context: a context for one node, under virtual time, in a folder of the test's own.
golden: compares messages with `golden/TEST_FILE/TEST.json` beside the test's file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from flowrt.message import Message
from flowrt.node import Context


@pytest.fixture
def node_context(tmp_path: Path) -> Context:
    """A context for one node, under virtual time, in a folder of the test's own."""
    from flowrt.testing.kit.nodes import (
        context,  # whoever has flowrt installed and tests something else need not wait for it
    )

    return context(tmp_path)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Iterable[Message]], None]:
    """Compare messages with `golden/TEST_FILE/TEST.json` beside the test's file; `FLOWRT_GOLDEN=update` writes it."""
    from flowrt.testing.kit import golden as module  # as above

    name = re.sub(r"[^\w.-]+", "_", request.node.name).strip("_")
    file = request.path.parent / "golden" / request.path.stem / f"{name}.json"
    return lambda made: module.golden(made, file)
