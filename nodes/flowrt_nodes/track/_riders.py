"""A person and the two-wheeler it rides are one road user: one detection before the association, one track after it.

A detector gives the two of them now as two boxes, now as one around both, now only one of the two. So
- `road_users` merges a person and the machine below it into one box of the machine's class, unless tracks that are known show that
  the two move differently; where a rider's track expects both and the picture shows only one, its box is completed;
- `remember` keeps with each track what was seen of the two, and says for which class a picture counts.

Lengths are in widths and heights of boxes, so that they hold at any distance. A rider sits: the feet are off the ground, or the box
around it ends at the wheels. A person that stands beside a machine or pushes it is off its middle; seen from the side, it has its feet at
the wheels and is taller than a rider.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowrt import PEDESTRIANS, Bools, Floats, Ints
from flowrt.traffic.geometry.footprint import TWO_WHEELERS
from flowrt_nodes.track._boxes import iou
from flowrt_nodes.track._track_columns import Columns, Doubles

ASIDE = 0.35
"""A rider's middle is off the machine's by at most this share of the wider box."""
BELOW, ABOVE = 0.15, 0.1
"""A rider's box reaches at most this share of the machine's height below the machine's; its top is at most this share of its own
height below the machine's top."""
TALLER = 2.2
"""A person of 1.7 m is at most this much taller than the box of a machine, of which the smallest are 0.8 m high."""
STANDS_TALLER, FEET_OFF, SIDE_VIEW = 1.45, 0.1, 1.2
"""Beside a machine seen from the side, wider than it is high by the third, stands a person that is so much taller than the machine while
its feet are less than the second share of the machine's height above the wheels: seated, they are a quarter above, and the head is lower.
Seen from the front, a person beside the machine is not above it."""
APART, MOVEMENT_S, KNOWN_S = 0.3, 1.0, 0.5
"""Two tracks move differently when their mean velocities of about the second differ by more than the first, in heights of the person per
second (0.5 m/s: nobody strolls as slowly). They are known once a track was followed for the third."""
RIDER_S, SHIFTED = 0.3, 0.2
"""A track has a rider once its pictures showed both for this long, without the one moving along the other by this share of the
wider box: a pedestrian that walks by a parked machine does so faster."""
GONE_S = 3.0
"""A rider that was not seen for this long on a machine that a walker could push has got off; a machine not seen for this long, while the
person moved, has been left if the two stood when it was seen last, or since: nobody gets off a machine that rolls, but far away a
detector finds riders without their machines."""
STANDS, PUSHED = 0.15, 1.5
"""In the box's heights per second: slower than the first (0.25 m/s) a road user stands, slower than the second (1.6 m/s) a machine
stands or is pushed."""
EXPECTED_IOU, BETTER_IOU = 0.5, 0.1
"""A box is completed where that brings it at least to the first overlap with the rider's track, and by the second nearer to it."""
SAME_IOU = 0.5
"""A detection continues a track whose predicted box it overlaps this much."""


