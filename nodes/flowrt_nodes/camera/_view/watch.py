"""Whether a camera still shows what it showed when its scene was drawn: it has moved, is blind, frozen or out of focus, or the picture was cut.

Every `CHECK_S` of capture time the picture is shrunk and averaged with those before, so that traffic and rain fade, and compared with a
reference (`shift.py`): the still that the scene was drawn on, or the first pictures. Each fault is told only once several checks in a row
saw it. A cut is seen within a tenth of a second: nothing of the pattern is that of the picture before.

Light changes: where the reference is not recognised any more, pictures of the last minutes stand in for it, whose own shift is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from flowrt import Floats, Image, ViewFault
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera._view import shift

ViewState = Literal["", "ok", "moved", "other", "blind", "frozen", "blurred"]

CHECK_S, FIRST_CHECKS_S = 4.0, 1.0
"""Between two checks; the second until there is a reference."""
CUT_EVERY_S = 0.09
"""A cut is looked for in ten pictures a second at most."""
WIDTH_PX = 640
"""Sharpness is measured in pictures of this width, shifts in pictures of half of it."""
NEWEST = 0.4
"""The share of the newest picture in the average."""
SETTLED = 3
"""Checks that are averaged into a reference, and checks in a row before a fault or its end is reported."""
FROZEN_CHECKS = 6
"""Checks with an identical picture until `frozen` is reported, those of SETTLED included: about 25 s at one each CHECK_S."""
BLIND = 4.0
"""Standard deviation of the grey levels: a night without a lamp has more."""
BLURRED = 0.3
"""Share of the usual sharpness."""
RENEW_CHECKS = 100
"""After so many checks without a fault, seven minutes, what is usual is learned anew."""
MAX_SHIFT = 0.003
"""Share of the picture's width by which it may shift where nothing else is said."""
CUT = 0.12
"""Correlation of two pictures' patterns, one after the other: between views of different places it is 0.0 +- 0.1."""
PATTERN = 200.0
"""A pattern weaker than this is that of an empty picture, which tells no cut."""


class Finding(NamedTuple):
    """What a check found. shift_px: how far the picture has shifted; None where that is not known. text: for people."""

    state: ViewState = ""
    shift_px: float | None = None
    text: str = ""


class Reference(NamedTuple):
    """A picture to compare with, and where what it shows lay in the first reference: (2, 3), in its pixels."""

    grey: Floats
    pose: Floats


