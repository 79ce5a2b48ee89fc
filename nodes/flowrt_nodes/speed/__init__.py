"""speed: where tracks are on the ground, in metres, how fast they go, and how long they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import numpy as np

from flowrt import (
    PEDESTRIANS,
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
from flowrt.traffic.geometry.camera_view import CameraView, CameraViews, homography_diagnostics
from flowrt.traffic.geometry.footprint import Viewpoint
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.rules.track_table import TrackTable
from flowrt_nodes.speed import _ground_filter as ground_filter
from flowrt_nodes.speed import _heading_filter as heading_filter
from flowrt_nodes.speed._headings import Headings, align_to_axes, follow_movement
from flowrt_nodes.speed._measurements import (
    Positions,
    from_bottom_centres,
    from_boxes,
    of_partly_hidden,
    with_detector_footprints,
)
from flowrt_nodes.speed._track_states import TRACK_COLUMNS, TrackStates

UNMEASURED_S = 0.8
"""A track whose position could not be measured for this long (cut off by the border, or rejected) has no speed, and begins anew."""
NEW_SIGMA_M_S, MOVED_SIGMA_M_S = (1.5, 6.0), (0.8, 3.0)
"""Standard deviation of the velocity of pedestrians, and of others: of new tracks, and of tracks that begin anew elsewhere."""
IMPLAUSIBLE_M_S = 40.0
"""A first velocity from the picture above this says nothing."""


CARS = frozenset({"car"})
SIZED, SIZED_LEAST = 500, 50
"""The heights of so many cars are kept, and from so many on their median is told."""
Pictures = Annotated[int, setting("So many pictures.", ge=2, le=100)]
Share = Annotated[float, setting("A share from 0 to 1.", ge=0, le=1)]


class Speed(Transform):
    """Fill in ground position, velocity, speed with its uncertainty, heading, and length.

    Needs a scene with a homography. A Kalman filter with constant velocity follows each track on the ground. It measures the
    middle of the footprint (see `flowrt/traffic/geometry/footprint.py`), with the noise of the box's edges as the homography enlarges it: far
    away, where a pixel is metres, it trusts the prediction more. Where the detector measures footprints itself, as the bundled one,
    box and footprint are fused by their covariances, headings follow the measured axes instead of the movement alone, which is
    late in turns, and lengths are learned, beginning with the usual one of the class. Boxes cut off by the picture's border don't
    count, half hidden ones count less, and one that lies where the track can't be only makes the speed less certain.
    Times are capture times, so that lost and irregular pictures do no harm. Speed is NaN until a track was measured for
    `min_s`, and again after a while in which it could not be measured.
    """

    scene: SceneName
    footprint: Annotated[
        bool,
        setting("Follow the middle of the footprint; else the bottom centre of the box, which needs no usual sizes."),
    ] = True
    box_noise_px: Annotated[float, setting("Standard deviation of a box's edge.", gt=0, le=50)] = 1.0
    box_noise: Annotated[float, setting("The same, as a share of the box's size; both add up.", ge=0, le=1)] = 0.015
    process_noise: Annotated[
        float,
        setting(
            "How quickly vehicles change their velocity: spectral density in m²/s³.",
            gt=0,
            le=100,
            renamed_from="agility",
        ),
    ] = 2.5
    pedestrian_process_noise: Annotated[
        float, setting("The same for pedestrians.", gt=0, le=100, renamed_from="pedestrian_agility")
    ] = 0.3
    scale_error: Annotated[
        Share | None,
        setting(
            "Relative error of the homography's scale, part of the published uncertainty; without it, what the fit of its points "
            "says of each place, and at least 1 %."
        ),
    ] = None
    min_s: Annotated[
        float, setting("How long a track must be measured before its speed is given; twice at least.", ge=0, le=10)
    ] = 0.3
    min_pictures: Annotated[Pictures | None, setting("Former way to say `min_s`: in pictures, however far apart.")] = (
        None
    )
    forget_after_s: Annotated[float, setting("Memory about a track that is not seen any more.", gt=0, le=600)] = 5.0

    provides: ClassVar[frozenset[str]] = frozenset({"speed"})
    repeatable: ClassVar[bool] = True
    example: ClassVar[str] = """\
