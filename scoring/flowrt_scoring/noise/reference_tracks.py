"""What was really there in a clip, as far as a larger detector tells: its boxes, linked over time, filled in and smoothed.

There is no truth for real clips. A larger model's boxes are linked by overlap into tracks; only tracks that last and that it sees most of
the time are believed; where it misses one in between, the box is interpolated. What it never sees is not known to be there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowrt_scoring.detector.average_precision import pairwise_iou

Floats = npt.NDArray[np.float64]

SURE = 0.3
"""Confidence of a reference's box from which it makes a track."""
LINK_IOU = 0.25
GAP_S, LEAST_S = 1.0, 1.0
LEAST_BOXES = 5
LEAST_SHARE = 0.5
"""A track that is seen less often in its time is not believed."""
SMOOTH_S = 0.35


class Seen(NamedTuple):
    """One picture through a detector: boxes (N, 4) corners in pixels, labels and confidences (N,)."""

    time_s: float
    boxes: Floats
    labels: tuple[str, ...]
    confidence: Floats


class Present(NamedTuple):
    """What was there in one picture: numbers of tracks (N,), boxes (N, 4), labels."""

    numbers: npt.NDArray[np.int64]
    boxes: Floats
    labels: tuple[str, ...]


@dataclass
class _Track:
    rows: list[int] = field(default_factory=list)
    boxes: list[Floats] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)

    def at(self, pictures: int) -> Floats:
        """Where it should be, `pictures` after the last box."""
        last = self.boxes[-1]
        if len(self.boxes) < 2:
            return last
        steps = self.rows[-1] - self.rows[-2]
        return last + (last - self.boxes[-2]) / steps * min(pictures, 3)


def present(pictures: list[Seen]) -> list[Present]:
    """What was there in each picture."""
    times = np.array([picture.time_s for picture in pictures])
    step_s = float(np.median(np.diff(times)))
    whole = [_whole(track, times, step_s) for track in _linked(pictures, round(GAP_S / step_s))]
    tracks = [each for each in whole if each is not None]
    result = []
    for row in range(len(pictures)):
        here = [i for i, (first, boxes, _) in enumerate(tracks) if first <= row < first + len(boxes)]
        boxes = np.array([tracks[i][1][row - tracks[i][0]] for i in here]).reshape(-1, 4)
        result.append(Present(np.array(here, np.int64), boxes, tuple(tracks[i][2] for i in here)))
    return result


def _linked(pictures: list[Seen], gap: int) -> list[_Track]:
    tracks: list[_Track] = []
    for row, picture in enumerate(pictures):
        sure = np.flatnonzero(picture.confidence >= SURE)
        boxes = picture.boxes[sure]
        alive = [track for track in tracks if row - track.rows[-1] <= gap]
        where = np.array([track.at(row - track.rows[-1]) for track in alive]).reshape(-1, 4)
        overlap = pairwise_iou(where, boxes)
        taken = {j: alive[i] for i, j in best_pairs(overlap, overlap >= LINK_IOU).items()}
        for j, box in enumerate(boxes):
            track = taken.get(j)
            if track is None:
                track = _Track()
                tracks.append(track)
            track.rows.append(row)
            track.boxes.append(box)
            track.labels[picture.labels[sure[j]]] += 1
    return tracks


def best_pairs(value: Floats, allowed: npt.NDArray[np.bool_]) -> dict[int, int]:
    """Rows to columns of a table (N, M): the largest value first, each row and column once."""
    pairs: dict[int, int] = {}
    for flat in np.argsort(-value, axis=None):
        i, j = divmod(int(flat), value.shape[1])
        if allowed[i, j] and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _whole(track: _Track, times: Floats, step_s: float) -> tuple[int, Floats, str] | None:
    """(first picture, boxes of every picture, class) of a track that is believed."""
    first, last = track.rows[0], track.rows[-1]
    span = last - first + 1
    if len(track.rows) < LEAST_BOXES or times[last] - times[first] < LEAST_S or len(track.rows) < LEAST_SHARE * span:
        return None
    every, known = np.arange(first, last + 1), np.array(track.boxes)
    filled = np.stack([np.interp(every, track.rows, known[:, edge]) for edge in range(4)], axis=1)
    return first, _smooth(filled, round(SMOOTH_S / step_s / 2)), track.labels.most_common(1)[0][0]


def _smooth(boxes: Floats, half: int) -> Floats:
    """A straight line through the pictures around each: the mean, where they are as many before as after."""
    smooth = boxes.copy()
    for row in range(len(boxes)):
        reach = min(half, row, len(boxes) - 1 - row)
        smooth[row] = boxes[row - reach : row + reach + 1].mean(axis=0)
    return smooth