class ViewWatch:
    """Watches the pictures of one camera. `finding` is replaced, never changed: other threads may read it."""

    def __init__(self, max_shift_px: float | None = None, *, live: bool, still: Image | None = None) -> None:
        """live: a camera whose pictures are never twice the same. still: of the view that the scene was drawn on."""
        self.finding = Finding()
        self.cuts = 0
        self._max_shift_px, self._live = max_shift_px, live
        self._checked_s = self._compared_s = -np.inf
        self._pattern: Floats | None = None
        self._size_px = (0, 0)
        self._still = still
        self._begin()

    @property
    def fault(self) -> ViewFault:
        """Why the picture is not that which the scene was drawn on; a blurred one still is."""
        state = self.finding.state
        return "" if state == "ok" or state == "blurred" else state  # mypy narrows by comparison only

    def facts(self) -> dict[str, object]:
        """For `/api/status`."""
        state, shift_px, text = self.finding
        return {"view": state, "view_detail": text, "shift_px": shift_px}

    def take_over(self, before: ViewWatch) -> None:
        """Go on as one that watched the same camera before, with this one's limit."""
        limit_px = self._max_shift_px
        vars(self).update(vars(before))
        self._max_shift_px = limit_px

    def _begin(self) -> None:
        """Pictures of another size: nothing that was learned is of use."""
        self._average: Floats | None = None
        self._averaged = 0
        self._last: Image | None = None
        self._identical = 0
        self._sharpness = self._usual_sharpness = 0.0
        self._first: Reference | None = None
        self._recent: Reference | None = None
        self._seen: ViewState = ""
        self._seen_checks = 0
        self._ok_checks = 0

    def observe(self, image: Image, time_s: float) -> bool:
        """Look at a picture; whether the finding is another one now."""
        before = self.finding
        if (image.shape[1], image.shape[0]) != self._size_px:
            self._size_px, self._pattern = (image.shape[1], image.shape[0]), None
            self._begin()
            self._take_still()
        every_s = FIRST_CHECKS_S if self._recent is None else CHECK_S
        if self._is_cut(image, time_s):
            self.cuts += 1
            self._average, self._averaged = None, 0
            self._checked_s = time_s
            self._seen_checks = 0
            if self._first is not None:  # silent at once; the next checks say whether it is the same view after all
                self.finding = Finding("other", None, "the picture was cut to another view")
        elif not 0.0 <= time_s - self._checked_s < every_s:
            self._checked_s = time_s
            self._check(image)
        return self.finding.state != before.state

    def _take_still(self) -> None:
        if self._still is None:
            return
        still = cv2.resize(self._still, self._size_px, interpolation=cv2.INTER_AREA)
        grey = _shrunk(np.asarray(still, np.uint8))[1]
        self._first = Reference(grey.astype(np.float32), shift.NONE)

    def _is_cut(self, image: Image, time_s: float) -> bool:
        """Whether the picture shows nothing of what the one looked at before showed."""
        if 0.0 <= time_s - self._compared_s < CUT_EVERY_S:
            return False
        self._compared_s = time_s
        height, width = image.shape[:2]
        sample = image[height // 56 :: max(height // 28, 1), width // 96 :: max(width // 48, 1), 1].astype(np.float32)
        sample -= cv2.blur(sample, (9, 9))
        strength = float(np.linalg.norm(sample))
        if strength < PATTERN:
            return False
        before, self._pattern = self._pattern, sample / strength
        return before is not None and float(np.vdot(before, self._pattern)) < CUT

    def _check(self, image: Image) -> None:
        sharp, grey = _shrunk(image)
        self._identical = self._identical + 1 if self._last is not None and np.array_equal(grey, self._last) else 0
        self._last = grey
        contrast = float(sharp.var())
        sharpness = float(cv2.Laplacian(sharp, cv2.CV_32F).var()) / max(contrast, 1.0)
        if self._average is None:
            self._average, self._sharpness = grey.astype(np.float32), sharpness
        else:
            cv2.accumulateWeighted(grey, self._average, NEWEST)
            self._sharpness += NEWEST * (sharpness - self._sharpness)
        self._averaged += 1
        self._settle(self._found())

    def _found(self) -> Finding:
        """What this check alone says."""
        average = self._average
        assert average is not None  # `_check` made it
        if float(average.std()) < BLIND:
            return Finding("blind", None, "the picture shows nothing: covered, dark, or without a signal")
        if self._live and self._identical >= FROZEN_CHECKS - SETTLED:
            return Finding("frozen", None, f"the same picture for {self._identical * CHECK_S:.0f} s")
        if self._usual_sharpness and self._sharpness < BLURRED * self._usual_sharpness:
            return Finding("blurred", None, "the picture has lost its edges: out of focus, dirt, fog")
        if self._first is None:
            return Finding("")
        moved = self._movement(average)
        if moved is None and self._recent is None:
            return Finding("")  # a still taken in other light, or of another view: nobody can tell
        if moved is None:
            return Finding("other", None, "the camera shows another view than at first")
        shift_px = round(shift.mean_px(moved, average.shape) * self._size_px[0] / average.shape[1], 1)
        limit_px = MAX_SHIFT * self._size_px[0] if self._max_shift_px is None else self._max_shift_px
        if shift_px > limit_px:
            return Finding("moved", shift_px, f"the picture has shifted by {shift_px:g} px, more than {limit_px:.3g}")
        return Finding("ok", shift_px)

    def _movement(self, average: Floats) -> Floats | None:
        """(2, 3): from the first reference to now; None where neither it nor what was seen lately is recognised."""
        for reference in (self._first, self._recent):
            if reference is not None:
                moved = shift.between(reference.grey, average)
                if moved is not None:
                    return shift.after(reference.pose, moved)
        return None

    def _settle(self, found: Finding) -> None:
        """Tell what was found once it has lasted, and learn from what is as it should be."""
        self._seen_checks = self._seen_checks + 1 if found.state == self._seen else 1
        self._seen = found.state
        if self._recent is None and found.state != "ok":
            if found.state == "" and self._averaged >= SETTLED:
                self._learn(shift.NONE)
                self.finding = Finding("ok", 0.0)
            elif found.state and self._seen_checks >= SETTLED:
                self.finding = found
            return
        if self._seen_checks >= SETTLED or found.state == self.finding.state:
            self.finding = found
        self._ok_checks = self._ok_checks + 1 if found.state == "ok" else 0
        if self._ok_checks and (not self._usual_sharpness or self._ok_checks % RENEW_CHECKS == 0):
            average = self._average
            assert average is not None  # `_check` made it
            moved = self._movement(average)
            if moved is not None:
                self._learn(moved)

    def _learn(self, pose: Floats) -> None:
        """Take the average as what is usual."""
        assert self._average is not None  # `_check` made it
        self._recent = Reference(self._average.copy(), pose)
        self._first = self._first or self._recent
        self._usual_sharpness = self._sharpness


def still_of(file: Path) -> Image:
    """The picture in a file. Raises ValueError."""
    image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) if file.stat().st_size else None
    if image is None:
        raise ValueError(f"view: {file.name} is no picture that can be read")
    return np.asarray(image, np.uint8)


def _shrunk(image: Image) -> tuple[Image, Image]:
    """The picture in grey at WIDTH_PX, and at half of that."""
    height, width = image.shape[:2]
    size = (WIDTH_PX, max(round(height * WIDTH_PX / width), 2))
    sharp = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    half = cv2.resize(sharp, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(sharp, np.uint8), np.asarray(half, np.uint8)