speeds: {type: speed, from: tracks, scene: north}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        yield from homography_diagnostics(scene_in(view, self.scene))
        if self.min_pictures is not None:
            yield Diagnostic(
                ("min_pictures",),
                "how long `min_pictures` pictures take depends on the camera, and is longer where pictures get lost",
                "write `min_s: 0.3`, the time in seconds",
                severity="warning",
            )

    def open(self, context: Context) -> None:
        self._views = CameraViews(scene_of(context))
        self._picture_s: dict[str, float] = {}
        self._table = TrackTable(self.forget_after_s, **TRACK_COLUMNS)
        self._car_heights: deque[float] = deque(maxlen=SIZED)

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._table.forget_after_s = self.forget_after_s
        if "scene" in changed:
            self._views = CameraViews(scene_of(self.context))

    def process(self, tracks: Tracks) -> Tracks:
        view, fresh = self._views.fit(tracks)
        if view.viewpoint is None:
            return tracks
        if fresh:
            self._headings = Headings(view)
        if len(tracks):
            tracks = self._with_speeds(tracks, view.viewpoint, view)
        self._picture_s[tracks.camera_id] = tracks.time_s
        return tracks

    def _with_speeds(self, tracks: Tracks, camera: Viewpoint, view: CameraView) -> Tracks:
        rows = self._table.rows(tracks)
        states = TrackStates.load(self._table, rows)
        step_s = np.nan_to_num(np.maximum(tracks.time_s - states.seen_s, 0.0))
        positions = self._measure(camera, tracks, states, step_s)
        known, rejected_m = self._follow(camera, tracks, states, step_s, positions)
        state = np.where(known, states.state, np.nan)
        velocity = state[2:]
        speed = np.hypot(velocity[0], velocity[1])
        direction = velocity / np.maximum(speed, 1e-6)
        variance = ground_filter.velocity_variance(direction, states.covariance)
        heading = follow_movement(states, direction, speed, speed / np.sqrt(np.maximum(variance, 1e-6)))
        states.store(self._table, rows)

        scale = self._scale_sigma(tracks, view, heading)

        speed_kmh = np.empty((2, len(rows)), np.float32)
        speed_kmh[0] = speed * 3.6
        speed_kmh[1] = np.sqrt(variance + rejected_m**2 + (scale * speed) ** 2) * 3.6
        speed_kmh[:, ~self._measured_for_long(states)] = np.nan
        ground = state.T.astype(np.float32)
        length = np.where(states.length_weight > 0, states.lengths(tracks), np.nan).astype(np.float32)
        return tracks.replace(
            ground_m=ground[:, :2],
            velocity_m_s=ground[:, 2:],
            speed_kmh=speed_kmh[0],
            speed_sigma_kmh=speed_kmh[1],
            scale_sigma=scale.astype(np.float32),
            heading_deg=np.degrees(np.arctan2(heading[1], heading[0])).astype(np.float32),
            length_m=length[0],
            length_sigma_m=length[1],
        )

    def _scale_sigma(self, tracks: Tracks, view: CameraView, heading: Array) -> Array:
        """(N,): the relative error of the scale, by the setting or by the homography's fit. heading: (2, N) on the ground."""
        if self.scale_error is not None or view.scale_map is None:
            return np.full(len(tracks), self.scale_error or 0.0)
        return view.scale_map.sigma(tracks.ground_px, heading.T)

    def _measure(self, camera: Viewpoint, tracks: Tracks, states: TrackStates, step_s: Array) -> Positions:
        """Positions of this picture; heading, offset and length in `states` move on. step_s: (N,) since the track was seen before."""
        speed = states.speed_m_s
        if not self.footprint:
            heading_filter.predict_without_rate(states.heading_covariance, speed, step_s)
            return from_bottom_centres(camera, tracks, self.box_noise_px, self.box_noise)
        footprints = None
        if tracks.footprints_px is None:
            heading_filter.predict_without_rate(states.heading_covariance, speed, step_s)
        else:
            footprints = of_partly_hidden(camera.measured(tracks.footprints_px, self.box_noise_px), tracks)
            heading_filter.predict(states.heading, states.turn_rate, states.heading_covariance, speed, step_s)
        heading = self._headings.known_or_guessed(camera, tracks, states.heading)
        if footprints is not None:
            heading = align_to_axes(tracks, footprints, states, heading)
        length_m, _ = states.lengths(tracks)
        positions = from_boxes(camera, tracks, states.offset_m, heading, length_m, self.box_noise_px, self.box_noise)
        whole_cars = tracks.of_class(CARS) & np.isfinite(positions.position_m[0])
        if np.count_nonzero(whole_cars):
            self._car_heights.extend(positions.visible_height[whole_cars].tolist())
        if footprints is None or tracks.footprints_px is None:
            return positions
        measured_m, sigma_m = camera.lengths(tracks.footprints_px, footprints, heading)
        states.learn_lengths(tracks, measured_m, sigma_m, positions.visible_height)
        return with_detector_footprints(tracks, positions, footprints, states.heading_covariance[0])

    def _follow(
        self, camera: Viewpoint, tracks: Tracks, states: TrackStates, step_s: Array, positions: Positions
    ) -> tuple[Mask, Array]:
        """One step of the filter; `states` moves on. (N,) whose position is known, and (N,) how far off a rejected measurement was."""
        position_m, noise, _ = positions
        usable = np.isfinite(position_m[0] + position_m[1] + noise[0, 0] + noise[1, 1])
        # A track that the camera's last picture still measured was not hidden, however long ago that was: pictures get lost.
        before_s = self._picture_s.get(tracks.camera_id, -np.inf)
        unmeasured = (tracks.time_s - states.measured_s > UNMEASURED_S) & (states.measured_s < before_s)
        if np.count_nonzero(unmeasured):
            without_speed = unmeasured & ~self._measured_for_long(states)
            states.measured_s[without_speed] = np.nan
            states.measurements[unmeasured] = 0.0
        followed = states.measurements > 0
        continued, started = followed & usable, ~followed & usable
        process_noise = np.where(tracks.of_class(PEDESTRIANS), self.pedestrian_process_noise, self.process_noise)
        states.state[2:] = heading_filter.rotated(states.state[2:], states.turn_rate * step_s)
        ground_filter.predict(states.state, states.covariance, step_s, process_noise)
        if np.count_nonzero(started):
            _start(camera, tracks, started, states, position_m, noise)
        was_rejected = states.measured_s < states.seen_s
        applied = ground_filter.correct(states.state, states.covariance, position_m, noise, continued, was_rejected)
        rejected_m = np.where(continued & ~applied, np.hypot(*(position_m - states.state[:2])), 0.0)
        applied = applied | started
        states.seen_s[:] = tracks.time_s
        states.measured_s[applied] = tracks.time_s
        states.begun_s[started] = tracks.time_s
        states.measurements += applied
        return applied | followed, rejected_m

    def _measured_for_long(self, states: TrackStates) -> Mask:
        """(N,): which were measured for long enough to have a speed."""
        if self.min_pictures is not None:
            return np.asarray(states.measurements >= self.min_pictures)
        long = states.measured_s - states.begun_s >= self.min_s - 1e-6
        return np.asarray(long & (states.measurements >= 2))

    def export_state(self) -> Any:
        return self._table.export()

    def import_state(self, state: Any) -> None:
        self._table.take_over(state)

    def status(self) -> dict[str, Any]:
        """`car_size`: how high cars are in the picture, over what the homography lets expect; far from 1, its scale is wrong."""
        heights = list(self._car_heights.copy())
        size = round(float(np.median(heights)), 2) if len(heights) >= SIZED_LEAST else None
        return {"tracks": len(self._table), "car_size": size}