class Classes:
    """Which of a model's classes are people, and which are two-wheelers."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.on_foot: Bools = np.isin(labels, list(PEDESTRIANS))
        self.machine: Bools = np.isin(labels, list(TWO_WHEELERS))


class RoadUsers(NamedTuple):
    """The detections of one picture, with a rider and its machine in one.

    row: which detection each was, the machine's where it is of two. person, machine: (N, 4) the boxes of the two, NaN where not seen.
    """

    row: Ints
    boxes: Floats
    confidence: Floats
    class_id: Ints
    person: Doubles
    machine: Doubles

    def only(self, rows: Bools) -> RoadUsers:
        """Those of a mask (N,)."""
        return RoadUsers(
            self.row[rows],
            self.boxes[rows],
            self.confidence[rows],
            self.class_id[rows],
            self.person[rows],
            self.machine[rows],
        )

    @property
    def both(self) -> Bools:
        """(N,): where person and machine were seen."""
        return np.isfinite(self.person[:, 0]) & np.isfinite(self.machine[:, 0])


def road_users(tracks: Columns, classes: Classes, boxes: Floats, confidence: Floats, class_id: Ints) -> RoadUsers:
    """Merge the persons among the detections with the machines they ride. tracks: as predicted for this picture."""
    people, machines = classes.on_foot[class_id].nonzero()[0], classes.machine[class_id].nonzero()[0]
    person, machine = np.full((2, len(boxes), 4), np.nan)
    person[people], machine[machines] = boxes[people], boxes[machines]
    users = RoadUsers(np.arange(len(boxes)), boxes, confidence, class_id, person, machine)
    if len(people) and len(machines):
        fits = _fits(person[people], machine[machines])
        if fits.any():
            fits *= ~_move_apart(tracks, classes, person[people], machine[machines])
        riders = (fits.max(axis=1) > 0).nonzero()[0]
        if len(riders):
            users = _merged(users, people[riders], machines[fits[riders].argmax(axis=1)])
    return _completed(tracks, users) if tracks.rider.any() else users


def _fits(person: Doubles, machine: Doubles) -> Doubles:
    """(P, M): how well each person sits on each machine, 0 where it does not."""
    wide, high = (person[:, i + 2] - person[:, i] for i in (0, 1))
    machine_wide, machine_high = (machine[:, i + 2] - machine[:, i] for i in (0, 1))
    off = (person[:, None, 0] + person[:, None, 2] - machine[:, 0] - machine[:, 2]) / 2
    aside = np.abs(off) / np.maximum(wide[:, None], machine_wide)
    feet_off = (machine[:, 3] - person[:, None, 3]) / machine_high
    above = (machine[:, 1] - person[:, None, 1]) / high[:, None]
    taller = high[:, None] / machine_high
    sits = (aside <= ASIDE) & (feet_off >= -BELOW) & (feet_off < 1) & (above >= -ABOVE) & (taller <= TALLER)
    sits &= ~((taller > STANDS_TALLER) & (feet_off < FEET_OFF) & (machine_wide > SIDE_VIEW * machine_high))
    return np.where(sits, 1.0 - aside, 0.0)


def _move_apart(tracks: Columns, classes: Classes, person: Doubles, machine: Doubles) -> Bools:
    """(P, M): pairs of which each has a track of its own, and these two move differently."""
    kind = tracks.votes.argmax(axis=1)
    walker, wheeler = (
        _track_of(tracks, which[kind], boxes)
        for which, boxes in ((classes.on_foot, person), (classes.machine, machine))
    )
    known = (walker >= 0)[:, None] & (wheeler >= 0)
    if not known.any():
        return known
    differ = tracks.movement[walker][:, None] - tracks.movement[wheeler]
    least = APART * tracks.state[walker, 3][:, None]
    return np.asarray(known & (np.hypot(differ[..., 0], differ[..., 1]) > least))


def _track_of(tracks: Columns, which: Bools, boxes: Doubles) -> Ints:
    """(D,): the track among `which`, known well, that continues in each box; -1 for none."""
    rows = (which & (tracks.number > 0) & (tracks.last_s - tracks.first_s >= KNOWN_S)).nonzero()[0]
    if not len(rows):
        return np.full(len(boxes), -1)
    overlap = iou(tracks.boxes[rows], boxes)
    return np.where(overlap.max(axis=0) >= SAME_IOU, rows[overlap.argmax(axis=0)], -1)


def _merged(users: RoadUsers, people: Ints, machines: Ints) -> RoadUsers:
    """Each of these persons on its machine; several may ride one."""
    boxes, confidence, person = users.boxes.copy(), users.confidence.copy(), users.person.copy()
    for rider, machine in zip(people.tolist(), machines.tolist(), strict=True):
        boxes[machine, :2] = np.minimum(boxes[machine, :2], boxes[rider, :2])
        boxes[machine, 2:] = np.maximum(boxes[machine, 2:], boxes[rider, 2:])
        confidence[machine] = max(confidence[machine], confidence[rider])
        person[machine, :2] = np.fmin(person[machine, :2], person[rider, :2])
        person[machine, 2:] = np.fmax(person[machine, 2:], person[rider, 2:])
    keep = np.ones(len(boxes), bool)
    keep[people] = False
    return RoadUsers(
        users.row[keep], boxes[keep], confidence[keep], users.class_id[keep], person[keep], users.machine[keep]
    )


def _completed(tracks: Columns, users: RoadUsers) -> RoadUsers:
    """Boxes of a rider or machine alone, completed to the two of them where a rider's track expects them."""
    riders = tracks.rider.nonzero()[0]
    expected = tracks.boxes[riders]
    boxes = users.boxes.copy()
    for part, other, within in (
        (users.person, users.machine, tracks.person_in[riders]),
        (users.machine, users.person, tracks.machine_in[riders]),
    ):
        for row in (np.isfinite(part[:, 0]) & np.isnan(other[:, 0])).nonzero()[0].tolist():
            whole = _whole(part[row], within)
            overlap = np.diagonal(iou(expected, whole))
            best = int(overlap.argmax())
            alone = float(iou(part[row : row + 1], expected).max())
            if overlap[best] < EXPECTED_IOU or overlap[best] < alone + BETTER_IOU:
                continue
            beside = np.isfinite(other[:, 0]) & (iou(whole[best : best + 1], other)[0] > 0)
            if not beside.any():  # else the two are there, but not as rider and machine
                boxes[row] = whole[best]
    return users._replace(boxes=boxes)


