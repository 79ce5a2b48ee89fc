"""OpenCV, imported quietly: its lines and FFmpeg's on stderr say less than the nodes' own errors do."""

import os

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when the video backend starts

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2", "turned"]

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turned(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """The picture, turned clockwise by 90, 180 or 270 degrees."""
    return np.asarray(cv2.rotate(image, _TURNS[degrees]), np.uint8)
