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
log = logging.getLogger("flowrt")
PICTURE_S = 15.0
"""A camera gets this long for its first picture."""
ASSUMED_PX = (1280, 720)
"""The size of the picture of a camera that does not answer."""

ADDRESS = "${env:ADDRESS}"
"""Stands for the camera's address in what is said about the flow that takes its picture."""

_STILL = """\
flow: still
nodes:
  camera: {type: camera, uri: "${env:ADDRESS}"}
  pictures: {type: snapshot, from: camera, every_s: 1, quality: 95}
"""


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
    """The module of each template. A package that is broken takes only its own away."""
    found: dict[str, Templates] = {}
    for entry, where in entry_points(GROUP).items():
        try:
            module = cast("Templates", importlib.import_module(where))
            found |= dict.fromkeys(module.TEMPLATES, module)
        except Exception as error:  # a third party's code
            log.warning("the templates of '%s' can't be used: %s: %s: %s", entry, where, type(error).__name__, error)
    return found


def picture_of(address: str, folder: Path, target: Path) -> tuple[int, int] | None:
    """Save a picture of a camera; its width and height, None where none comes in time. folder: where relative paths start."""
    if "://" not in address and not address.isdigit():
        address = str(folder.absolute() / address)
    with tempfile.TemporaryDirectory() as data:
        saved = _first_picture(address, Path(data))
        if saved is None:
            return None
        shutil.copyfile(saved, target)
        return jpeg_size(target.read_bytes())


def _first_picture(address: str, data: Path) -> Path | None:
    from flowrt.clock import SystemClock  # these bring the runtime, which no other use of the command waits for
    from flowrt.config import load
    from flowrt.contract import Contract
    from flowrt.runtime import Runtime, StartFailed

    file = data / "still.yaml"
    file.write_text(_STILL, "utf-8")
    flow = load(file, environment={"ADDRESS": address})  # it may have a password, which no file shall hold
    log.addHandler(logging.NullHandler())  # what the camera says on the way is not asked for
    runtime = Runtime(
        flow, contract=Contract.load(), clock=SystemClock(), data=data, record=lambda outbox, message: None
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
