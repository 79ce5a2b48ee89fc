"""A live camera read on a thread of its own, so that a camera that hangs holds up nothing else.

Invariants
- The thread keeps up with the camera: it takes every picture off the wire and keeps the newest one only; a picture that was
  overwritten before it was handed out is counted with the next one.
- A picture's capture time follows its presentation time where the stream has one, else its arrival (`flowrt.capture_time`). Pictures that the
  camera had stored before it was connected are not handed out: newer ones are about to come.
- `stop` returns at once, also while OpenCV blocks inside a read. Such a thread is left behind (it is a daemon and OpenCV's
  own timeouts end it); it releases its camera when it wakes and hands out nothing any more.
"""

from __future__ import annotations

import math
import os
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from flowrt import Image
from flowrt.capture_time import CaptureClock, Stamp
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera._live import over_http, over_rtsp
from flowrt_nodes.camera._live.protocol import NoAnswer, Trust


class Grabbed(NamedTuple):
    """One picture, u8 (H, W, 3) BGR, with its capture time, and how many it overwrote that were not handed out yet."""

    image: Image
    time_s: float
    overwrote: int


class Capture(Protocol):
    """What the grabber uses of an OpenCV capture. `grab` may raise NoAnswer."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


class Connected(NamedTuple):
    """A connected camera. property_of: gives OpenCV's properties of the stream; None where that has no presentation times of its own."""

    capture: Capture
    property_of: Callable[[int], float] | None = None


