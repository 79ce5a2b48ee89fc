"""Pictures of a camera to draw on: the newest one, or the median of several, which has no traffic in it."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowrt import Frame, Message, Objects
from flowrt.runtime import Runtime
from flowrt_web.views import CameraView

MEDIAN_OF = 25
MEDIAN_S = 8.0
WAIT_S = 5.0
FIRST_S = 15.0
Picture = NDArray[np.uint8]


class NoPicture(Exception):
    """The camera gave none in time."""


def newest(runtime: Runtime, view: CameraView) -> Picture:
    """The next picture that comes. Raises NoPicture."""
    return collected(runtime, view, 1, WAIT_S)[0]


def without_traffic(runtime: Runtime, view: CameraView) -> Picture:
    """The median of pictures over some seconds: what moves is in none of them for long. Raises NoPicture."""
    pictures = collected(runtime, view, MEDIAN_OF, MEDIAN_S)
    median: Picture = np.median(np.stack(pictures), axis=0).astype(np.uint8)
    return median


def collected(runtime: Runtime, view: CameraView, count: int, within_s: float) -> list[Picture]:
    """Pictures spread over the time that there is; fewer where fewer come. Raises NoPicture."""
    found: list[Picture] = []
    enough = threading.Event()
    every_s = within_s / count / 1.5 if count > 1 else 0.0
    last_s, began_s = 0.0, time.monotonic()

    def observe(message: Message) -> None:
        nonlocal last_s
        frame = message if isinstance(message, Frame) else message.frame if isinstance(message, Objects) else None
        now_s = time.monotonic()
        if frame is None or now_s - last_s < every_s or enough.is_set():
            return
        if found and frame.image.shape != found[0].shape:  # the camera has changed its size
            found.clear()
        last_s = now_s
        found.append(frame.image)
        if len(found) == count or now_s - began_s > within_s:
            enough.set()

    end = runtime.observe(view.node, observe)
    try:
        enough.wait(within_s)
        if not found:  # a run that has just begun, or a camera that is slow
            enough.wait(FIRST_S)
    finally:
        end()
    if not found:
        raise NoPicture(f"{view.camera} gave no picture within {within_s:g} s")
    return list(found)


def resized(picture: Any, width: int) -> Any:
    """The picture at most so wide."""
    if picture.shape[1] <= width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def jpeg(picture: Any, quality: int = 88) -> bytes:
    """A picture for a browser."""
    _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return packed.tobytes()
