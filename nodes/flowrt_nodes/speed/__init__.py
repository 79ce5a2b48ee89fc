"""speed: where tracks are on the ground, in metres, how fast they go, and how long they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import numpy as np

from flowrt import (
    PEDESTRIANS,
    VEHICLES,
    CheckView,
    Context,
    Diagnostic,
    SceneName,
    Tracks,
    Transform,
    scene_in,
    scene_of,
    setting,
)
from flowrt_nodes._lib.camera_view import CameraView, CameraViews, cut_off, homography_diagnostics
from flowrt_nodes._lib.footprint import VARIED, Told, Viewpoint, feet, noise_m, sizes_m, usual_lengths_m
from flowrt_nodes._lib.geometry import Array, Mask
from flowrt_nodes._lib.track_table import TrackTable
from flowrt_nodes.speed._ground_filter import along, combined, correct, predict
from flowrt_nodes.speed._heading_filter import begin, drift, swing, take, turned

STILL_M_S = 1.0
"""Below this speed a movement tells no heading."""
SURE_WAY = 4.0
"""Who once moved this many standard deviations fast, or more, is turned round only by a movement as sure: boxes tremble."""
AXIS_RAD, VAGUE_RAD = float(np.radians(3.0)), 0.7
"""An axis that a detector tells is wrong by this much (standard deviation) beyond what it says of itself; if that is more than
the second, it does not count."""
LAG_S = 0.35
"""The direction of a movement, which is followed with constant velocity, is about this late in a turn."""
SWING = 0.3
"""A box tells a middle that is off by this share of the length, for each radian that the heading is off."""
BLIND_S = 0.8
"""A track whose place could not be measured for this long (cut off by the border, or never where it can be) has no speed, and
begins anew."""
NEW_M_S, MOVED_M_S = (1.5, 6.0), (0.8, 3.0)
"""Standard deviation of the velocity of people on foot, and of others, who are new; and who begin anew elsewhere."""
HALF_HIDDEN = 0.2
"""A detector that tells the footprint of a vehicle of whose height so large a share is hidden is twice as unsure as it says."""
NARROW = 0.75
"""A box is too narrow below this share of the width that its class has in this place and heading."""
WHOLE = 0.75
"""Of whose length the detector tells less than this share of the usual one, a part is hidden."""
ODD, SHOWN = 0.3, 0.85
"""A length that is told to be off by more than this share of the usual one is that of a part, or of something else; so is that of a
vehicle of whose height less than the second is seen."""
ALIKE, EVEN_M = 20.0, 0.15
"""A detector's errors of the length last for so many pictures of one that moves, and are at least so large."""
STATE, SPREAD, HEADING, OFFSET_M, TURNING = slice(0, 4), slice(4, 20), slice(20, 22), slice(22, 24), slice(29, 32)
AT_S, MEASURED_S, PICTURES, SURE, RATE, LENGTH, TOLD = 24, 25, 26, 27, 28, 32, 33
"""Where what is remembered of a track stands, in 34 numbers: the filter's state and covariance, the unit vector of its
heading, from its bottom centre's ground point to the middle of its footprint, when it was seen, when it could be measured, how
often it was measured, how many standard deviations fast it was at most while it headed this way, how fast it turns in radians
per second, the variances of heading and rate (see `_heading_filter`), and the lengths that were told: their sum, each weighted by
how sure it is (its inverse variance), and the sum of those weights."""
BEGIN = (*[0.0] * 20, *[np.nan] * 6, 0.0, 0.0, 0.0, np.pi, 0.0, 0.0, 0.0, 0.0)


