"""Tracking by association in two stages, with time-aware constant-velocity filters, all tracks of a camera at once.

After ByteTrack, Zhang et al., arXiv:2110.06864: confident detections are matched first, then the others, with the tracks that
were left over. Different here:
- Time is the pictures' capture time, so that dropped and irregular pictures don't bend the motion (the filter: `_track_columns`).
- Overlap is taken between boxes grown by the uncertainty of the track's position: a track whose velocity is not known yet, or that
  was not seen for a while, finds its vehicle a little further away.
- A track is confirmed, and gets a number, once it was seen for `confirm_s` with enough confidence on average. So parts of a
  truck that look like a motorcycle now and then get no number.
- Besides overlapping, a detection must lie where the track can be: Mahalanobis' distance between the two centres is bounded (as in
  Wojke et al., DeepSORT, arXiv:1703.07402). Else, in a queue, a car that is hidden for a moment hands its track to the one behind.
- Pedestrians and two-wheelers are associated with each other: a pedestrian among cars is now and then taken for a rider. The class
  of a track is the vote of all its pictures, until it has clearly passed to another object. A track seen only once or twice
  takes whichever of the two is left over: else a runner that looks like a rider in every other picture never gets a number.
- A pedestrian that stood when last seen, a moment ago, may have begun to run: its track takes what is left over within reach.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lap
import numpy as np

from flowrt import PEDESTRIANS, VEHICLES, Bools, Floats, Ints
from flowrt.traffic.geometry.footprint import SIZES_M, TWO_WHEELERS, UNKNOWN_M
from flowrt_nodes.track._boxes import iou
from flowrt_nodes.track._riders import Classes, RoadUsers, remember, road_users
from flowrt_nodes.track._track_columns import MEASURED, SWERVE, UNKNOWN, Columns, Doubles, size_of

LIGHT, HEAVY = 1, 2
"""The groups of pedestrians and two-wheelers, and of other vehicles; see `_groups`."""

GROW_MAX, GROW_FIRST = 0.5, 2.0
"""Boxes are grown by at most this share of their size; those seen in one picture only, whose velocity is unknown, by as far as
`UNKNOWN` lets them go, and at most by the second."""
RESIZE_MAX = 2.0
"""A box more than so many times wider or higher than its track is not the same object."""
STRIDE_MAX = 3.5
"""The same for the width of pedestrians, which are broad with their legs apart."""
FAR_OFF = 16.0
"""A detection further than this squared distance in standard deviations from the predicted position is another object (with two
degrees of freedom, 1 in 3,000 of its own is)."""
REACH, SWERVE_M_S2 = 0.5, 6.0
"""A box is off its road user by at most this share of its size; a road user changes its velocity by at most the second: hard braking on
a dry road."""
PIXEL_PX = 1.0
"""Standard deviation of a centre in any case."""
SECOND_IOU = 0.5
SECOND_S = 0.5
"""Detections of low confidence continue tracks that were seen this long ago at most."""
EDGE_PX, EDGE_S = 3.0, 0.25
"""A track that moved out over the left, right or lower border ends when it was not seen for this long."""
UNCONFIRMED_IOU = 0.25
MISSED_SHARE = 0.5
"""A track that is not confirmed yet ends when it was not seen for this share of `confirm_s`."""
SAME_OBJECT_IOU = 0.5
OTHER_KIND_IOU = 0.65
"""The same for a box of another kind: a scooter and the "car" around it. Of two road users, one hides more of the other than that."""
NESTED, SAME_GROUND = 0.75, 0.1
"""A box with this share within another's of its class, that ends at most the second share of the other's height from its lower edge, is a
part of it. What stands behind ends higher."""
MISTAKEN = 0.7
"""A pedestrian may be taken for a rider now and then; a box that is confidently the other of the two is this much less similar."""
STANDING, RUNNING, SLACK, HEIGHT_CHANGE, HIDDEN_S = 0.25, 1.9, 0.3, 1.35, 1.0
"""A pedestrian slower than the first (heights per second, of 1.7 m) may have begun to run, at most as fast as the second, while it
was hidden behind a post or a car, at most as long as the last; how far off it may be in any case, and how much its height may change."""
PART = 0.6
"""A pedestrian or two-wheeler with this share of its box within a vehicle's box may be a part of it."""


class Limits(NamedTuple):
    """The settings of `track` that the association uses."""

    high_confidence: float
    low_confidence: float
    new_confidence: float
    match_iou: float
    confirm_s: float
    confirm_frames: int | None
    lost_s: float


