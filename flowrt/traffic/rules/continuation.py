"""Whether a new track continues an offender that was lost: road users are hidden for a moment and come back with another track id.

The lost offender is expected on the way from where it was last seen to where its velocity would have taken it meanwhile: vehicles
brake and stop, and pedestrians turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt.traffic.kinds import PEDESTRIANS
from flowrt.traffic.objects import Tracks
from flowrt.traffic.rules.history import Sample

# Margins: docs/rules.md says what each is for.
LOST_S = 60.0
ROOM_M, ROOM_SHARE = 2.0, 0.3
SLOW_M_S, TURNING_S = 1.5, 3.0
LEFT_S = 2.0
MOST_M_S2, ACCELERATING_S = 5.0, 0.5
FURTHEST_M, FURTHEST_ON_FOOT_M = 40.0, 12.0


class Sighting(NamedTuple):
    """A track in one picture."""

    tracks: Tracks
    row: int


def continues(
    tracks: Tracks, row: int, samples: Sequence[Sample], seen: Sighting, latest: Sighting, same: int | None
) -> bool:
    """Whether the track in this row goes on where an offender was lost.

    samples: the track's own past. seen, latest: where the offender last offended, and where its track was last.
    same: the row of the offender's track, where that is still in the picture.
    """
    if tracks.time_s - latest.tracks.time_s > LOST_S:
        return False
    left = same is None and latest.tracks.time_s - seen.tracks.time_s > LEFT_S
    before, then = latest if left else seen
    on_foot = bool(tracks.of_class(PEDESTRIANS)[row])
    again = next((s for s in samples if s.time_s >= before.time_s and s.x_m == s.x_m), None)
    if again is None or bool(before.of_class(PEDESTRIANS)[then]) != on_foot:
        return False
    start, place, gap_s = before.ground_m[then], np.array((again.x_m, again.y_m)), again.time_s - before.time_s
    way = np.nan_to_num(before.velocity_m_s[then]) * gap_s
    length_m = float(np.hypot(way[0], way[1]))
    if length_m > (FURTHEST_ON_FOOT_M if on_foot else FURTHEST_M):
        return False
    sigma_m_s = 0.0 if on_foot else float(np.nan_to_num(before.speed_sigma_kmh[then])) / 3.6
    slow = length_m <= (SLOW_M_S + sigma_m_s) * gap_s
    share, room_m = 1.0, ROOM_M
    if slow or on_foot:  # it may have stopped anywhere on the way
        share = min(max(float((place - start) @ way) / max(length_m, 1e-6) ** 2, 0.0), 1.0)
    if on_foot:
        room_m += SLOW_M_S * min(gap_s, TURNING_S)
    elif not slow:
        room_m += ROOM_SHARE * length_m
    off_m = _distance_m(place, start + way * share)
    if slow and not on_foot:  # a vehicle behind it may have had the new track before it took over the standing one
        off_m = min(off_m, _distance_m(tracks.ground_m[row], start))
    if not off_m <= room_m:
        return False
    # A track that is still there is the offender, unless it was handed to a road user that passed a standing one.
    return same is None or (slow and _distance_m(tracks.ground_m[same], start) > 2 * ROOM_M)


def handed_over(samples: Sequence[Sample]) -> bool:
    """Whether a track's samples speed up or slow down as no vehicle does: it was handed from one road user to another.

    From the mean velocities of half a second before and after each sample; one picture to the next is mostly noise.
    """
    known = [sample for sample in samples if sample.x_m == sample.x_m]
    time_s = np.array([sample.time_s for sample in known])
    place = np.array([(sample.x_m, sample.y_m) for sample in known])
    for now in range(1, len(known) - 1):
        first = int(np.searchsorted(time_s, time_s[now] - ACCELERATING_S - 1e-3))
        last = int(np.searchsorted(time_s, time_s[now] + ACCELERATING_S - 1e-3))
        if first == now or last == len(known):
            continue
        before = (place[now] - place[first]) / (time_s[now] - time_s[first])
        after = (place[last] - place[now]) / (time_s[last] - time_s[now])
        if 2 * float(np.hypot(*(after - before))) > MOST_M_S2 * (time_s[last] - time_s[first]):
            return True
    return False


def _distance_m(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))
