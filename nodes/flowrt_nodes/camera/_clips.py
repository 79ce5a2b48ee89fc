"""Recorded and simulated pictures: a video file, a folder of pictures, or the simulated intersection.

A clip gives every picture in order, each with its offset in seconds from the clip's first picture. Opening one checks that
it can be read at all and raises `ClipError` with one line for people where it can't.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from flowrt import Image
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera._containers import ends_amid_something, is_cut_off

if TYPE_CHECKING:
    from flowrt_sim.source import SimCamera

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
FOLDER_FPS = 10.0
ASSUMED_FPS = 25.0


class ClipError(ValueError):
    """A file or folder that is no usable clip; the text is one line for people."""


class Picture(NamedTuple):
    """One picture of a clip: image u8 (H, W, 3) BGR, seconds after the clip's first picture."""

    image: Image
    offset_s: float


class Clip(Protocol):
    """Pictures in order. fps: pictures per second. missing: what was found to be wrong at the end, empty when all is well."""

    fps: float
    missing: str

    def pictures(self, skip: int = 0) -> Iterator[Picture]:
        """All pictures from number `skip` on; may be called again for another round."""
        ...

    @property
    def round_s(self) -> float:
        """How long one round takes, for loops."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def is_picture(path: Path) -> bool:
    """Whether the name is that of a still picture."""
    return path.suffix.lower() in PICTURES


class VideoClip:
    """A video file, decoded by FFmpeg on the calling thread.

    One decoder thread: on two cores more of them gain little and take cores from inference. The number of frames that a container
    declares is a guess (edit lists hide frames, variable rates have no count), so fewer frames alone are no sign of damage.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise ClipError(f"{path.name}: there is no such file in {path.parent}")
        if path.stat().st_size == 0:
            raise ClipError(f"{path.name}: the file is empty")
        self.path = path
        self.missing = ""
        self._capture: cv2.VideoCapture | None = self._begin()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0.1 <= fps <= 1000 else ASSUMED_FPS
        self._declared = int(max(self._capture.get(cv2.CAP_PROP_FRAME_COUNT), 0))
        if not self._capture.grab():
            self.close()
            raise ClipError(f"{path.name}: the video has no frames that can be decoded")
        self._first: Image | None = _image(self._capture.retrieve()[1])
        self._round_s = 1.0 / self.fps

    def _begin(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not capture.isOpened():
            raise ClipError(f"{self.path.name}: {_why_unreadable(self.path)}")
        return capture

    @property
    def round_s(self) -> float:
        return self._round_s

    def pictures(self, skip: int = 0) -> Iterator[Picture]:
        image, self._first = self._first, None
        if image is None:  # another round: begin again rather than seek, which lands on key frames only
            self.close()
            self._capture = self._begin()
            image = _image(self._capture.read()[1])
        capture = self._capture
        assert capture is not None  # `_begin` raises where there is none
        number, offset_s = 0, 0.0
        first_s = capture.get(cv2.CAP_PROP_POS_MSEC) * 1e-3
        while image is not None:
            if number >= skip:
                yield Picture(image, offset_s)
            number += 1
            # The last picture is shown as long as the others on average, which holds for variable rates too.
            self._round_s = offset_s * number / (number - 1) if number > 1 else 1.0 / self.fps
            if not capture.grab():
                break
            # The container's time stamps are right for variable rates too; where they stand still, the rate decides.
            stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) * 1e-3 - first_s
            offset_s = stamp_s if stamp_s > offset_s else offset_s + 1.0 / self.fps
            if number >= skip:
                image = _image(capture.retrieve()[1])
        fewer = number < (self._declared or number + 1)
        if (fewer and is_cut_off(self.path)) or ends_amid_something(self.path):
            of = f" of {self._declared}" if self._declared else ""
            self.missing = f"ended after {number}{of} frames: the file is truncated or damaged"

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _image(mat: Any) -> Image | None:
    """What OpenCV returned, as the type it is; no copy."""
    return None if mat is None else np.asarray(mat, np.uint8)


def _why_unreadable(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp":
        return "the video can't be read: its index is missing, so the file is truncated, has no frames, or was never finished"
    if head[:4] in (b"RIFF", b"\x1aE\xdf\xa3"):
        return "the video can't be read: its header is damaged or its codec is unknown"
    return "the file is no video that can be read"


class FolderClip:
    """A folder of pictures in the natural order of their names, or one picture."""

    def __init__(self, path: Path, fps: float = FOLDER_FPS) -> None:
        if not path.exists():
            raise ClipError(f"{path.name}: there is no such file or folder in {path.parent}")
        names = [path] if path.is_file() else sorted(filter(is_picture, path.iterdir()), key=_natural)
        if not names:
            raise ClipError(f"{path.name}: the folder has no pictures ({', '.join(sorted(PICTURES))})")
        self.fps = fps
        self.missing = ""
        self._files = names
        if _read(names[0]) is None:
            raise ClipError(f"{names[0].name}: the file is no picture that can be read")

    @property
    def round_s(self) -> float:
        return len(self._files) / self.fps

    def pictures(self, skip: int = 0) -> Iterator[Picture]:
        unreadable = []
        for number, file in enumerate(self._files):
            if number < skip:
                continue
            image = _read(file)
            if image is None:
                unreadable.append(file.name)
            else:
                yield Picture(image, number / self.fps)
        if unreadable:
            self.missing = f"{len(unreadable)} pictures could not be read, the first is {unreadable[0]}"

    def close(self) -> None:
        """Nothing is held open."""


def _read(file: Path) -> Image | None:
    try:
        content = np.fromfile(file, np.uint8)
    except OSError:
        return None
    return _image(cv2.imdecode(content, cv2.IMREAD_COLOR)) if len(content) else None


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that puts picture_9 before picture_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


class SimClip:
    """The simulated intersection as a camera sees it (`sim://…`).

    elapsed_s: the time since the simulation began, for a camera that shows it as it happens: pictures that would come too late are
    never drawn. None draws every picture. store: a folder in which the painted scenery is kept for the next time.
    """

    def __init__(self, uri: str, elapsed_s: Callable[[], float] | None = None, store: Path | None = None) -> None:
        self._uri = uri
        self._store = store
        self._camera = self._begin()
        self._elapsed_s = elapsed_s
        self.fps = float(self._camera.fps)
        self.missing = ""
        self.left_out = 0

    @property
    def round_s(self) -> float:
        return (self._camera.frame_count or 0) / self.fps

    def pictures(self, skip: int = 0) -> Iterator[Picture]:
        count, number = self._camera.frame_count, skip
        while count is None or number < count:
            if self._elapsed_s is not None:
                due = int(self._elapsed_s() * self.fps)
                self.left_out += max(0, due - number)
                number = max(number, due)
            frame = self._camera.frame(number)
            yield Picture(frame.image, number / self.fps)
            number += 1
        self._camera = self._begin()

    def _begin(self) -> SimCamera:
        from flowrt_sim.source import open_camera  # only flows that use it pay for it
        from flowrt_sim.uri import parse

        return open_camera(parse(self._uri), self._store)

    def close(self) -> None:
        """Nothing is held open."""