class ConfirmedTracks(NamedTuple):
    """The confirmed tracks in a picture, as columns. row: which detection each is; boxes: of rider and machine, where it is both."""

    row: Ints
    boxes: Floats
    rider: Bools
    number: Ints
    age_s: Floats
    first_boxes: Floats
    velocity_px_s: Floats
    class_id: Ints


class ByteTrack:
    """The tracks of one camera."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._take_labels(labels)
        self.tracks = Columns.none(len(labels))
        self.time_s: float | None = None
        self.picture_px: tuple[int, int] | None = None

    def _take_labels(self, labels: tuple[str, ...]) -> None:
        self.labels, self._groups, self._classes = labels, _groups(labels), Classes(labels)
        self._on_foot = self._classes.on_foot
        sides_m = [SIZES_M.get(name, UNKNOWN_M) for name in labels]
        self._size_m = np.array([np.sqrt(width * height) for _, width, height in sides_m])

    def relabel(self, labels: tuple[str, ...]) -> None:
        """Go on with a model of other classes: votes move to the classes of the same name."""
        if labels == self.labels:
            return
        votes = np.zeros((len(self.tracks), len(labels)))
        self.tracks.latest_class = np.full(len(self.tracks), -1)
        for i, name in enumerate(labels):
            if name in self.labels:
                votes[:, i] = self.tracks.votes[:, self.labels.index(name)]
        self.tracks.votes = votes
        self._take_labels(labels)

    def update(
        self, time_s: float, boxes: Floats, confidence: Floats, class_id: Ints, limits: Limits, next_number: int
    ) -> tuple[ConfirmedTracks, int]:
        """Associate one picture's detections. Returns the confirmed tracks in it, and the next free number."""
        tracks, dt_s = self._moved_to(time_s, limits)
        users = road_users(tracks, self._classes, boxes, confidence, class_id)
        users = self._without_parts(users)
        boxes, confidence, class_id = users.boxes, users.confidence, users.class_id
        measured = _centred(boxes)
        found = np.full(len(tracks), -1)
        confirmed = tracks.number > 0
        in_sight = tracks.last_s >= time_s - max(dt_s, SECOND_S) - 1e-6
        confident = _where(confidence >= limits.high_confidence)
        uncertain = _where((confidence < limits.high_confidence) & (confidence >= limits.low_confidence))
        overlap, similarity = self._similarity(boxes, measured, class_id, confidence)

        confident = _match(similarity, found, _where(confirmed), confident, limits.match_iou)
        _match(similarity, found, _where(confirmed & in_sight & (found < 0)), uncertain, SECOND_IOU)
        least = max(limits.match_iou, UNCONFIRMED_IOU)
        confident = _match(similarity, found, _where(~confirmed), confident, least)
        confident = _match(overlap, found, _where(~confirmed & (found < 0)), confident, least)

        if len(confident):  # rare: an object that no track explains
            stood = _where(self._standing_pedestrians(time_s) & confirmed & (found < 0))
            if len(stood):
                confident = _match(self._within_reach(measured, class_id, time_s), found, stood, confident, 1e-6)

        rows = _where(found >= 0)
        if len(rows):
            tracks.correct(rows, measured[found[rows]])
            shown_as = remember(tracks, rows, users, found[rows], self._classes, time_s)
            tracks.last_s[rows] = time_s
            tracks.hits[rows] += 1
            tracks.vote(rows, shown_as, confidence[found[rows]], time_s)
        tracks.pictures += 1
        confident = confident[confidence[confident] >= limits.new_confidence]
        new = self._new_objects(boxes, class_id, confidence, confident, found[rows])
        stay = confirmed | (found >= 0)
        if limits.confirm_frames is None:
            stay |= time_s - tracks.last_s <= MISSED_SHARE * limits.confirm_s
        if not stay.all():
            tracks, found = tracks.take(stay), found[stay]
        if len(new):
            votes = np.zeros((len(new), len(self.labels)))
            votes[np.arange(len(new)), class_id[new]] = confidence[new]
            tracks = tracks.with_more(Columns.born(measured[new], time_s, votes))
            found = np.concatenate((found, new))
            remember(tracks, np.arange(len(tracks) - len(new), len(tracks)), users, new, self._classes, time_s)
        credible = tracks.votes.sum(axis=1) >= limits.new_confidence * tracks.hits
        fresh = _where((tracks.number == 0) & (found >= 0) & credible & _seen_for_long(tracks, time_s, limits))
        tracks.number[fresh] = np.arange(next_number, next_number + len(fresh))
        self.tracks = tracks
        return self._confirmed(users, found, time_s), next_number + len(fresh)

    def _moved_to(self, time_s: float, limits: Limits) -> tuple[Columns, float]:
        """The tracks, predicted; those not seen for `lost_s` are gone, and all are when time went back (a clip began again)."""
        dt_s = 0.0 if self.time_s is None else time_s - self.time_s
        previous_s, self.time_s = self.time_s, time_s
        if dt_s < 0:
            self.tracks = Columns.none(len(self.labels))
        tracks = self.tracks
        unseen_s = time_s - tracks.last_s
        recent = unseen_s <= limits.lost_s + 1e-6
        if self.picture_px is not None and previous_s is not None:
            for row in _where(
                recent & (unseen_s > 1.5 * max(dt_s, 0.0))
            ):  # few, so plain numbers cost less than columns
                recent[row] = not self._has_left(row, float(unseen_s[row]), dt_s)
        if not recent.all():
            tracks = self.tracks = tracks.take(recent)
        if len(tracks) and dt_s > 0 and previous_s is not None:
            tracks.predict(dt_s, tracks.last_s < previous_s)
        return tracks, max(dt_s, 0.0)

    def _has_left(self, row: int, unseen_s: float, dt_s: float) -> bool:
        """Whether a track that the last picture did not show went out over the left, right or lower border.

        A road user that vanished there has left; what shows up there next is another one.
        """
        assert self.picture_px is not None  # `update` is called after the picture size is set
        width, height = self.picture_px
        x, y, wide, high = self.tracks.state[row].tolist()
        speed_x, speed_y = self.tracks.speed[row, :2].tolist()
        # Between two pictures a near vehicle drives a hundred pixels, so it need not have touched the border.
        ahead_x, ahead_y = x + speed_x * dt_s, y + speed_y * dt_s
        if ahead_x < 0 or ahead_x > width or ahead_y > height:
            return True
        before_s = unseen_s - dt_s  # the state is of the picture before: back to where it was seen last
        left, right = x - wide / 2 - speed_x * before_s, x + wide / 2 - speed_x * before_s
        bottom = y + high / 2 - speed_y * before_s
        touched = (
            (abs(left) <= EDGE_PX and speed_x < 0)
            or (abs(right - width) <= EDGE_PX and speed_x > 0)
            or (abs(bottom - height) <= EDGE_PX and speed_y > 0)
        )
        return touched and unseen_s > EDGE_S

    def _similarity(
        self, boxes: Floats, measured: Doubles, class_id: Ints, confidence: Floats
    ) -> tuple[Doubles, Doubles]:
        """(T, D) twice: overlap of grown boxes, 0 between a pedestrian and a car and where size or position differ too much; and the
        same, less between a pedestrian and a rider."""
        tracks = self.tracks
        if not len(tracks) or not len(boxes):
            nothing = np.zeros((len(tracks), len(boxes)))
            return nothing, nothing
        size = size_of(tracks.state)[:, 0]
        unknown = np.sqrt(np.maximum(tracks.pp[:, 0], tracks.pp[:, 1])) - MEASURED[0] * size
        assert self.time_s is not None  # `_moved_to` set it
        gone = np.where(tracks.hits == 1, UNKNOWN[0] * (self.time_s - tracks.last_s), 0.0)
        most = np.clip(gone, GROW_MAX, GROW_FIRST)
        grow = np.minimum(np.maximum(unknown, 0.0), most * size)
        overlap = iou(tracks.boxes, boxes.astype(np.float64), grow)
        kind, kind_seen = self._groups[tracks.votes.argmax(axis=1)], self._groups[class_id]
        change = tracks.state[:, None, 2:] / measured[None, :, 2:]
        np.maximum(change, 1.0 / change, out=change)
        most = np.full((len(boxes), 2), RESIZE_MAX)
        most[kind_seen == LIGHT, 0] = STRIDE_MAX
        off = tracks.state[:, None, :2] - measured[None, :, :2]
        expected = tracks.pp[:, :2] + (MEASURED[:2] * size[:, None]) ** 2 + PIXEL_PX**2
        near = (off**2 / expected[:, None]).sum(axis=2) <= FAR_OFF
        near &= np.hypot(off[..., 0], off[..., 1]) <= self._reach_px(size)[:, None]
        overlap *= near & (kind[:, None] == kind_seen) & (change <= most).all(axis=2)
        light, similarity = kind_seen == LIGHT, overlap
        if light.any():
            walking = self._on_foot[class_id]
            share = tracks.votes[:, self._on_foot].sum(axis=1) / np.maximum(tracks.votes.sum(axis=1), 1e-9)
            other = np.where(walking, 1.0 - share[:, None], share[:, None])
            similarity = overlap * (1.0 - MISTAKEN * np.where(light, other * confidence, 0.0))
        return overlap, similarity

    def _reach_px(self, size: Doubles) -> Doubles:
        """(T,): how far from where it is expected a track may be found: as far as a road user speeds up, brakes or swerves, and as its
        velocity was not known when it was seen last."""
        tracks = self.tracks
        assert self.time_s is not None  # `_moved_to` set it
        gone_s = self.time_s - tracks.last_s
        size_m = self._size_m[tracks.votes.argmax(axis=1)]
        drift = (SWERVE[:2] * size[:, None]) ** 2 * gone_s[:, None]
        unknown = np.sqrt(np.maximum(tracks.vv[:, :2] - drift, 0.0).max(axis=1))
        return np.asarray(REACH * size + (0.5 * SWERVE_M_S2 / size_m * size * gone_s + unknown) * gone_s)

    def _standing_pedestrians(self, time_s: float) -> Bools:
        """(T,): pedestrians that stood when last seen, not long ago."""
        tracks = self.tracks
        speed = np.hypot(tracks.speed[:, 0], tracks.speed[:, 1])
        standing = speed < STANDING * tracks.state[:, 3]
        return np.asarray(
            standing & self._on_foot[tracks.votes.argmax(axis=1)] & (time_s - tracks.last_s <= HIDDEN_S + 1e-6)
        )

    def _within_reach(self, measured: Doubles, class_id: Ints, time_s: float) -> Doubles:
        """(T, D): 1 for a pedestrian in the same place, 0 where it cannot have run to since it was last seen."""
        tracks = self.tracks
        high = tracks.state[:, 3]
        reach = (SLACK + RUNNING * (time_s - tracks.last_s)) * high
        way = tracks.state[:, None, :2] - measured[:, :2]
        change = high[:, None] / measured[:, 3]
        fits = (np.maximum(change, 1.0 / change) <= HEIGHT_CHANGE) & (self._groups[class_id] == LIGHT)
        return np.where(fits, np.maximum(1.0 - np.hypot(way[..., 0], way[..., 1]) / reach[:, None], 0.0), 0.0)

    def _new_objects(self, boxes: Floats, class_id: Ints, confidence: Floats, rows: Ints, taken: Ints) -> Ints:
        """The rows that are no second box around a tracked object or a more confident new one, and no part of a vehicle that looks
        like a pedestrian or a two-wheeler: within its box, and not in front of it."""
        if not len(rows):
            return rows
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        before = np.concatenate((taken, rows))
        overlap = iou(boxes[rows].astype(np.float64), boxes[before].astype(np.float64))
        same = self._groups[class_id[rows]][:, None] == self._groups[class_id[before]][None, :]
        earlier = np.arange(len(before))[None, :] < np.arange(len(taken), len(before))[:, None]
        again = (overlap > SAME_OBJECT_IOU) & (same | (overlap > OTHER_KIND_IOU))
        again |= self._nested(boxes, class_id, rows, before)
        second: Bools = (again & earlier).any(axis=1)
        heavy = np.concatenate((taken, rows[~second]))
        heavy = heavy[self._groups[class_id[heavy]] == HEAVY]
        if len(heavy):
            part = _inside(boxes[rows], boxes[heavy], PART) & (boxes[rows, 3][:, None] < boxes[heavy, 3] - PIXEL_PX)
            second |= part.any(axis=1) & (self._groups[class_id[rows]] == LIGHT)
        return np.sort(rows[~second])

    def _without_parts(self, users: RoadUsers) -> RoadUsers:
        """The detections without those that are a part of a vehicle that is seen at least as clearly."""
        heavy = _where(self._groups[users.class_id] == HEAVY)
        if len(heavy) < 2:
            return users
        confidence = users.confidence[heavy]
        part = self._nested(users.boxes, users.class_id, heavy, heavy) & (confidence[:, None] <= confidence)
        np.fill_diagonal(part, False)
        if not part.any():
            return users
        part &= ~(part.T & (np.arange(len(heavy))[:, None] < np.arange(len(heavy))))  # of two alike, one stays
        keep = np.ones(len(users.boxes), bool)
        keep[heavy[part.any(axis=1)]] = False
        return users.only(keep)

    @staticmethod
    def _nested(boxes: Floats, class_id: Ints, rows: Ints, before: Ints) -> Bools:
        """(R, B): rows that are a part of another object of their class, such as the front of a bus: within its box, on the same ground."""
        ends = np.abs(boxes[rows, 3][:, None] - boxes[before, 3]) <= SAME_GROUND * (boxes[before, 3] - boxes[before, 1])
        same = class_id[rows][:, None] == class_id[before]
        return np.asarray(ends & same & _inside(boxes[rows], boxes[before], NESTED))

    def _confirmed(self, users: RoadUsers, found: Ints, time_s: float) -> ConfirmedTracks:
        tracks = self.tracks
        shown = _where((found >= 0) & (tracks.number > 0))
        class_id = tracks.votes[shown].argmax(axis=1)
        speed = tracks.speed[shown]
        ground = speed[:, :2].astype(np.float32)
        ground[:, 1] += 0.5 * speed[:, 3]
        return ConfirmedTracks(
            row=users.row[found[shown]],
            boxes=users.boxes[found[shown]],
            rider=tracks.rider[shown] & self._classes.machine[class_id],
            number=tracks.number[shown],
            age_s=(time_s - tracks.first_s[shown]).astype(np.float32),
            first_boxes=tracks.first_box[shown].astype(np.float32),
            velocity_px_s=ground,
            class_id=class_id,
        )

    def export(self) -> dict[str, Any]:
        """Everything remembered, as plain arrays."""
        return {"labels": self.labels, "time_s": self.time_s, "columns": dict(self.tracks.__dict__)}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> ByteTrack:
        """A tracker from what `export` gave."""
        tracker = cls(tuple(state["labels"]))
        tracker.time_s = state["time_s"]
        tracker.tracks = Columns(**{name: np.array(column) for name, column in state["columns"].items()})
        return tracker