def _start(
    camera: Viewpoint, tracks: Tracks, started: Mask, states: TrackStates, position_m: Array, noise: Array
) -> None:
    """Start the filter at the measured position, with the movement in the picture, which the tracker knows roughly.

    A track that was followed before, elsewhere, keeps its velocity: in the picture it seems to jump.
    """
    _, slope = camera.ground_and_slope(np.asarray(tracks.ground_px, np.float64).T)
    velocity_px_s = tracks.velocity_px_s
    velocity = slope[:, 0] * velocity_px_s[:, 0] + slope[:, 1] * velocity_px_s[:, 1]
    speed = np.hypot(velocity[0], velocity[1])
    velocity = np.where((speed < IMPLAUSIBLE_M_S), np.nan_to_num(velocity), 0.0)
    covariance = states.covariance
    covariance[:2, :, started] = covariance[:, :2, started] = 0.0
    covariance[:2, :2, started], states.state[:2, started] = noise[:, :, started], position_m[:, started]
    new = started & np.isnan(states.measured_s)
    states.state[2:, new], covariance[2:, 2:, new] = velocity[:, new], 0.0
    pedestrian = tracks.of_class(PEDESTRIANS)
    sigma = np.where(new, np.where(pedestrian, *NEW_SIGMA_M_S), np.where(pedestrian, *MOVED_SIGMA_M_S))
    least = sigma[started] ** 2
    covariance[2, 2, started] = np.maximum(covariance[2, 2, started], least)
    covariance[3, 3, started] = np.maximum(covariance[3, 3, started], least)