def _whole(part: Doubles, within: Doubles) -> Doubles:
    """(R, 4): boxes of which `part` (4,) is the share `within` (R, 4)."""
    size = (part[2:] - part[:2]) / np.maximum(within[:, 2:] - within[:, :2], 0.1)
    start = part[:2] - within[:, :2] * size
    return np.concatenate((start, start + size), axis=1)


def remember(tracks: Columns, rows: Ints, users: RoadUsers, found: Ints, classes: Classes, time_s: float) -> Ints:
    """Note in these tracks what of rider and machine the detections `found` showed; returns the classes that they count for.

    `last_s` and `hits` are still those of the pictures before.
    """
    gain = np.maximum((time_s - tracks.last_s[rows]) / MOVEMENT_S, 1.0 / tracks.hits[rows])
    tracks.movement[rows] += np.minimum(gain, 1.0)[:, None] * (tracks.speed[rows, :2] - tracks.movement[rows])
    person, machine = users.person[found], users.machine[found]
    both, class_id = users.both[found], users.class_id[found].copy()
    tracks.person_s[rows[np.isfinite(person[:, 0])]] = time_s
    tracks.machine_s[rows[np.isfinite(machine[:, 0])]] = time_s
    for i in both.nonzero()[0].tolist():
        _note_both(tracks, int(rows[i]), users.boxes[found[i]].astype(np.float64), person[i], machine[i], time_s)
        if tracks.rider[rows[i]]:  # whoever it was seen as before
            votes = tracks.votes[rows[i]]
            votes[class_id[i]] += votes[classes.on_foot].sum()
            votes[classes.on_foot] = 0.0
    speed = np.hypot(tracks.movement[rows, 0], tracks.movement[rows, 1]) / tracks.state[rows, 3]
    stands = speed < STANDS
    tracks.stood[rows] = stands | (tracks.stood[rows] & np.isnan(machine[:, 0]))
    tracks.machine_s[rows[tracks.rider[rows] & stands]] = time_s
    left = (time_s - tracks.machine_s[rows] > GONE_S) & tracks.stood[rows]
    left |= (time_s - tracks.person_s[rows] > GONE_S) & (speed < PUSHED)
    tracks.rider[rows[left]] = False
    tracks.both_since_s[rows[left]] = np.nan
    alone = tracks.rider[rows] & classes.on_foot[class_id]
    if alone.any():
        votes = np.where(classes.machine, tracks.votes[rows[alone]], -1.0)
        class_id[alone] = votes.argmax(axis=1)
    return class_id


def _note_both(tracks: Columns, row: int, box: Doubles, person: Doubles, machine: Doubles, time_s: float) -> None:
    """A picture showed a rider on its machine."""
    size = np.tile(np.maximum(box[2:] - box[:2], 1.0), 2)
    start = np.tile(box[:2], 2)
    tracks.person_in[row], tracks.machine_in[row] = (person - start) / size, (machine - start) / size
    seat = float(person[0] + person[2] - machine[0] - machine[2]) / (2 * size[0])
    if np.isnan(tracks.both_since_s[row]) or (not tracks.rider[row] and abs(seat - tracks.seat[row]) > SHIFTED):
        tracks.both_since_s[row], tracks.seat[row] = time_s, seat
    tracks.rider[row] |= time_s - tracks.both_since_s[row] >= RIDER_S - 1e-6
