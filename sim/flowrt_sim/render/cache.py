"""Scenery kept on disk, since painting it takes most of the time to a camera's first picture.

A picture is found again by what it was made from: the settings it depends on, and the code and libraries that painted it. So a kept
one has the very bytes that would be painted anew. What can't be read or written is painted, and no more is said of it.
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

KEPT = 16
"""How many pictures a folder keeps, those last used; one of 1280x720 has 2.8 MB."""


def kept(folder: Path | None, made_from: object, paint: Callable[[], Picture]) -> Picture:
    """What `paint` makes, from the folder where it is in there; the folder None keeps nothing.

    made_from: everything that the picture depends on; its `repr` has to tell it all.
    """
    if folder is None:
        return paint()
    name = hashlib.sha256(f"{made_from!r} {_painter()}".encode()).hexdigest()[:32]
    file = folder / f"{name}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # there is none, or none that can be used
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
        for old in sorted(folder.glob("*.npy"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            old.unlink()
    return picture


@functools.cache
def _painter() -> str:
    """What tells one version of the code and libraries that paint from another."""
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(file.read_bytes())
    return f"{code.hexdigest()} {np.__version__} {cv2.__version__}"
