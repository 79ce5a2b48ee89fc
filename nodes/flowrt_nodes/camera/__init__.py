"""Pictures from a file, a folder, a network or USB camera, or the simulated intersection.

Drop policy. A live camera (RTSP, HTTP, USB) waits for nobody: the flow takes its newest picture, the channel behind the
camera counts what it could not take. A file and a folder wait: the flow gets every picture, in order. The simulation at its own
pace leaves out what would come too late; under virtual time, or `asap`, it waits too.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from flowrt import CameraStatus, CheckView, Context, Diagnostic, Frame, Image, Position, Source, setting
from flowrt.diagnostics import did_you_mean
from flowrt_nodes._lib.sim import check_address, epoch_s
from flowrt_nodes.camera._meter import Meter, Thinner

if TYPE_CHECKING:
    import cv2

    from flowrt_nodes.camera._clips import Clip
    from flowrt_nodes.camera._grabber import Grabber

NETWORK = ("rtsp://", "rtsps://", "http://", "https://")
SIMULATED = "sim://"
LEFT_BEHIND_MAX = 3
CLOSE_S = 0.5
"""A thread that reads a camera gets this long to end; one that hangs in a read is left behind."""
LOOK_S = 0.25
"""How often a waiting camera looks whether it shall stop, or whether a status is due."""


class Camera(Source):
    """Pictures from a file, a folder, an RTSP, HTTP or USB camera, or the simulated intersection."""

    example = """
north_camera:
  type: camera
  uri: rtsp://192.168.1.20/stream1
  fps: 15
  position: north
