"""OpenCV, imported quietly: its lines and FFmpeg's on stderr say less than the nodes' own errors do."""

import os

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when the video backend starts

import cv2

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2"]
