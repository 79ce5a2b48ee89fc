"""What `flowrt check` knows of a model: its classes, or why it can't be used. Reading a model takes a while, so that is remembered.

What is remembered depends on content: of the model's files, of the settings that decide how it is read, and of the code that reads it.
Our own models say everything in their last lines, and need not be read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path

import msgspec

from flowrt.system.downloads import cache_folder
from flowrt.system.fingerprint import fingerprint
from flowrt.system.private_files import make_private_folder, open_private
from flowrt_nodes.detect._model.metadata import declared_labels, is_own, metadata_file
from flowrt_nodes.detect._model.wanted import ModelError, Wanted


class Facts(msgspec.Struct, frozen=True):
    """problem: why the model can't be used; then there are no labels."""

    labels: tuple[str, ...] = ()
    problem: str = ""


@functools.lru_cache(maxsize=64)  # `Wanted` holds the size and the time of its files
def facts_of(wanted: Wanted) -> Facts:
    """Of a model that a node wants."""
    if is_own(wanted.path) and not wanted.labels and (labels := declared_labels(wanted.path)):
        return Facts(labels)
    file = cache_folder() / "models-read" / f"{_key(wanted)}.json"
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(file.read_bytes(), type=Facts)
    facts = _read(wanted)
    with contextlib.suppress(OSError):  # a cache that can't be written is none
        make_private_folder(file.parent)
        part = file.with_suffix(".part")
        with open(open_private(part), "wb") as out:  # noqa: PTH123 of a descriptor
            out.write(msgspec.json.encode(facts))
        part.replace(file)
    return facts


def _read(wanted: Wanted) -> Facts:
    import openvino  # heavy, and needed only for a model that was not read before

    from flowrt_nodes.detect._model.reading import read_detector

    try:
        return Facts(read_detector(openvino.Core(), wanted).layout.labels)
    except ModelError as error:
        return Facts(problem=str(error))


def _key(wanted: Wanted) -> str:
    path = wanted.path
    files = [path, path.with_suffix(".bin"), *([beside] if (beside := metadata_file(path)) else [])]
    code = sorted(Path(__file__).parents[1].glob("_[dm]*/*.py"))  # _decoding and _model
    settings = [wanted.decoder, wanted.labels, wanted.input_px, path.name]
    parts = [*(fingerprint(file) for file in (*files, *code)), repr(settings)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
