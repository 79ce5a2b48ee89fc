"""Pictures from a file, a folder, a network or USB camera, or the simulated intersection.

Drop policy. A live camera (RTSP, HTTP, USB) does not wait: the flow takes its newest picture; pictures that were overwritten,
here or in the channel behind the camera, count as dropped. A file and a folder wait: the flow gets every picture, in order. The simulation at its own
pace leaves out what would come too late; under virtual time, or `asap`, it waits too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowrt import CameraStatus, CheckView, Context, Diagnostic, Frame, Image
from flowrt.addresses import without_passwords
from flowrt.capture_time import CaptureClock
from flowrt.system.backoff import Backoff
from flowrt_nodes._lib.sim import epoch_s
from flowrt_nodes.camera._address import file_path, time_of
from flowrt_nodes.camera._meter import Meter, Thinner
from flowrt_nodes.camera._optics import Optics
from flowrt_nodes.camera._settings import CameraSettings

if TYPE_CHECKING:
    from flowrt_nodes.camera._clips import Clip
    from flowrt_nodes.camera._live.grabber import Connected, Grabber
    from flowrt_nodes.camera._live.protocol import Trust
    from flowrt_nodes.camera._view.watch import ViewWatch

LEFT_BEHIND_MAX = 3
CLOSE_S = 0.5
"""A thread that reads a camera gets this long to end; one that hangs in a read is left behind."""
PROBE_S = 5.0
"""`flowrt check --probe` waits this long for each answer of a camera."""
LOOK_S = 0.25
"""How often a waiting camera checks whether it shall stop, or whether a status is due."""


class Camera(CameraSettings):
    """Pictures from a file, a folder, an RTSP, HTTP or USB camera, or the simulated intersection."""

    example = """
north_camera:
  type: camera
  uri: rtsp://192.168.1.20/stream1
  fps: 15
  position: north