"""

    uri: Annotated[
        str | int,
        setting(
            "A video file, a picture or a folder of pictures (relative to the flow file), `rtsp://…`, `http://…` (MJPEG and "
            "whatever FFmpeg reads), a USB camera (its index, or /dev/video0), or `sim://…`.",
            restart=True,
            examples=["clips/north.mp4", "rtsp://192.168.1.20/stream1", "0", "sim://four-way?seed=7&camera=north"],
        ),
    ]
    fps: (
        Annotated[
            float,
            setting("Pictures per second at most; without it every picture. For a folder also its rate.", gt=0),
        ]
        | None
    ) = None
    pace: Annotated[
        Literal["realtime", "asap"],
        setting("Files, folders, simulation: at their own rate, or as fast as the flow takes them."),
    ] = "realtime"
    loop: Annotated[bool, setting("Files and folders: begin again at the end; capture time goes on.")] = False
    start: Annotated[
        str,
        setting(
            "Capture time of a file's first picture: RFC 3339 (2026-05-04T12:30:00Z), `now`, or `file` (when the file was "
            "last changed). Without it: `now` at pace realtime, `file` at pace asap, the clock's time under virtual time.",
            restart=True,
        ),
    ] = ""
    position: Annotated[Position, setting("The approach it watches.")] = ""
    stall_s: Annotated[
        float, setting("Live: without a picture for this long the camera counts as lost.", gt=0, le=600)
    ] = 10.0
    reconnect_s: Annotated[float, setting("Live: wait before the second attempt to connect; doubles.", gt=0)] = 1.0
    reconnect_max_s: Annotated[float, setting("Live: the longest wait between two attempts.", gt=0)] = 30.0
    transport: Annotated[Literal["tcp", "udp"], setting("RTSP: how pictures travel.", restart=True)] = "tcp"
    status_s: Annotated[float, setting("Camera status is sent on every change, and this often.", gt=0)] = 5.0

    @property
    def live(self) -> bool:
        return self._kind in ("network", "device")

    @property
    def _kind(self) -> Literal["network", "device", "sim", "file"]:
        uri = str(self.uri)
        if uri.lower().startswith(NETWORK):
            return "network"
        if uri.lower().startswith(SIMULATED):
            return "sim"
        return "device" if uri.isdigit() or uri.startswith("/dev/video") else "file"

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.start not in ("", "now", "file") and _time_of(self.start) is None:
            yield Diagnostic(
                ("start",), f"'{self.start}' is no time", "expected e.g. 2026-05-04T12:30:00Z, now, or file"
            )
        if self.reconnect_max_s < self.reconnect_s:
            yield Diagnostic(
                ("reconnect_max_s",), f"{self.reconnect_max_s} is less than reconnect_s ({self.reconnect_s})"
            )
        uri = str(self.uri)
        if not uri:
            yield Diagnostic(
                ("uri",), "the uri is empty", "expected a file, folder, rtsp://, http://, USB index or sim://"
            )
        elif self._kind == "file":
            yield from _check_file(uri, view.folder)
        elif self._kind == "sim":
            yield from check_address(uri)

    def open(self, context: Context) -> None:
        self._clip: Clip | None = None
        self._grabber: Grabber | None = None
        self._left_behind: list[Grabber] = []
        self._meter = Meter(self.fps or 0.0)
        self._thin = Thinner()
        self._number = 0
        self._skip = 0
        self._anchor: tuple[float, float] | None = None
        self._reconnects = 0
        self._overwritten = 0
        if not self.live:
            self._clip = self._open_clip()
            self._meter.fps = min(self._clip.fps, self.fps or self._clip.fps)

    def _open_clip(self) -> Clip:
        from flowrt_nodes.camera._clips import FOLDER_FPS, FolderClip, SimClip, VideoClip, is_picture

        uri = str(self.uri)
        if self._kind == "sim":
            as_it_happens = self.pace == "realtime" and not self.context.clock.virtual and not self.loop
            store = self.context.data / "scenery"
            return SimClip(uri, self._elapsed_s if as_it_happens else None, store)
        path = self.context.path(uri.removeprefix("file://"))
        if path.is_dir() or is_picture(path):
            return FolderClip(path, self.fps or FOLDER_FPS)
        return VideoClip(path)

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._anchor = None
        self._thin = Thinner()

    def close(self) -> None:
        # `open` may have failed before it got anywhere
        grabbers = [*self.__dict__.get("_left_behind", ()), self.__dict__.get("_grabber")]
        until_s = time.monotonic() + CLOSE_S
        for grabber in filter(None, grabbers):
            grabber.stop()
        for grabber in filter(None, grabbers):
            grabber.join(max(until_s - time.monotonic(), 0.0))
        if clip := self.__dict__.get("_clip"):
            clip.close()

    def export_state(self) -> Any:
        return {"uri": str(self.uri), "number": self._number, "reconnects": self._reconnects}

    def import_state(self, state: Any) -> None:
        if state["uri"] == str(self.uri):
            self._number = state["number"]
            self._skip = 0 if self.live else state["number"]
            self._reconnects = state["reconnects"]

    def status(self) -> dict[str, Any]:
        return {
            "uri": masked(str(self.uri)),
            "status": self._meter.status,
            "detail": self._meter.detail,
            "fps": round(self._meter.fps, 2),
            "resolution": self._meter.resolution,
            "reconnects": self._reconnects,
            "overwritten": self._overwritten + (self._grabber.overwritten if self._grabber else 0),
        }

    def produce(self) -> Iterator[Frame | CameraStatus]:
        if self._clip is None:
            return self._watch()
        return self._play_along(self._clip) if self._kind == "sim" else self._play(self._clip, self._start_s())

    # Files, folders, simulation

    def _play_along(self, clip: Clip) -> Iterator[Frame | CameraStatus]:
        """The simulation: cameras and signals of one flow share its time."""
        with epoch_s(self.context) as epoch:
            self._epoch_s = epoch
            yield from self._play(clip, _time_of(self.start) or epoch)

    def _elapsed_s(self) -> float:
        return self.context.clock.now_s() - self._epoch_s

    def _play(self, clip: Clip, start_s: float) -> Iterator[Frame | CameraStatus]:
        stopping = self.context.stopping
        time_s, round_s, count = start_s, 0.0, self._number
        while True:
            for image, offset_s in clip.pictures(self._skip):
                time_s = start_s + round_s + offset_s
                if stopping.is_set() or not self._wait(time_s):
                    return
                if self._wanted(time_s):
                    frame = self._frame(image, time_s)
                    if self._meter.frame(frame, self.status_s):
                        yield self._report(time_s)
                    yield frame
                self._number += 1
            self._skip = 0
            if clip.missing or not self.loop or self._number == count:
                break
            count = self._number
            round_s += clip.round_s
        if clip.missing:
            self.context.log.error("camera %s: %s: %s", self.context.node, masked(str(self.uri)), clip.missing)
            self._meter.change("error", clip.missing)
        else:
            self._meter.change("offline", f"ended after {self._number} pictures")
        yield self._report(time_s)

    def _start_s(self) -> float:
        clock = self.context.clock
        given = _time_of(self.start)
        if given is not None:
            return given
        from_file = self.start == "file" or (not self.start and self.pace == "asap" and not clock.virtual)
        if from_file and self._kind == "file":
            return self.context.path(str(self.uri).removeprefix("file://")).stat().st_mtime
        return clock.now_s()

    def _wait(self, time_s: float) -> bool:
        """Wait until a picture is due; False when the camera shall stop. The monotonic clock paces, capture time does not."""
        if self.pace == "asap" or self.context.clock.virtual:
            return True
        now_s = time.monotonic()
        if self._anchor is None:
            simulated = self._kind == "sim" and not self.start
            self._anchor = (now_s - self._elapsed_s(), self._epoch_s) if simulated else (now_s, time_s)
        due_s = self._anchor[0] + time_s - self._anchor[1]
        return due_s <= now_s or self.context.clock.sleep(due_s - now_s, self.context.stopping)

    def _wanted(self, time_s: float) -> bool:
        return self.fps is None or self._thin.wants(time_s, self.fps)

    # Live cameras

    def _watch(self) -> Iterator[Frame | CameraStatus]:
        context, stopping = self.context, self.context.stopping
        attempt = 0
        while not stopping.is_set():
            self._left_behind = [grabber for grabber in self._left_behind if grabber.alive]
            if len(self._left_behind) < LEFT_BEHIND_MAX:
                first = self._number
                reason = yield from self._connection()
                if stopping.is_set():
                    return
                attempt = 0 if self._number > first else attempt
                if self._meter.change("offline", reason):
                    context.log.warning("camera %s: %s: %s", context.node, masked(str(self.uri)), reason)
                    yield self._report(context.clock.now_s())
                self._reconnects += 1
            attempt += 1
            yield from self._back_off(attempt)

    def _back_off(self, attempt: int) -> Iterator[CameraStatus]:
        """Wait before another attempt: doubling, bounded, and spread, so that many cameras don't knock at once."""
        wait_s = min(self.reconnect_max_s, self.reconnect_s * 2.0 ** min(attempt - 1, 30)) * random.uniform(0.5, 1.0)
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            if self.context.stopping.wait(min(left_s, LOOK_S)):
                return
            if self._meter.due(time_s := self.context.clock.now_s(), self.status_s):
                yield self._report(time_s)

    def _connection(self) -> Generator[Frame | CameraStatus, None, str]:
        """One connection, from its first picture to its last; returns why it ended."""
        from flowrt_nodes.camera._grabber import Grabber, connect_device, connect_network

        uri, stall_s = str(self.uri), self.stall_s
        connect: Callable[[], cv2.VideoCapture]
        if self._kind == "network":
            connect = partial(connect_network, uri, self.transport, stall_s)
        else:
            connect = partial(connect_device, int(uri) if uri.isdigit() else uri)
        grabber = self._grabber = Grabber(connect, self.context.clock.now_s, self.context.node, self._wanted)
        heard_s = time.monotonic()
        try:
            while not self.context.stopping.is_set():
                grabbed = grabber.next(LOOK_S)
                now_s = time.monotonic()
                if grabbed is not None:
                    heard_s = now_s
                    frame = self._frame(grabbed.image, grabbed.time_s)
                    self._number += 1
                    if self._meter.frame(frame, self.status_s):
                        yield self._report(grabbed.time_s)
                    yield frame
                elif grabber.ended is not None:
                    return grabber.ended
                elif now_s - heard_s > self.stall_s:
                    return f"no picture for {self.stall_s:g} s"
                elif self._meter.due(time_s := self.context.clock.now_s(), self.status_s):
                    yield self._report(time_s)
            return ""
        finally:
            grabber.stop()  # a lost camera's read may hang; the next connection does not wait for it
            self._overwritten += grabber.overwritten
            self._grabber = None
            if grabber.alive:
                self._left_behind.append(grabber)

    def _frame(self, image: Image, time_s: float) -> Frame:
        image.flags.writeable = False
        return Frame(
            time_s=time_s, camera_id=self.context.node, image=image, number=self._number, position=self.position
        )

    def _report(self, time_s: float) -> CameraStatus:
        meter = self._meter
        meter.reported(time_s)
        return CameraStatus(
            time_s=time_s,
            camera_id=self.context.node,
            status=meter.status,
            position=self.position,
            fps=round(meter.fps, 2),
            resolution=meter.resolution,
            detail=meter.detail,
            reconnects=self._reconnects,
        )


def masked(uri: str) -> str:
    """The uri without user, password or tokens, for logs and status."""
    uri = re.sub(r"//[^@/]*@", "//***@", uri)
    return re.sub(r"(?i)([?&][^=&]*(?:pass|pwd|token|key|secret)[^=&]*=)[^&]*", r"\1***", uri)


def _time_of(text: str) -> float | None:
    """UTC seconds of an RFC 3339 time, which is UTC where it names no zone; None where it is no time."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _check_file(uri: str, folder: Path) -> Iterable[Diagnostic]:
    path = folder / uri.removeprefix("file://")
    if not path.exists():
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, beside) if beside else f"there is no folder {path.parent}"
        yield Diagnostic(("uri",), f"there is no file or folder '{uri}'", hint)
    elif path.is_file() and path.stat().st_size == 0:
        yield Diagnostic(("uri",), f"'{uri}' is an empty file", "expected a video, a picture or a folder of pictures")
