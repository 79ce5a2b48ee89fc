"""Evidence pictures: the part of the picture around an offender, as a JPEG beside the journal."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from flowrt.system.private_files import make_private_folder, open_private
from flowrt.traffic.objects import Tracks

# Margins: docs/rules.md says what each is for.
MOST_FILES = 2000


def save_snapshot(folder: Path, name: str, tracks: Tracks, row: int) -> str:
    """Write the offender's surroundings with its box drawn; the path below `folder`'s parent, empty without a picture.

    Raises OSError where the folder can't be written to.
    """
    if tracks.frame is None:
        return ""
    import cv2  # heavy, and needed by flows with snapshots only

    image = tracks.frame.image
    height, width = image.shape[:2]
    box = np.asarray(tracks.boxes_px[row], float)
    scale = np.array([width / tracks.picture_px[0], height / tracks.picture_px[1]] * 2)
    x0, y0, x1, y1 = box * scale
    room = max(x1 - x0, y1 - y0, 80.0)
    left, top = int(max(x0 - room, 0)), int(max(y0 - room, 0))
    right, bottom = int(min(x1 + room, width)), int(min(y1 + room, height))
    crop = np.ascontiguousarray(image[top:bottom, left:right])
    corners = (int(x0) - left, int(y0) - top), (int(x1) - left, int(y1) - top)
    cv2.rectangle(crop, corners[0], corners[1], (0, 0, 255), 2)
    encoded, jpeg = cv2.imencode(".jpg", crop, [int(cv2.IMWRITE_JPEG_QUALITY), 85])
    if not encoded:
        return ""
    make_private_folder(folder)
    _make_room(folder)
    file = folder / f"{name}.jpg"
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)  # of an earlier run, or planted there
    with os.fdopen(open_private(partial), "wb") as out:
        out.write(jpeg.tobytes())
    partial.replace(file)
    return f"{folder.name}/{file.name}"


def _make_room(folder: Path) -> None:
    files = list(folder.glob("*.jpg"))
    if len(files) >= MOST_FILES:
        files.sort(key=lambda file: file.stat().st_mtime)
        for file in files[: len(files) - MOST_FILES + 100]:
            file.unlink(missing_ok=True)
