"""A small harness: open one node with a real context, feed it, collect what it makes.

For tests of single nodes, without loader or runtime. What the runtime promises to a node's author is kept here too: one
`open`, one `close`, and `collect` in the order of `submit`.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from flowrt.clock import Clock, VirtualClock
from flowrt.message import Message
from flowrt.node import Context, Inference, Node, Shared, Transform
from flowrt.testing.kit.nodes import StandAlone, messages_of
from flowrt.testing.kit.nodes import opened as opened  # tests take it from here
from flowrt.traffic.scene import Scene

if TYPE_CHECKING:
    from flowrt.contract import Contract

PROJECT = Path(__file__).resolve().parents[1]
TINY_MODEL = PROJECT / "tests" / "cases" / "model.onnx"
"""An ONNX detector as YOLOv8 for COCO, input 96x96: zeros of [1, 84, 189], so that it finds nothing."""


def context(
    folder: Path,
    *,
    clock: Clock | None = None,
    name: str = "node",
    scene: Scene | None = None,
    services: Mapping[str, Any] | None = None,
    shared: Shared | None = None,
    contract: Contract | None = None,
    site: str = "main-and-5th",
) -> Context:
    """A context whose flow file lies in `folder`; virtual time unless a clock is given."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return Context(
        node=name,
        flow="test",
        site=site,
        folder=folder,
        data=data,
        clock=clock or VirtualClock(),
        log=logging.getLogger(f"flowrt.{name}"),
        shared=shared or Shared(),
        runtime=StandAlone(),
        contract=cast("Contract", contract),
        entries={} if scene is None else {"scene": scene},
        services=services or {},
    )


def feed(node: Node, arriving: Iterable[Message]) -> Iterator[Message]:
    """Everything that a transform or an inference node makes of the messages, in order, as it is asked for."""
    if isinstance(node, Inference):
        waiting: list[Any] = []
        for message in arriving:
            pending = node.submit(message)
            if pending is not None:
                waiting.append(pending)
            if len(waiting) >= node.in_flight:
                yield from messages_of(node.collect(waiting.pop(0)))
        for pending in waiting:
            yield from messages_of(node.collect(pending))
        return
    assert isinstance(node, Transform)
    for message in arriving:
        yield from messages_of(node.process(message))


def data_file(name: str) -> Path:
    """A file of the shared test data; without it the test is skipped, or fails where the data is required."""
    return _shared("data", name, "FLOWRT_TEST_DATA")


def case_folder(name: str) -> Path:
    """The folder of an input that once went wrong, by its name or number ("14"); without it skipped or failed as `data_file`.

    It is read-only: copy what a test runs in it with `case_copy`.
    """
    return _shared("cases", name, "FLOWRT_TEST_CASES")


def case_copy(name: str, into: Path) -> Path:
    """A copy of a case's folder, in which a flow may run."""
    source = case_folder(name)
    copy = into / source.name
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    return copy


def _shared(kind: str, name: str, variable: str) -> Path:
    folder = Path(os.environ.get(variable) or PROJECT.parent / "shared" / kind)
    found = folder / name
    if not found.exists() and name.isdigit():
        found = next(iter(sorted(folder.glob(f"{name}-*"))), found)
    if not found.exists():
        reason = f"{name} is not in {folder}; set {variable} to the folder with the test {kind}"
        if os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1" or os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