def _seen_for_long(tracks: Columns, time_s: float, limits: Limits) -> Bools:
    """(T,): which were seen for long enough to be confirmed."""
    if limits.confirm_frames is not None:
        return np.asarray(tracks.hits >= limits.confirm_frames)
    long = time_s - tracks.first_s >= limits.confirm_s - 1e-6
    return np.asarray(long & (2 * tracks.hits > tracks.pictures))


def _groups(labels: tuple[str, ...]) -> Ints:
    """Pedestrians and two-wheelers, other vehicles, others: a track never changes between them."""
    light = PEDESTRIANS | TWO_WHEELERS
    return np.array([LIGHT if name in light else HEAVY if name in VEHICLES else 0 for name in labels], np.int64)


def _match(similarity: Doubles, found: Ints, tracks: Ints, rows: Ints, least: float) -> Ints:
    """Assign detections `rows` to `tracks` where they are similar enough, into `found`; returns the rows left over."""
    if not len(tracks) or not len(rows):
        return rows
    part = similarity[tracks[:, None], rows]
    possible = part >= least
    t, d = possible.nonzero()
    if not len(t):
        return rows
    if np.bincount(t).max() > 1 or np.bincount(d).max() > 1:  # more than one choice
        row_of, _ = lap.lapjv(-(part * possible), extend_cost=True, return_cost=False)
        t = _where(row_of >= 0)
        d = row_of[t]
        good = possible[t, d]
        t, d = t[good], d[good]
    found[tracks[t]] = rows[d]
    left: Bools = np.full(len(rows), True)
    left[d] = False
    rest: Ints = rows[left]
    return rest


def _inside(a: Floats, b: Floats, share: float) -> Bools:
    """(A, B): whether this share of a box, or more, lies within another."""
    side = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    np.maximum(side, 0.0, out=side)
    area = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    return np.asarray(side[..., 0] * side[..., 1] >= share * area[:, None])


def _centred(boxes: Floats) -> Doubles:
    measured = boxes.astype(np.float64)
    measured[:, 2:] -= measured[:, :2]
    measured[:, :2] += 0.5 * measured[:, 2:]
    np.maximum(measured[:, 2:], 1.0, out=measured[:, 2:])
    return measured


def _where(rows: Bools) -> Ints:
    """The numbers of the rows that are true; `np.flatnonzero` does the same and costs three times as much."""
    return rows.nonzero()[0]
