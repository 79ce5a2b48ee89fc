"""Headings of tracks: as they moved, as the detector sees them stand, or as their lane leads."""

from __future__ import annotations

import numpy as np

from flowrt import VEHICLES, CameraView, Tracks
from flowrt.traffic.geometry.camera_view import cut_off
from flowrt.traffic.geometry.footprint import MeasuredFootprints, Viewpoint
from flowrt.traffic.geometry.plane import Array
from flowrt_nodes.speed import _heading_filter as heading_filter
from flowrt_nodes.speed._ground_filter import velocity_variance
from flowrt_nodes.speed._measurements import MAX_HEADING_SIGMA_RAD
from flowrt_nodes.speed._track_states import STANDING_M_S, TrackStates

MOVING_SIGNIFICANCE, REVERSING_SIGNIFICANCE = 2.0, 4.0
"""A movement counts from this many standard deviations on. A track that once moved with the second significance, or more, is turned
round only by a movement as significant: boxes tremble."""
AXIS_SIGMA_RAD = float(np.radians(3.0))
"""A detector's axis is wrong by this much (standard deviation) beyond what it says of itself."""
LAG_S = 0.35
"""The direction of a movement that is followed with constant velocity is about this late in a turn."""


class Headings:
    """The heading of each track in one camera's view."""

    def __init__(self, view: CameraView) -> None:
        lanes = [zone for zone in view.scene.zones.values() if zone.kind == "lane" and zone.heading is not None]
        self._lanes = view.polygons(zone.name for zone in lanes)
        self._lane_heading = np.array([view.heading_m(zone) for zone in lanes]).reshape(-1, 2)

    def known_or_guessed(self, camera: Viewpoint, tracks: Tracks, remembered: Array) -> Array:
        """(2, N): the remembered headings (2, N); where unknown, from the movement in the picture, else the lane, else the line of sight."""
        unknown = np.isnan(remembered[0]).nonzero()[0]
        if not len(unknown):
            return remembered
        points = tracks.ground_px.take(unknown, axis=0).astype(np.float64)
        velocity_px_s = tracks.velocity_px_s.take(unknown, axis=0)
        _, slope = camera.ground_and_slope(points.T)
        velocity = slope[:, 0] * velocity_px_s[:, 0] + slope[:, 1] * velocity_px_s[:, 1]
        speed = np.hypot(velocity[0], velocity[1])
        line_of_sight = slope[:, 1]  # one pixel down the picture
        guess = line_of_sight / np.maximum(np.hypot(line_of_sight[0], line_of_sight[1]), 1e-12)
        if len(self._lanes):
            inside = self._lanes.contains(points)
            along_lane = self._lane_heading.take(inside.argmax(axis=1), axis=0).T
            guess = np.where(inside.any(axis=1), along_lane, guess)
        headings = remembered.copy()
        headings[:, unknown] = np.where(speed > 2 * STANDING_M_S, velocity / np.maximum(speed, 1e-9), guess)
        return headings


def align_to_axes(tracks: Tracks, footprints: MeasuredFootprints, states: TrackStates, heading: Array) -> Array:
    """(2, N): headings (2, N), corrected towards the axes that the detector measured; `states` moves on.

    An axis has no front: it is that direction of the two which is nearer to the heading.
    """
    cosine = (heading * footprints.axis).sum(axis=0)
    sine = heading[0] * footprints.axis[1] - heading[1] * footprints.axis[0]
    residual = np.arctan2(sine * np.sign(cosine), np.abs(cosine))
    variance = footprints.axis_variance + AXIS_SIGMA_RAD**2
    usable = (
        np.isfinite(residual) & (variance < MAX_HEADING_SIGMA_RAD**2) & tracks.of_class(VEHICLES) & ~cut_off(tracks)
    )
    known = np.isfinite(states.heading[0])
    heading_filter.correct(
        states.heading, states.turn_rate, states.heading_covariance, residual, variance, usable & known
    )
    return np.where(known, states.heading, heading_filter.rotated(heading, np.where(usable, residual, 0.0)))


def follow_movement(states: TrackStates, direction: Array, speed: Array, significance: Array) -> Array:
    """(2, N): headings, corrected towards the direction of the present movement; `states` moves on.

    direction: (2, N) of the velocity. significance: (N,) of its length, the speed, in standard deviations.

    A movement's direction is as uncertain as its sideways part, and a heading drifts by at most the distance driven over the
    tightest turn: a bus that creeps along a trembling box does not swing over the pavement, nor does a standing one turn round.
    """
    heading = states.heading
    sideways = np.stack((-direction[1], direction[0]))
    variance = velocity_variance(sideways, states.covariance) / np.maximum(speed, STANDING_M_S) ** 2
    variance = variance + (LAG_S * states.turn_rate) ** 2
    residual = heading_filter.angle_to(heading, direction)
    reversing = np.abs(residual) > np.pi / 2
    to_reverse = np.clip(states.peak_significance, MOVING_SIGNIFICANCE, REVERSING_SIGNIFICANCE)
    moving = (speed > STANDING_M_S) & (significance > np.where(reversing, to_reverse, MOVING_SIGNIFICANCE))
    states.peak_significance = np.where(
        moving & (reversing | (significance > states.peak_significance)), significance, states.peak_significance
    )
    restarted = moving & (np.isnan(residual) | reversing)
    heading_filter.correct(
        heading, states.turn_rate, states.heading_covariance, residual, variance, moving & ~restarted
    )
    heading_filter.reset(states.turn_rate, states.heading_covariance, variance, restarted)
    heading[:, restarted] = direction[:, restarted]
    return heading
