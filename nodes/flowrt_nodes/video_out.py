"""A video file of what the flow sees."""

from __future__ import annotations

import itertools
import os
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from flowrt import (
    CheckView,
    Context,
    Diagnostic,
    Frame,
    Image,
    Message,
    Objects,
    SceneName,
    SignalState,
    Transform,
    Violation,
    scene_of,
    setting,
)
from flowrt.system.private_files import make_private_folder, open_private

if TYPE_CHECKING:
    import cv2

    from flowrt_nodes._lib.overlay import Overlay

CODES = {"mp4v": "mp4v", "vp9": "vp09"}
RATE_OF = 6
"""Without `fps` the file has the rate of the median of so many intervals: the first ones of a camera are often odd."""
RATE_MIN, RATE_MAX = 1.0, 60.0
GAP_MAX_S = 10.0
"""A longer pause between two pictures is not filled with the last one."""


class VideoOut(Transform):
    """An MP4 file with boxes, zones, lines and signals drawn, at a constant rate that keeps the flow's time.

    The file is whole once the flow ends or the node is removed; until then it is called `….partial.mp4`. Encoding takes its time
    on the lane: about 5 ms for a picture of 1280x720. Pictures of a second camera go to a file of their own.
    """

    guarantee = "none: the pictures since the file began are lost where the machine stops"
    example = """
video: {type: video_out, from: [tracks, violations], path: north.mp4, scene: north}
"""

    path: Annotated[
        str,
        setting("The file, ending in .mp4; relative to the flow's data folder.", pattern=r"\.mp4$", restart=True),
    ] = "video.mp4"
    scene: Annotated[SceneName, setting("The scene whose zones and lines are drawn.")] = ""
    labels: Annotated[
        Literal["legend", "zones", "objects", "none"],
        setting(
            "What is written: road users, and zones once in a legend; road users, and names on zones and lines; road users; nothing. "
            "A label for which there is no room is left out."
        ),
    ] = "legend"
    fps: (
        Annotated[
            float,
            setting(
                "Pictures per second of the file; without it the camera's own, as its first pictures show.",
                gt=0,
                le=240,
                restart=True,
            ),
        ]
        | None
    ) = None
    width_px: (
        Annotated[
            int, setting("Width of the file's pictures; without it the camera's own.", ge=64, le=7680, restart=True)
        ]
        | None
    ) = None
    codec: Annotated[
        Literal["mp4v", "vp9"], setting("mp4v is quick; vp9 is slow, small, and plays in browsers.", restart=True)
    ] = "mp4v"
    segment_s: (
        Annotated[float, setting("Begin a new, numbered file after this long; without it one file.", gt=0)] | None
    ) = None

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.path.startswith("/") and not Path(self.path).parent.is_dir():
            yield Diagnostic(("path",), f"there is no folder {Path(self.path).parent}")

    def open(self, context: Context) -> None:
        self._films: dict[str, _Film] = {}
        self._file = context.data / self.path
        make_private_folder(self._file.parent)

    def _new_overlay(self) -> Overlay:
        from flowrt_nodes._lib.overlay import Overlay  # brings OpenCV, which no check needs

        return Overlay(scene_of(self.context), self.labels)

    def reconfigured(self, changed: frozenset[str]) -> None:
        if changed & {"scene", "labels"}:
            for film in self._films.values():
                film.overlay = self._new_overlay()

    def process(self, message: Frame | Objects | SignalState | Violation) -> None:
        if isinstance(message, (SignalState, Violation)):
            for camera, film in self._films.items():
                if not message.camera_id or camera == message.camera_id:
                    film.overlay.note(message)
            return
        film = self._films.get(message.camera_id) or self._begin(message.camera_id)
        film.add(film.overlay.draw(message), message.time_s)

    def _begin(self, camera: str) -> _Film:
        file = self._file
        if self._films:
            file = file.with_stem(f"{file.stem}-{re.sub(r'[^A-Za-z0-9_-]', '_', camera)}")
        film = self._films[camera] = _Film(file, self, self._new_overlay())
        return film

    def finish(self) -> Iterable[Message]:
        for film in self._films.values():
            film.end()
        return ()

    def close(self) -> None:
        for film in self._films.values():
            film.end()

    def status(self) -> dict[str, Any]:
        return {camera: {"file": str(film.file), "pictures": film.written} for camera, film in self._films.items()}


