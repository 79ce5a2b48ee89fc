"""A live camera read on a thread of its own, so that a camera that hangs holds up nobody.

Invariants
- The thread keeps up with the camera: it takes every picture off the wire and keeps the newest one only; what was
  overwritten before anybody asked is counted in `overwritten`.
- A picture's capture time is the time its data had arrived, read from the flow's clock on the thread that grabbed it.
- `stop` returns within about a second, also while OpenCV blocks inside a read. Such a thread is left behind (it is a
  daemon and OpenCV's own timeouts end it); it releases its camera when it wakes and hands out nothing any more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from flowrt.messages import Image
from flowrt_nodes._cv import cv2


class Grabbed(NamedTuple):
    """One picture, u8 (H, W, 3) BGR, with its capture time and its number on this connection."""

    image: Image
    time_s: float
    number: int


class Grabber:
    """One connection to a live camera. It ends by itself when the camera does; `ended` then says why."""

    def __init__(
        self,
        connect: Callable[[], cv2.VideoCapture],
        now_s: Callable[[], float],
        name: str,
        wanted: Callable[[float], bool] = lambda time_s: True,
    ) -> None:
        """connect: opens the camera, called on the grabber's thread. wanted: whether a picture of that time is decoded."""
        self._connect = connect
        self._now_s = now_s
        self._wanted = wanted
        self._changed = threading.Condition()
        self._newest: Grabbed | None = None
        self._stopping = False
        self.overwritten = 0
        self.ended: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-grabber", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def next(self, timeout_s: float) -> Grabbed | None:
        """The newest picture not handed out yet, waiting for one; None when none came or the connection ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self.ended is not None or self._stopping, timeout_s)
            newest, self._newest = self._newest, None
            return newest

    def stop(self, wait_s: float = 1.0) -> None:
        """End the connection; wait a little for the thread, not longer."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(wait_s)

    def _run(self) -> None:
        capture: cv2.VideoCapture | None = None
        reason = "the connection was closed"
        try:
            capture = self._connect()
            if capture.isOpened():
                self._read(capture)
            else:
                reason = "no answer, or not a camera"
        except cv2.error as error:
            reason = f"OpenCV: {error.err}"
        finally:
            if capture is not None:
                capture.release()
            with self._changed:
                self.ended = reason
                self._changed.notify_all()

    def _read(self, capture: cv2.VideoCapture) -> None:
        number = 0
        while not self._stopping and capture.grab():
            time_s = self._now_s()
            if self._wanted(time_s):  # what nobody wants is taken off the wire but not converted
                ok, image = capture.retrieve()
                if ok:
                    with self._changed:
                        self.overwritten += self._newest is not None
                        self._newest = Grabbed(np.asarray(image, np.uint8), time_s, number)
                        self._changed.notify_all()
            number += 1


class _Options:
    """FFmpeg's options go to OpenCV through one environment variable, read while a camera connects.

    Connections with the same options run side by side; one with others waits for its turn.
    """

    NAME = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._users = 0

    @contextmanager
    def set_to(self, options: str) -> Iterator[None]:
        with self._free:
            self._free.wait_for(lambda: not self._users or os.environ.get(self.NAME) == options)
            os.environ[self.NAME] = options
            self._users += 1
        try:
            yield
        finally:
            with self._free:
                self._users -= 1
                self._free.notify_all()


_options = _Options()


def connect_network(url: str, transport: str, timeout_s: float) -> cv2.VideoCapture:
    """Open an RTSP or HTTP stream. FFmpeg gives up a connect or a read after `timeout_s`."""
    timeout_ms = int(timeout_s * 1000)
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms,
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    # Half a second of looking at the stream is enough to know its codec; FFmpeg's five would be a slow start.
    options = "analyzeduration;500000|flags;low_delay"
    if url.lower().startswith(("rtsp://", "rtsps://")):
        options = f"rtsp_transport;{transport}|{options}"
    with _options.set_to(options):
        return cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)


def connect_device(device: int | str) -> cv2.VideoCapture:
    """Open a USB camera by index or device file; the driver's own buffer is kept short."""
    backend = cv2.CAP_V4L2 if os.name == "posix" else cv2.CAP_ANY
    capture = cv2.VideoCapture(device, backend)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