"""

    @property
    def real_pictures(self) -> bool:
        """See `flowrt.traffic.checks.simulation`."""
        return self._kind != "sim" and not self.simulated

    @property
    def live(self) -> bool:
        return self._kind in ("network", "device")

    @property
    def dropped(self) -> int:
        return self._overwritten

    def probe(self, view: CheckView) -> Iterable[Diagnostic]:
        if self._kind == "network":
            from flowrt_nodes.camera._live.grabber import ask

            reason = ask(str(self.uri), self.transport, min(self.stall_s, PROBE_S), self._trust(view.folder))
            if reason:
                yield Diagnostic(("uri",), reason)

    def open(self, context: Context) -> None:
        self._clip: Clip | None = None
        self._grabber: Grabber | None = None
        self._capture_clock: CaptureClock | None = None
        self._left_behind: list[Grabber] = []
        self._meter = Meter(self.fps or 0.0)
        self._thin = Thinner()
        self._number = 0
        self._skip = 0
        self._anchor: tuple[float, float] | None = None
        self._reconnects = 0
        self._overwritten = 0
        self._lost_s: float | None = None
        self._backoff = self._new_backoff()
        self._view_watch = self._new_watch()
        self._optics = Optics(self.lens, self.rotate) if self.lens is not None or self.rotate else None
        if not self.live:
            self._clip = self._open_clip()
            self._meter.declared_fps = min(self._clip.fps, self.fps or self._clip.fps)

    def _new_backoff(self) -> Backoff:
        return Backoff(self.reconnect_s, self.reconnect_max_s)

    def _new_watch(self) -> ViewWatch | None:
        if not self.watch_view:
            return None
        from flowrt_nodes.camera._view.watch import ViewWatch, still_of

        still = still_of(self.context.path(self.view)) if self.view else None
        return ViewWatch(self.max_shift_px, live=self.live, still=still)

    def _open_clip(self) -> Clip:
        from flowrt_nodes.camera._clips import FOLDER_FPS, FolderClip, SimClip, VideoClip, is_picture

        uri = str(self.uri)
        if self._kind == "sim":
            as_it_happens = self.pace == "realtime" and not self.context.clock.virtual and not self.loop
            store = self.context.data / "scenery"
            return SimClip(uri, self._elapsed_s if as_it_happens else None, store)
        path = self.context.path(file_path(uri))
        if path.is_dir() or is_picture(path):
            return FolderClip(path, self.fps or FOLDER_FPS)
        return VideoClip(path)

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._anchor = None
        self._thin = Thinner()
        self._backoff = self._new_backoff()
        if changed & {"scene", "view", "max_shift_px", "watch_view"}:
            cuts = self._view_watch.cuts if self._view_watch else 0
            self._view_watch = self._new_watch()
            if self._view_watch is not None:
                self._view_watch.cuts = cuts

    def close(self) -> None:
        grabbers = [grabber for grabber in (*self._left_behind, self._grabber) if grabber is not None]
        until_s = time.monotonic() + CLOSE_S
        for grabber in grabbers:
            grabber.stop()
        for grabber in grabbers:
            grabber.join(max(until_s - time.monotonic(), 0.0))
        if self._clip is not None:
            self._clip.close()

    def export_state(self) -> Any:
        return {
            "uri": str(self.uri),
            "number": self._number,
            "reconnects": self._reconnects,
            "watch": self._view_watch,
            "last_s": self._capture_clock.last_s if self._capture_clock else None,
        }

    def import_state(self, state: Any) -> None:
        if state["uri"] == str(self.uri):
            self._number = state["number"]
            self._skip = 0 if self.live else state["number"]
            self._reconnects = state["reconnects"]
            if state["last_s"] is not None:
                self._capture_clock = CaptureClock(state["last_s"])
            if self._view_watch is not None and state["watch"] is not None and not self.view:
                self._view_watch.take_over(state["watch"])

    def status(self) -> dict[str, Any]:
        clock, watch = self._capture_clock, self._view_watch
        return {
            **({"clock": clock.name, "jitter_ms": round(clock.jitter_ms, 1)} if clock else {}),
            **(watch.facts() if watch else {}),
            "uri": without_passwords(str(self.uri)),
            "status": self._meter.status,
            "detail": self._meter.detail,
            "fps": round(self._fps(), 2),
            "resolution": self._meter.resolution,
            "reconnects": self._reconnects,
            "overwritten": self._overwritten,
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
            yield from self._play(clip, time_of(self.start) or epoch)

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
                    frame, due = self._frame(image, time_s)
                    if due:
                        yield self._report(time_s)
                    yield frame
                self._number += 1
            self._skip = 0
            if clip.missing or not self.loop or self._number == count:
                break
            count = self._number
            round_s += clip.round_s
        if clip.missing:
            self.context.log.error("%s: %s", without_passwords(str(self.uri)), clip.missing)
            self._meter.change("error", clip.missing)
        else:
            self._meter.change("offline", f"ended after {self._number} pictures")
        yield self._report(time_s)

    def _start_s(self) -> float:
        clock = self.context.clock
        given = time_of(self.start)
        if given is not None:
            return given
        from_file = self.start == "file" or (not self.start and self.pace == "asap" and not clock.virtual)
        if from_file and self._kind == "file":
            return self.context.path(file_path(str(self.uri))).stat().st_mtime
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
        while not stopping.is_set():
            self._left_behind = [grabber for grabber in self._left_behind if grabber.alive]
            if len(self._left_behind) < LEFT_BEHIND_MAX:
                first = self._number
                reason = yield from self._connection()
                if stopping.is_set():
                    return
                if self._number > first:
                    self._backoff.reset()
                if self._meter.change("offline", reason):
                    context.log.warning("%s: %s", without_passwords(str(self.uri)), reason)
                    self._lost_s = self._lost_s or time.monotonic()
                    yield self._report(context.clock.now_s())
                self._reconnects += 1
            yield from self._wait_to_reconnect()

    def _wait_to_reconnect(self) -> Iterator[CameraStatus]:
        """Doubling, capped, and random, so that many cameras are not asked at once."""
        until_s = time.monotonic() + self._backoff.wait_s()
        while (left_s := until_s - time.monotonic()) > 0:
            if self.context.stopping.wait(min(left_s, LOOK_S)):
                return
            if self._meter.due(time_s := self.context.clock.now_s(), self.status_s):
                yield self._report(time_s)

    def _trust(self, folder: Path) -> Trust:
        """What an https camera must show."""
        from flowrt_nodes.camera._live.protocol import Trust

        return Trust(self.certificate == "trusted", str(folder / self.ca_file) if self.ca_file else "")

    def _connection(self) -> Generator[Frame | CameraStatus, None, str]:
        """One connection, from its first picture to its last; returns why it ended."""
        from flowrt_nodes.camera._live.grabber import PICTURE_EVERY_S, Grabber, connect_device, connect_network

        uri, stall_s = str(self.uri), self.stall_s
        connect: Callable[[threading.Event], Connected]
        if self._kind == "network":
            every_s = 1.0 / self.fps if self.fps else PICTURE_EVERY_S
            connect = partial(connect_network, uri, self.transport, stall_s, every_s, self._trust(self.context.folder))
        else:
            connect = partial(connect_device, int(uri) if uri.isdigit() else uri)
        after_s = self._capture_clock.last_s if self._capture_clock else -math.inf
        grabber = Grabber(connect, self.context.clock.now_s, self.context.node, self._wanted, after_s)
        self._grabber, self._capture_clock = grabber, grabber.clock
        heard_s = time.monotonic()
        try:
            while not self.context.stopping.is_set():
                grabbed = grabber.next(LOOK_S)
                now_s = time.monotonic()
                if grabbed is not None:
                    heard_s = now_s
                    self._overwritten += grabbed.overwrote
                    frame, due = self._frame(grabbed.image, grabbed.time_s)
                    self._number += 1
                    self._log_return()
                    if due:
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
            self._grabber = None
            if grabber.alive:
                self._left_behind.append(grabber)

    def _log_return(self) -> None:
        """Log that the camera is back, as its loss was logged."""
        if self._lost_s is not None:
            lost_s, self._lost_s = time.monotonic() - self._lost_s, None
            where = without_passwords(str(self.uri))
            self.context.log.info("%s: pictures again after %.1f s", where, lost_s)

    def _fps(self) -> float:
        """Of the last seconds; a clip's are those of its capture time."""
        return self._meter.fps(self.context.clock.now_s() if self.live else None)

    def _frame(self, image: Image, time_s: float) -> tuple[Frame, bool]:
        """A picture as a message, and whether a status is due."""
        if self._optics is not None:
            image = self._optics.applied(image)
        image.flags.writeable = False
        changed = self._view_watch is not None and self._view_watch.observe(image, time_s)
        if changed:
            self._log_view()
        frame = Frame(
            time_s=time_s,
            camera_id=self.context.node,
            image=image,
            number=self._number,
            position=self.position,
            view_fault=self._view_watch.fault if self._view_watch else "",
            view_cuts=self._view_watch.cuts if self._view_watch else 0,
        )
        return frame, self._meter.frame(frame, self.status_s) or changed

    def _log_view(self) -> None:
        """Log what is wrong with the view, or that nothing is any more."""
        found = self._view_watch.finding if self._view_watch else None
        if found is not None and found.text:
            self.context.log.warning("%s", found.text)
        elif found is not None and found.state == "ok":
            self.context.log.info("the view is as it should be")

    def _report(self, time_s: float) -> CameraStatus:
        meter, clock = self._meter, self._capture_clock
        found = self._view_watch.finding if self._view_watch else None
        meter.reported(time_s)
        return CameraStatus(
            time_s=time_s,
            camera_id=self.context.node,
            status=meter.status,
            position=self.position,
            fps=round(self._fps(), 2),
            resolution=meter.resolution,
            detail=meter.detail or (found.text if found else ""),
            reconnects=self._reconnects,
            clock=clock.name if clock else "",
            jitter_ms=round(clock.jitter_ms, 1) if clock else None,
            view=found.state if found else "",
            shift_px=found.shift_px if found else None,
        )