class Speed(Transform):
    """Fill in ground position, velocity, speed with its uncertainty, heading, and length.

    Needs a scene with a homography. Each track is followed on the ground by a Kalman filter with constant velocity, whose
    measurements are the middles of footprints (see `_lib/footprint.py`) and whose measurement noise is that of the box's edges, as
    the homography enlarges it: far away, where a pixel is metres, it trusts the past more. Of a detector that tells footprints
    itself, as the bundled one, both count as they are sure, headings follow the axes it tells (see `_heading_filter`) instead of
    the movement alone, which is late in turns, and lengths are learned: begun with the usual one of the class, the more pictures show
    the whole vehicle, the more what they tell counts. Boxes cut off by the picture's
    border don't count, half hidden ones count less, and one that lies where the track can't be (a box around two, or somebody
    else) only makes the speed less sure. Times are capture times, so that lost and irregular pictures do no harm. Speed is NaN until
    `min_pictures` pictures showed the track, also anew after a while in which it was cut off, or always elsewhere.
    """

    scene: SceneName
    footprint: Annotated[
        bool,
        setting("Follow the middle of the footprint; else the bottom centre of the box, which needs no usual sizes."),
    ] = True
    box_noise_px: Annotated[float, setting("Standard deviation of a box's edge.", gt=0, le=50)] = 1.0
    box_noise: Annotated[float, setting("The same, as a share of the box's size; both add up.", ge=0, le=1)] = 0.015
    agility: Annotated[
        float, setting("How quickly vehicles change their velocity: spectral density in m²/s³.", gt=0, le=100)
    ] = 2.5
    pedestrian_agility: Annotated[float, setting("The same for people on foot.", gt=0, le=100)] = 0.3
    scale_error: Annotated[
        float, setting("Relative error of the homography's scale, part of the published uncertainty.", ge=0, le=1)
    ] = 0.02
    min_pictures: Annotated[int, setting("Pictures of a track before its speed is given.", ge=2, le=100)] = 3
    forget_after_s: Annotated[float, setting("Memory about a track that is not seen any more.", gt=0, le=600)] = 5.0

    provides: ClassVar[frozenset[str]] = frozenset({"speed"})
    repeatable: ClassVar[bool] = True
    example: ClassVar[str] = """\
speeds: {type: speed, from: tracks, scene: north}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        return homography_diagnostics(scene_in(view, self.scene))

    def open(self, context: Context) -> None:
        self._views = CameraViews(scene_of(context))
        self._picture_s: dict[str, float] = {}
        self._table = TrackTable(
            self.forget_after_s,
            memory=(np.float64, (34,), BEGIN),
        )

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._table.forget_after_s = self.forget_after_s
        if "scene" in changed:
            self._views = CameraViews(scene_of(self.context))

    def process(self, tracks: Tracks) -> Tracks:
        view, fresh = self._views.fit(tracks)
        if view.viewpoint is None:
            return tracks
        if fresh:
            self._prepare(view)
        if len(tracks):
            tracks = self._with_speeds(tracks, view.viewpoint)
        self._picture_s[tracks.camera_id] = tracks.time_s
        return tracks

    def _with_speeds(self, tracks: Tracks, camera: Viewpoint) -> Tracks:
        table = self._table
        rows = table.rows(tracks)
        memory = table["memory"].take(rows, axis=0).T.copy()
        step_s = np.nan_to_num(np.maximum(tracks.time_s - memory[AT_S], 0.0))
        pace = np.hypot(memory[2], memory[3])
        told = None
        footprints = tracks.footprints_px if self.footprint else None
        if footprints is not None:
            told = _in_part(camera.told(footprints, self.box_noise_px), tracks)
            swing(memory[HEADING], memory[RATE], memory[TURNING], pace, step_s)
        else:
            drift(memory[TURNING], pace, step_s)
        heading = self._headings(camera, tracks, memory[HEADING])
        if told is not None:
            heading = self._aligned(tracks, told, memory, heading)
        length_m, _ = _lengths(tracks, memory)
        seen_m, noise, shown = self._measure(camera, tracks, memory[OFFSET_M], heading, length_m)
        if told is not None and footprints is not None:
            self._learn(tracks, memory, *camera.lengths(footprints, told, heading), shown)
            seen_m, noise = self._both(tracks, told, seen_m, noise, memory[TURNING][0], shown)
        usable = np.isfinite(seen_m[0] + seen_m[1] + noise[0, 0] + noise[1, 1])
        state, spread, astray_m = self._follow(camera, tracks, memory, step_s, seen_m, noise, usable)
        velocity = state[2:]
        pace = np.hypot(velocity[0], velocity[1])
        direction = velocity / np.maximum(pace, 1e-6)
        variance = along(direction, spread)
        heading = self._turn(memory, direction, pace, pace / np.sqrt(np.maximum(variance, 1e-6)), spread)
        table["memory"][rows] = memory.T
        kmh = np.empty((2, len(rows)), np.float32)
        kmh[0], kmh[1] = pace * 3.6, np.sqrt(variance + astray_m**2 + (self.scale_error * pace) ** 2) * 3.6
        kmh[:, memory[PICTURES] < self.min_pictures] = np.nan
        ground = state.T.astype(np.float32)
        length = np.where(memory[TOLD] > 0, _lengths(tracks, memory), np.nan).astype(np.float32)
        return tracks.replace(
            ground_m=ground[:, :2],
            velocity_m_s=ground[:, 2:],
            speed_kmh=kmh[0],
            speed_sigma_kmh=kmh[1],
            heading_deg=np.degrees(np.arctan2(heading[1], heading[0])).astype(np.float32),
            length_m=length[0],
            length_sigma_m=length[1],
        )

    @staticmethod
    def _learn(tracks: Tracks, memory: Array, length_m: Array, doubt_m: Array, shown: Array) -> None:
        """Take in the lengths that a detector tells of whole vehicles; `memory` moves on.

        Of one that stands it tells the same over and over, with the same error.
        """
        moving = np.hypot(memory[2], memory[3]) > STILL_M_S
        whole = (np.abs(length_m / usual_lengths_m(tracks) - 1.0) < ODD) & (shown > SHOWN) & ~cut_off(tracks)
        usable = moving & whole & tracks.of_class(VEHICLES) & np.isfinite(memory[HEADING][0])
        weight = np.where(usable, 1.0 / (ALIKE * doubt_m**2 + EVEN_M**2), 0.0)
        memory[TOLD] += weight
        memory[LENGTH] += weight * np.where(usable, length_m, 0.0)

    @staticmethod
    def _turn(memory: Array, direction: Array, pace: Array, sure: Array, spread: Array) -> Array:
        """(2, N): headings, as far as the present movement says something new of them; `memory` moves on.

        sure: (N,), how many of its standard deviations the pace is.

        A movement's direction is as doubtful as its sideways part, and a heading drifts by at most the way driven over the tightest
        turn: a bus that creeps along a trembling box does not swing over the pavement, nor does one that stands turn round.
        """
        before = memory[HEADING]
        sideways = np.stack((-direction[1], direction[0]))
        doubt = along(sideways, spread) / np.maximum(pace, STILL_M_S) ** 2 + (LAG_S * memory[RATE]) ** 2
        off = np.arctan2(before[0] * direction[1] - before[1] * direction[0], (before * direction).sum(axis=0))
        back = np.abs(off) > np.pi / 2
        moving = (pace > STILL_M_S) & (sure > np.where(back, np.clip(memory[SURE], 2.0, SURE_WAY), 2.0))
        memory[SURE] = np.where(moving & (back | (sure > memory[SURE])), sure, memory[SURE])
        anew = moving & (np.isnan(off) | back)
        take(before, memory[RATE], memory[TURNING], off, doubt, moving & ~anew)
        begin(memory[RATE], memory[TURNING], doubt, anew)
        before[:, anew] = direction[:, anew]
        return before

    def _aligned(self, tracks: Tracks, told: Told, memory: Array, heading: Array) -> Array:
        """(2, N): headings (2, N), turned towards the axes along which vehicles were seen to stand; `memory` moves on.

        An axis has no front: it is that direction of the two which is nearer to the heading.
        """
        cosine = (heading * told.axis).sum(axis=0)
        sine = heading[0] * told.axis[1] - heading[1] * told.axis[0]
        off = np.arctan2(sine * np.sign(cosine), np.abs(cosine))
        doubt = told.axis_variance + AXIS_RAD**2
        usable = np.isfinite(off) & (doubt < VAGUE_RAD**2) & tracks.of_class(VEHICLES) & ~cut_off(tracks)
        known = np.isfinite(memory[HEADING][0])
        take(memory[HEADING], memory[RATE], memory[TURNING], off, doubt, usable & known)
        return np.where(known, memory[HEADING], turned(heading, np.where(usable, off, 0.0)))

    def export_state(self) -> Any:
        return self._table.export()

    def import_state(self, state: Any) -> None:
        self._table.take_over(state)

    def status(self) -> dict[str, Any]:
        return {"tracks": len(self._table)}

    def _prepare(self, view: CameraView) -> None:
        lanes = [zone for zone in view.scene.zones.values() if zone.kind == "lane" and zone.heading is not None]
        self._lanes = view.polygons(zone.name for zone in lanes)
        self._lane_heading = np.array([view.heading_m(zone) for zone in lanes]).reshape(-1, 2)

    def _headings(self, camera: Viewpoint, tracks: Tracks, remembered: Array) -> Array:
        """(2, N): unit vectors along the tracks' length: as it moved, as it moves in the picture, or as its lane leads."""
        unknown = np.isnan(remembered[0]).nonzero()[0]
        if not len(unknown):
            return remembered
        points = tracks.ground_px.take(unknown, axis=0).astype(np.float64)
        seen = tracks.velocity_px_s.take(unknown, axis=0)
        _, slope = camera.ground_and_slope(points.T)
        velocity = slope[:, 0] * seen[:, 0] + slope[:, 1] * seen[:, 1]
        pace = np.hypot(velocity[0], velocity[1])
        away = slope[:, 1]  # one pixel down the picture
        lengthwise = away / np.maximum(np.hypot(away[0], away[1]), 1e-12)
        if len(self._lanes):
            inside = self._lanes.contains(points)
            leading = self._lane_heading.take(inside.argmax(axis=1), axis=0).T
            lengthwise = np.where(inside.any(axis=1), leading, lengthwise)
        headings = remembered.copy()
        headings[:, unknown] = np.where(pace > 2 * STILL_M_S, velocity / np.maximum(pace, 1e-9), lengthwise)
        return headings

    def _measure(
        self, camera: Viewpoint, tracks: Tracks, offset_m: Array, heading: Array, length_m: Array
    ) -> tuple[Array, Array, Array]:
        """(2, N) positions in metres, (2, 2, N) their covariances, and (N,) the height of each box over that of its class there.

        offset_m: (2, N), of the picture before; updated. length_m: (N,).
        """
        boxes = np.asarray(tracks.boxes_px, np.float64).T.copy()
        size = boxes[2:] - boxes[:2]
        bottom_m, slope = camera.ground_and_slope(feet(boxes))
        doubt: Array | float = 1.0
        aside: Array | float = 0.0
        shown = np.ones(len(tracks))
        if self.footprint:
            unknown = np.isnan(offset_m[0])
            new = np.count_nonzero(unknown)
            guess_m = bottom_m + (np.where(unknown, 0.0, offset_m) if new else offset_m)
            sizes = sizes_m(tracks).copy()
            sizes[:, 0] = length_m
            middle_m, shares = camera.stand(boxes.T, heading.T, sizes, guess_m.T, 3 if new else 1)
            seen_m = middle_m.T
            offset_m[:] = seen_m - bottom_m
            # A box that is too low for its class hides its feet, or its roof; both make its middle uncertain.
            shown = shares[1]
            doubt = np.maximum(0.0, 0.95 - shown) / 0.07
            doubt = 1.0 + doubt * doubt
            # Of one that is too narrow a side is hidden, and it may be either.
            aside = size[0] * np.maximum(0.0, NARROW / np.maximum(shares[0], 0.1) - 1.0) / 2
        else:
            seen_m = bottom_m
        size *= self.box_noise
        edges = np.sqrt(self.box_noise_px**2 + size * size)
        if self.footprint and tracks.footprints_px is not None:  # what is hidden makes both unsure
            edges = np.maximum(edges, tracks.footprints_px[:, 4])
        edges[0] = np.hypot(edges[0], aside)
        edges[1] *= doubt
        cut = cut_off(tracks)
        if np.count_nonzero(cut):
            seen_m = np.where(cut, np.nan, seen_m)  # its middle lies somewhere beyond the border
        return seen_m, noise_m(slope * edges), shown

    @staticmethod
    def _both(
        tracks: Tracks, told: Told, seen_m: Array, noise: Array, heading_variance: Array, shown: Array
    ) -> tuple[Array, Array]:
        """Places (2, N) and their covariances (2, 2, N) from the box, with the heading's doubt as well, and from the detector.

        Each counts as it is sure: that of the box hangs on the usual size and the heading, that of the detector on neither, but it is
        surer of half a vehicle than it should be. shown: (N,), which share of its height is seen.
        """
        hidden = np.where(tracks.of_class(VEHICLES), np.maximum(0.0, 0.95 - shown) / HALF_HIDDEN, 0.0)
        usable = np.isfinite(seen_m[0]) & np.isfinite(told.middle_m[0])
        swung = (SWING * usual_lengths_m(tracks)) ** 2 * np.minimum(heading_variance, VAGUE_RAD**2)
        noise[0, 0] += np.where(usable, swung, 0.0)
        noise[1, 1] += np.where(usable, swung, 0.0)
        place, doubt = combined(seen_m, noise, told.middle_m, told.noise * (1.0 + hidden) ** 2)
        return np.where(usable, place, seen_m), np.where(usable, doubt, noise)

    def _follow(
        self,
        camera: Viewpoint,
        tracks: Tracks,
        memory: Array,
        step_s: Array,
        seen_m: Array,
        noise: Array,
        usable: Mask,
    ) -> tuple[Array, Array, Array]:
        """One step of the filter: (4, N) positions and velocities, (4, 4, N) their covariances, and (N,) how far off a measurement
        lay that was not believed; `memory` moves on. step_s: (N,) since it was seen before."""
        state, spread = memory[STATE], memory[SPREAD].reshape(4, 4, -1)
        # Who was measured in the picture before has not been hidden, however long ago that was: pictures get lost.
        before_s = self._picture_s.get(tracks.camera_id, -np.inf)
        blind = (tracks.time_s - memory[MEASURED_S] > BLIND_S) & (memory[MEASURED_S] < before_s)
        if np.count_nonzero(blind):
            fleeting = blind & (memory[PICTURES] < self.min_pictures)  # of whose movement nothing is known
            memory[MEASURED_S, fleeting] = np.nan
            memory[PICTURES, blind] = 0.0
        again = memory[PICTURES] > 0
        measured, begun = again & usable, ~again & usable
        agility = np.where(tracks.of_class(PEDESTRIANS), self.pedestrian_agility, self.agility)
        state[2:] = turned(state[2:], memory[RATE] * step_s)
        predict(state, spread, step_s, agility)
        if np.count_nonzero(begun):
            self._begin(camera, tracks, begun, memory, seen_m, noise)
        taken = correct(state, spread, seen_m, noise, measured, memory[MEASURED_S] < memory[AT_S])
        astray_m = np.where(measured & ~taken, np.hypot(*(seen_m - state[:2])), 0.0)
        taken = taken | begun
        memory[AT_S] = tracks.time_s
        memory[MEASURED_S, taken] = tracks.time_s
        memory[PICTURES] += taken
        return np.where(taken | again, state, np.nan), spread, astray_m

    def _begin(
        self,
        camera: Viewpoint,
        tracks: Tracks,
        first: Mask,
        memory: Array,
        seen_m: Array,
        noise: Array,
    ) -> None:
        """Start where it is seen, with the movement in the picture, which the tracker knows roughly.

        Who was somewhere else before seems to fly through the picture: on the ground he goes on as before.
        """
        state, spread = memory[STATE], memory[SPREAD].reshape(4, 4, -1)
        _, slope = camera.ground_and_slope(np.asarray(tracks.ground_px, np.float64).T)
        seen = tracks.velocity_px_s
        velocity = slope[:, 0] * seen[:, 0] + slope[:, 1] * seen[:, 1]
        pace = np.hypot(velocity[0], velocity[1])
        velocity = np.where((pace < 40), np.nan_to_num(velocity), 0.0)
        spread[:2, :, first] = spread[:, :2, first] = 0.0
        spread[:2, :2, first], state[:2, first] = noise[:, :, first], seen_m[:, first]
        new = first & np.isnan(memory[MEASURED_S])
        state[2:, new], spread[2:, 2:, new] = velocity[:, new], 0.0
        walking = tracks.of_class(PEDESTRIANS)
        least = np.where(new, np.where(walking, *NEW_M_S), np.where(walking, *MOVED_M_S))[first] ** 2
        spread[2, 2, first] = np.maximum(spread[2, 2, first], least)
        spread[3, 3, first] = np.maximum(spread[3, 3, first], least)


def _lengths(tracks: Tracks, memory: Array) -> tuple[Array, Array]:
    """(N,) twice: lengths between the usual ones and those that were told, as sure as either is, and their standard deviations."""
    usual_m = usual_lengths_m(tracks)
    sure = 1.0 / (VARIED * usual_m) ** 2
    length_m = (sure * usual_m + memory[LENGTH]) / (sure + memory[TOLD])
    return np.clip(length_m, (1 - ODD) * usual_m, (1 + ODD) * usual_m), (sure + memory[TOLD]) ** -0.5


def _in_part(told: Told, tracks: Tracks) -> Told:
    """The same, less sure of vehicles of which the detector saw a part: its middle is not theirs, nor is its axis."""
    usual_m = usual_lengths_m(tracks) / 2
    hidden_m = np.where(tracks.of_class(VEHICLES), np.maximum(WHOLE * usual_m - told.half_m, 0.0), 0.0)
    noise = told.noise.copy()
    noise[0, 0] += hidden_m**2
    noise[1, 1] += hidden_m**2
    return told._replace(noise=noise, axis_variance=told.axis_variance + (hidden_m / np.maximum(told.half_m, 0.1)) ** 2)
