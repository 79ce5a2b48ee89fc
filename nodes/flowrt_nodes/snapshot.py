"""Pictures of what the flow sees: one for each event, or one every so often."""

from __future__ import annotations

import os
import re
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from flowrt import (
    Context,
    Event,
    Frame,
    Objects,
    PedestrianEvent,
    SceneName,
    SignalState,
    Transform,
    Violation,
    ZoneEvent,
    scene_of,
    setting,
)
from flowrt.system.private_files import make_private_folder, open_private

if TYPE_CHECKING:
    from flowrt_nodes._lib.overlay import Overlay

WAITING_MAX = 100


class Snapshot(Transform):
    """JPEG pictures with boxes, zones and labels: one for each event that arrives, one every `every_s`, or both.

    Wire it to `track` (or whatever gives the pictures) and to the nodes whose events are worth a picture. The file's name
    carries camera, time, kind and the event's id. The oldest files go when there are more than the folder may hold.
    """

    guarantee = "none: a picture that can't be written is reported as an error of this node"
    example = """
pictures: {type: snapshot, from: [tracks, red_light], scene: north, keep_files: 500}
"""

    folder: Annotated[
        str, setting("Where they go; relative to the flow's data folder.", min_length=1, restart=True)
    ] = "snapshots"
    scene: Annotated[SceneName, setting("The scene whose zones and lines are drawn.")] = ""
    labels: Annotated[
        Literal["legend", "zones", "objects", "none"],
        setting(
            "What is written: road users, and zones once in a legend; road users, and names on zones and lines; road users; nothing. "
            "A label for which there is no room is left out."
        ),
    ] = "legend"
    every_s: (
        Annotated[
            float, setting("A picture of each camera this often, by capture time; without it only for events.", gt=0)
        ]
        | None
    ) = None
    quality: Annotated[int, setting("JPEG quality.", ge=10, le=100)] = 85
    keep_files: Annotated[int, setting("How many files the folder holds.", ge=1, le=1_000_000)] = 1000
    keep_mb: Annotated[float, setting("How much the files may take together.", gt=0)] = 500.0

    def open(self, context: Context) -> None:
        self._cameras: dict[str, _Camera] = {}
        self._folder = context.data / self.folder
        make_private_folder(self._folder)
        self._kept = deque(
            (file, file.lstat().st_size)
            for file in sorted(self._folder.glob("*.jpg"), key=lambda each: each.lstat().st_mtime)
        )
        self._kept_bytes = sum(size for _, size in self._kept)
        self._written = 0

    def _new_overlay(self) -> Overlay:
        from flowrt_nodes._lib.overlay import Overlay  # brings OpenCV, which no check needs

        return Overlay(scene_of(self.context), self.labels)

    def reconfigured(self, changed: frozenset[str]) -> None:
        if changed & {"scene", "labels"}:
            for camera in self._cameras.values():
                camera.overlay = self._new_overlay()

    def process(self, message: Frame | Objects | SignalState | Violation | ZoneEvent | PedestrianEvent) -> None:
        if isinstance(message, SignalState):
            for camera in self._cameras.values():
                camera.overlay.note(message)
            return
        camera = self._cameras.get(message.camera_id) or self._new_camera(message.camera_id)
        if isinstance(message, Event):
            self._event(camera, message)
        else:
            self._picture(camera, message)

    def _new_camera(self, name: str) -> _Camera:
        return self._cameras.setdefault(name, _Camera(self._new_overlay()))

    def _event(self, camera: _Camera, event: Violation | ZoneEvent | PedestrianEvent) -> None:
        """Draw it on the picture it was seen in, or on the next one where that has not arrived yet."""
        if isinstance(event, Violation):
            camera.overlay.note(event)
            if event.phase != "new":
                return
        if camera.seen is not None and camera.seen.time_s >= event.time_s:
            self._write(camera.overlay, camera.seen, _kind(event), event.id)
        elif len(camera.waiting) < WAITING_MAX:
            camera.waiting.append(event)

    def _picture(self, camera: _Camera, seen: Frame | Objects) -> None:
        camera.seen = seen
        while camera.waiting and camera.waiting[0].time_s <= seen.time_s:
            event = camera.waiting.popleft()
            self._write(camera.overlay, seen, _kind(event), event.id)
        if self.every_s is not None and not 0 <= seen.time_s - camera.last_s < self.every_s:
            camera.last_s = seen.time_s
            self._write(camera.overlay, seen, "view", "")

    def _write(self, overlay: Overlay, seen: Frame | Objects, kind: str, event_id: str) -> None:
        from flowrt_nodes._lib.cv import cv2

        ok, content = cv2.imencode(".jpg", overlay.draw(seen), [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        assert ok  # OpenCV can encode any picture as JPEG
        time = datetime.fromtimestamp(seen.time_s, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        name = "_".join(filter(None, (seen.camera_id, f"{time}Z", kind, event_id)))
        file = self._folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)[:200]}.jpg"
        partial = file.with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)  # of an earlier run, or planted there
            with os.fdopen(open_private(partial), "wb") as out:
                out.write(content.tobytes())
            partial.replace(file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OSError(f"the picture {file} can't be written: {error.strerror or error}") from None
        self._written += 1
        self._keep(file, len(content))

    def _keep(self, file: Path, size: int) -> None:
        """Count the file, and let the oldest go where there are too many."""
        if any(file == kept for kept, _ in self._kept):
            return
        self._kept.append((file, size))
        self._kept_bytes += size
        while len(self._kept) > self.keep_files or (self._kept_bytes > self.keep_mb * 1e6 and len(self._kept) > 1):
            oldest, its_size = self._kept.popleft()
            oldest.unlink(missing_ok=True)
            self._kept_bytes -= its_size

    def status(self) -> dict[str, Any]:
        return {"written": self._written, "files": len(self._kept), "mb": round(self._kept_bytes / 1e6, 1)}


class _Camera:
    """What is remembered of one camera: its last picture, and events that came before theirs."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.seen: Frame | Objects | None = None
        self.waiting: deque[Violation | ZoneEvent | PedestrianEvent] = deque()
        self.last_s = float("-inf")


def _kind(event: Violation | ZoneEvent | PedestrianEvent) -> str:
    if isinstance(event, Violation):
        return event.violation_type
    return f"{event.roi_id}_{event.event_type}" if isinstance(event, ZoneEvent) else event.event_type
