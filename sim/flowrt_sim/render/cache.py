"""A cache of painted scenery on disk: painting takes most of the time to a camera's first picture.

The key is what a picture is made from: the settings it depends on, and the code and libraries that paint it, so a cached picture
has the bytes that painting would give. A file that can't be read is painted again; one that can't be written is not cached.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

MOST_FILES = 16
"""A folder holds this many pictures, the last used; one of 1280x720 has 2.8 MB."""


def cached(folder: Path | None, made_from: object, paint: Callable[[], Picture]) -> Picture:
    """The picture that `paint` gives, from the folder if it is there; without a folder nothing is cached.

    made_from: everything that the picture depends on, as its `repr` gives it.
    """
    if folder is None:
        return paint()
    name = hashlib.sha256(f"{made_from!r} {_code_version()}".encode()).hexdigest()[:32]
    file = folder / f"{name}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # missing, or not readable: paint
        picture: Picture = np.load(file)
        os.utime(file)
        return picture
    picture = paint()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{name}.{os.getpid()}-{threading.get_ident()}.tmp"
        with fresh.open("wb") as opened:
            np.save(opened, picture)
        fresh.replace(file)
        for old in sorted(folder.glob("*.npy"), key=lambda each: each.stat().st_mtime)[:-MOST_FILES]:
            old.unlink()
    return picture


@functools.cache
def _code_version() -> str:
    """The version of the code and libraries that paint."""
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(file.read_bytes())
    return f"{code.hexdigest()} {np.__version__} {cv2.__version__}"
