"""A live camera read on a thread of its own, so that a camera that hangs holds up nobody.

Invariants
- The thread keeps up with the camera: it takes every picture off the wire and keeps the newest one only; what was
  overwritten before anybody asked is counted in `overwritten`.
- A picture's capture time is the time its data had arrived, read from the flow's clock on the thread that grabbed it.
- `stop` returns at once, also while OpenCV blocks inside a read. Such a thread is left behind (it is a daemon and OpenCV's
  own timeouts end it); it releases its camera when it wakes and hands out nothing any more.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from flowrt import Image
from flowrt_nodes._lib.cv import cv2


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

    def stop(self) -> None:
        """Tell the thread to end the connection; no waiting."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, wait_s: float) -> None:
        """Wait for the thread, not longer than that."""
        self._thread.join(wait_s)

    def _run(self) -> None:
        capture: cv2.VideoCapture | None = None
        reason = "the connection was closed"
        try:
            capture = self._connect()
            if capture.isOpened():
                self._read(capture)
            else:
                reason = "no pictures: not a camera, or the address is wrong"
        except NoAnswer as no_answer:
            reason = str(no_answer)
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


class NoAnswer(Exception):
    """The camera can't be reached; the text says why."""


PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
OPEN_MAX_S = 5.0

# OpenCV opens one stream at a time, process-wide, and FFmpeg's options reach it through an environment variable. So: knock first,
# outside of the lock, that a camera which does not answer keeps no other one waiting.
_opening = threading.Lock()


def connect_network(url: str, transport: str, timeout_s: float) -> cv2.VideoCapture:
    """Open an RTSP or HTTP stream. FFmpeg gives up a read after `timeout_s`. Raises NoAnswer."""
    open_s = min(timeout_s, OPEN_MAX_S)
    knock(url, open_s)
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(timeout_s * 1000),
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    with _opening:
        # Half a second of looking at the stream is enough to know its codec; FFmpeg's five would be a slow start.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
            f"rtsp_transport;{transport}|analyzeduration;500000|flags;low_delay"
        )
        return cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)


def knock(url: str, timeout_s: float) -> None:
    """Ask the server for a sign of life, any. Raises NoAnswer."""
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    try:
        with socket.create_connection((host, parts.port or PORTS[scheme]), timeout_s) as line:
            if scheme == "rtsp":
                line.sendall(f"OPTIONS rtsp://{host}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            elif scheme == "http":
                line.sendall(f"HEAD {parts.path or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            else:
                return  # behind TLS nobody says a word before the handshake: that somebody listens must do
            if not line.recv(1):
                raise NoAnswer("no answer: the server hung up")
    except TimeoutError:
        raise NoAnswer(f"no answer within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:  # ValueError: a port that is no port
        raise NoAnswer(f"no answer: {getattr(error, 'strerror', None) or error}") from None


def connect_device(device: int | str) -> cv2.VideoCapture:
    """Open a USB camera by index or device file; the driver's own buffer is kept short."""
    backend = cv2.CAP_V4L2 if os.name == "posix" else cv2.CAP_ANY
    capture = cv2.VideoCapture(device, backend)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