class _Film:
    """One camera's file, or its row of numbered files."""

    def __init__(self, file: Path, settings: VideoOut, overlay: Overlay) -> None:
        self.file = file
        self.overlay = overlay
        self.written = 0
        self._settings = settings
        self._segment = 0
        self._fps = settings.fps
        self._waiting: list[tuple[Image, float]] = []
        self._writer: cv2.VideoWriter | None = None
        self._began_s = 0.0
        self._count = 0
        self._last: Image | None = None

    def add(self, picture: Image, time_s: float) -> None:
        """Write the picture where its time belongs; a pause shows the last one, a picture too many is left out."""
        if self._settings.width_px is not None:
            picture = _resized(picture, self._settings.width_px)
        picture = picture[: picture.shape[0] & ~1, : picture.shape[1] & ~1]  # the codecs want even sides
        if self._fps is None:
            if (
                self._waiting and time_s <= self._waiting[-1][1]
            ):  # time went back: what came before says nothing of the rate
                self._waiting.clear()
            self._waiting.append((picture, time_s))
            if len(self._waiting) > RATE_OF:
                self._begin()
            return
        self._write(picture, time_s, self._fps)

    def _begin(self) -> None:
        """Write the pictures that waited for the rate."""
        waiting, self._waiting = self._waiting, []
        times = [time_s for _, time_s in waiting]
        intervals = [b - a for a, b in itertools.pairwise(times)]
        rate = 1.0 / statistics.median(intervals) if intervals else 1.0
        self._fps = min(max(round(rate, 2), RATE_MIN), RATE_MAX)
        for picture, time_s in waiting:
            self._write(picture, time_s, self._fps)

    def _write(self, picture: Image, time_s: float, fps: float) -> None:
        segment_s = self._settings.segment_s
        offset_s = time_s - self._began_s
        again = self._last is not None and picture.shape != self._last.shape
        if self._writer is not None and (again or offset_s < 0 or (segment_s is not None and offset_s >= segment_s)):
            self._close()
        if self._writer is None:
            self._writer = self._open(picture, fps)
            self._began_s, self._count, offset_s = time_s, 0, 0.0
        place = round(offset_s * fps)
        if place - self._count > GAP_MAX_S * fps:
            self._began_s += (place - self._count) / fps
            place = self._count
        while self._last is not None and self._count < place:
            self._put(self._writer, self._last)
        if self._count == place:
            self._put(self._writer, picture)
        self._last = picture

    def _put(self, writer: cv2.VideoWriter, picture: Image) -> None:
        writer.write(picture)
        self._count += 1
        self.written += 1

    def _open(self, picture: Image, fps: float) -> cv2.VideoWriter:
        from flowrt_nodes._lib.cv import cv2

        height, width = picture.shape[:2]
        code = cv2.VideoWriter.fourcc(*CODES[self._settings.codec])
        os.close(open_private(self._partial))
        writer = cv2.VideoWriter(str(self._partial), cv2.CAP_FFMPEG, code, fps, (width, height))
        if not writer.isOpened():
            raise OSError(f"{self._partial} can't be written (folder missing, read-only or full, or no such codec)")
        self._last = None
        return writer

    @property
    def _partial(self) -> Path:
        return self.file.with_suffix(".partial.mp4")

    def _close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        numbered = (
            self.file.with_stem(f"{self.file.stem}-{self._segment:03d}") if self._settings.segment_s else self.file
        )
        self._segment += 1
        self._partial.replace(numbered)

    def end(self) -> None:
        """Make the file whole."""
        if self._waiting:
            self._begin()
        self._close()


def _resized(picture: Image, width_px: int) -> Image:
    import numpy as np

    from flowrt_nodes._lib.cv import cv2

    height = round(picture.shape[0] * width_px / picture.shape[1])
    return np.asarray(cv2.resize(picture, (width_px, height), interpolation=cv2.INTER_AREA), np.uint8)
