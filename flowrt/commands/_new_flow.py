"""What `flowrt new NAME --template KIND` writes: a flow from the templates of the installed packages, with pictures of its cameras.

A package adds templates by an entry point of the group `flowrt.templates`: a module as `Templates` describes it.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from flowrt.addresses import without_passwords
from flowrt.diagnostics import FlowError
from flowrt.system.resources import entry_points

GROUP = "flowrt.templates"
PICTURE_S = 15.0
"""A camera gets this long for its first picture."""
ASSUMED_PX = (1280, 720)
"""The size of the picture of a camera that does not answer."""


class Templates(Protocol):
    """A module with templates."""

    TEMPLATES: Mapping[str, str]

    def texts(
        self, template: str, name: str, addresses: Sequence[str], model: str, sizes_px: Sequence[tuple[int, int]]
    ) -> dict[Path, str]:
        """The files' contents. Raises ValueError for cameras that the template has no use for."""
        ...

    def cameras(self, template: str, addresses: Sequence[str]) -> dict[str, str]:
        """The given cameras by the name that they have in the flow."""
        ...

    def notes(self, template: str, name: str, addresses: Sequence[str], model: str) -> list[str]:
        """What there is to do before it runs, a line each."""
        ...


def templates() -> dict[str, Templates]:
    """The module of each template."""
    modules = [cast("Templates", importlib.import_module(module)) for module in entry_points(GROUP).values()]
    return {name: module for module in modules for name in module.TEMPLATES}


def picture_of(address: str, folder: Path, target: Path) -> tuple[int, int] | None:
    """Save a picture of a camera; its width and height, None where none comes in time. folder: where relative paths start."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".still-") as data:
        flow = Path(data, "still.yaml")
        if "://" not in address and not address.isdigit() and not Path(address).is_absolute():
            address = str(folder.absolute() / address)
        quoted = address.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${")
        flow.write_text(
            "flow: still\nnodes:\n"
            f'  camera: {{type: camera, uri: "{quoted}"}}\n'
            "  pictures: {type: snapshot, from: camera, every_s: 1, quality: 95}\n",
            "utf-8",
        )
        saved = _first_picture(flow, Path(data))
        if saved is None:
            return None
        shutil.copyfile(saved, target)
        return jpeg_size(target.read_bytes())


def _first_picture(flow: Path, data: Path) -> Path | None:
    from flowrt.clock import SystemClock  # these bring the runtime, which no other use of the command waits for
    from flowrt.config import load
    from flowrt.contract import Contract
    from flowrt.runtime import Runtime, StartFailed

    logging.getLogger("flowrt").addHandler(logging.NullHandler())  # what the camera says on the way is not asked for
    runtime = Runtime(
        load(flow), contract=Contract.load(), clock=SystemClock(), data=data, record=lambda outbox, message: None
    )
    try:
        runtime.start()
    except StartFailed as error:
        raise FlowError([runtime.flow.diagnostic("", without_passwords(str(error)))]) from error
    try:
        deadline = time.monotonic() + PICTURE_S
        while time.monotonic() < deadline:
            if found := sorted((data / "snapshots").glob("*.jpg")):
                return found[0]
            if runtime.done.wait(0.05) and not list((data / "snapshots").glob("*.jpg")):
                return None
        return None
    finally:
        runtime.stop()


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG, from its start-of-frame segment; None where it has none."""
    at = 2
    while at + 9 < len(content):
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(content[at + i : at + i + 2], "big") for i in (5, 7))
            return width, height
        at += 2 + length
    return None