class Grabber:
    """One connection to a live camera. It ends by itself when the camera does; `ended` then says why."""

    def __init__(
        self,
        connect: Callable[[threading.Event], Connected],
        now_s: Callable[[], float],
        name: str,
        wanted: Callable[[float], bool] = lambda time_s: True,
        after_s: float = -math.inf,
    ) -> None:
        """connect: opens the camera or raises NoAnswer, called on the grabber's thread with the event that ends it. wanted: whether
        a picture of that time is decoded. after_s: the capture time of the last connection's last picture."""
        self.clock = CaptureClock(after_s)
        self._connect = connect
        self._now_s = now_s
        self._wanted = wanted
        self._changed = threading.Condition()
        self._newest: Grabbed | None = None
        self._stopping = threading.Event()
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
            self._changed.wait_for(lambda: self._newest or self.ended is not None or self._stopping.is_set(), timeout_s)
            newest, self._newest = self._newest, None
            return newest

    def stop(self) -> None:
        """Tell the thread to end the connection; no waiting."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()

    def join(self, wait_s: float) -> None:
        """Wait for the thread, not longer than that."""
        self._thread.join(wait_s)

    def _run(self) -> None:
        connected: Connected | None = None
        reason = "the connection was closed"
        try:
            connected = self._connect(self._stopping)
            if not self._read(connected):
                reason = "no pictures: the stream was opened, but none of it could be decoded"
        except NoAnswer as no_answer:
            reason = str(no_answer)
        except cv2.error as error:
            reason = f"OpenCV: {error.err}"
        finally:
            if connected is not None:
                connected.capture.release()
            with self._changed:
                self.ended = reason
                self._changed.notify_all()

    def _read(self, connected: Connected) -> int:
        """Until the camera ends; returns how many pictures came."""
        number, capture = 0, connected.capture
        while not self._stopping.is_set() and capture.grab():
            time_s, backlog = self._stamp(connected)
            if not backlog and self._wanted(
                time_s
            ):  # a picture that is not wanted is taken off the wire but not converted
                ok, image = capture.retrieve()
                if ok:
                    with self._changed:
                        overwrote = self._newest.overwrote + 1 if self._newest else 0
                        self._newest = Grabbed(np.asarray(image, np.uint8), time_s, overwrote)
                        self._changed.notify_all()
            number += 1
        return number

    def _stamp(self, connected: Connected) -> Stamp:
        """The capture time of the picture just grabbed."""
        now_s, arrival_s = self._now_s(), time.monotonic()
        if connected.property_of is None:
            return self.clock.stamp(now_s, arrival_s, None)
        pts_s = connected.property_of(cv2.CAP_PROP_POS_MSEC) * 1e-3
        anchor_s = (
            connected.property_of(cv2.CAP_PROP_STREAM_OPEN_TIME_USEC) * 1e-6
        )  # far below 0 until the camera has told it
        return self.clock.stamp(now_s, arrival_s, pts_s, anchor_s + pts_s if anchor_s > 0 else None)


OPEN_MAX_S = 5.0
PICTURE_EVERY_S = 1.0
"""An address that gives one picture a request is asked this often, unless `fps` says otherwise."""

# OpenCV opens one stream at a time, process-wide, and FFmpeg's options reach it through an environment variable. So the camera is
# asked for a sign of life first, outside of the lock: one that does not answer keeps no other one waiting.
_opening = threading.Lock()


def connect_network(
    url: str, transport: str, timeout_s: float, every_s: float, trust: Trust, stopping: threading.Event
) -> Connected:
    """Open an RTSP or HTTP camera. FFmpeg gives up a read after `timeout_s`; every_s: between pictures that are fetched one by
    one; trust: of https. Raises NoAnswer."""
    open_s = min(timeout_s, OPEN_MAX_S)
    is_http, has_pts = url.lower().startswith("http"), True
    if not is_http:
        over_rtsp.greet(url, open_s)
    else:
        offer = over_http.offered(url, open_s, trust)
        if offer.kind == "picture":
            return Connected(over_http.PictureAddress(offer.url, timeout_s, every_s, stopping, trust))
        url, has_pts = offer.url, not offer.multipart
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(timeout_s * 1000),
        cv2.CAP_PROP_N_THREADS, 1,
    ]  # fmt: skip
    with _opening:
        # Half a second of looking at the stream is enough to know its codec; FFmpeg's five would be a slow start. Sound is not asked
        # for: with it FFmpeg shifts the presentation times at every report of the camera.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = (
            f"rtsp_transport;{transport}|allowed_media_types;video|analyzeduration;500000|flags;low_delay"
            + (_verified(trust) if url.lower().startswith("https") else "")
        )
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if capture.isOpened():
        return Connected(capture, capture.get if has_pts else None)
    if is_http:
        raise NoAnswer(over_http.why_no_stream(url, open_s, trust))
    raise NoAnswer(over_rtsp.why_no_stream(url, transport, open_s))


def _verified(trust: Trust) -> str:
    """FFmpeg's options that have it verify a certificate, too: it knows no certificates of the system by itself."""
    file = trust.ca_file or ssl.get_default_verify_paths().cafile or ""
    return f"|tls_verify;1|ca_file;{file}" if trust.verify and file and not {"|", ";"} & set(file) else ""


def connect_device(device: int | str, stopping: threading.Event) -> Connected:
    """Open a USB camera by index or device file; the driver's own buffer is kept short, so arrival is near enough to the capture. Raises
    NoAnswer."""
    backend = cv2.CAP_V4L2 if os.name == "posix" else cv2.CAP_ANY
    capture = cv2.VideoCapture(device, backend)
    if not capture.isOpened():
        raise NoAnswer(f"no pictures: there is no USB camera {device} here, or another program uses it")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return Connected(capture)


def ask(url: str, transport: str, timeout_s: float, trust: Trust) -> str:
    """Connect once and wait for a picture: why there is none, empty where there is one. Ends within about three times the timeout."""
    connect = partial(connect_network, url, transport, timeout_s, 0.0, trust)
    grabber = Grabber(connect, time.time, "probe")
    try:
        if grabber.next(3 * timeout_s) is not None:
            return ""
        return grabber.ended or f"no picture within {3 * timeout_s:g} s"
    finally:
        grabber.stop()
