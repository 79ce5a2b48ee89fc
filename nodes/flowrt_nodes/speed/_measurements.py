"""Measured positions on the ground with their covariances: from boxes, and from the footprints that some detectors give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowrt import VEHICLES, Tracks
from flowrt.traffic.geometry.camera_view import cut_off
from flowrt.traffic.geometry.footprint import MeasuredFootprints, Viewpoint, feet, noise_m, sizes_m, usual_lengths_m
from flowrt.traffic.geometry.plane import Array
from flowrt_nodes.speed._ground_filter import fused

MAX_HEADING_SIGMA_RAD = 0.7
"""A heading less certain than this counts no more."""
HEADING_TO_MIDDLE = 0.3
"""The middle that a box gives is off by this share of the length for each radian that the heading is off."""
FULL_HEIGHT, HEIGHT_SIGMA = 0.95, 0.07
"""From this share of its height on a road user counts as whole; each further share hidden makes feet and roof less certain."""
HALF_HIDDEN = 0.2
"""A detector's footprint of a vehicle that hides this share of its height is half as certain as the detector says."""
NARROW = 0.75
"""A box is too narrow below this share of the width that its class has in this place and heading."""
WHOLE_LENGTH = 0.75
"""A vehicle whose measured length is below this share of the usual one is partly hidden."""


class Positions(NamedTuple):
    """position_m: (2, N), NaN where not measurable. noise: (2, 2, N). visible_height: (N,) height of the box over the expected one."""

    position_m: Array
    noise: Array
    visible_height: Array


def from_bottom_centres(camera: Viewpoint, tracks: Tracks, edge_noise_px: float, edge_noise: float) -> Positions:
    """The ground points of the boxes' bottom centres; edge_noise_px, edge_noise: standard deviation of an edge, see `Speed`."""
    boxes = np.asarray(tracks.boxes_px, np.float64).T.copy()
    bottom_m, slope = camera.ground_and_slope(feet(boxes))
    edges = _edge_noise(boxes, edge_noise_px, edge_noise)
    return Positions(_where_whole(tracks, bottom_m), noise_m(slope * edges), np.ones(len(tracks)))


def from_boxes(
    camera: Viewpoint,
    tracks: Tracks,
    offset_m: Array,
    heading: Array,
    length_m: Array,
    edge_noise_px: float,
    edge_noise: float,
) -> Positions:
    """Middles of the footprints of cuboids that fit the boxes.

    offset_m: (2, N), of the picture before; updated in place. heading: (2, N). length_m: (N,).
    """
    boxes = np.asarray(tracks.boxes_px, np.float64).T.copy()
    bottom_m, slope = camera.ground_and_slope(feet(boxes))
    unknown = np.isnan(offset_m[0])
    any_new = np.count_nonzero(unknown)
    guess_m = bottom_m + (np.where(unknown, 0.0, offset_m) if any_new else offset_m)
    sizes = sizes_m(tracks).copy()
    sizes[:, 0] = length_m
    middle_m, (visible_width, visible_height) = camera.fit_footprints(
        boxes.T, heading.T, sizes, guess_m.T, 3 if any_new else 1
    )
    position_m = middle_m.T
    offset_m[:] = position_m - bottom_m
    # A box that is too low for its class hides its feet, or its roof; both make its middle uncertain.
    hidden_height = np.maximum(0.0, FULL_HEIGHT - visible_height) / HEIGHT_SIGMA
    vertical_factor = 1.0 + hidden_height * hidden_height
    # Of one that is too narrow a side is hidden, and it may be either.
    sideways_px = (boxes[2] - boxes[0]) * np.maximum(0.0, NARROW / np.maximum(visible_width, 0.1) - 1.0) / 2
    edges = _edge_noise(boxes, edge_noise_px, edge_noise)
    if tracks.footprints_px is not None:  # what is hidden makes both box and footprint less certain
        edges = np.maximum(edges, tracks.footprints_px[:, 4])
    edges[0] = np.hypot(edges[0], sideways_px)
    edges[1] *= vertical_factor
    return Positions(_where_whole(tracks, position_m), noise_m(slope * edges), visible_height)


def _edge_noise(boxes: Array, edge_noise_px: float, edge_noise: float) -> Array:
    """(2, N): standard deviation of vertical and of horizontal edges in pixels."""
    size = boxes[2:] - boxes[:2]
    size *= edge_noise
    return np.asarray(np.sqrt(edge_noise_px**2 + size * size), np.float64)


def _where_whole(tracks: Tracks, position_m: Array) -> Array:
    """(2, N): NaN for boxes cut off by the picture's border: their middle lies somewhere beyond it."""
    cut = cut_off(tracks)
    return np.where(cut, np.nan, position_m) if np.count_nonzero(cut) else position_m


def with_detector_footprints(
    tracks: Tracks, boxes: Positions, footprints: MeasuredFootprints, heading_variance: Array
) -> Positions:
    """Positions from boxes fused with those that the detector measured.

    That of the box depends on the usual size and on the heading (its variance: (N,)), that of the detector on neither, but the
    detector is too confident about vehicles that are half hidden.
    """
    position_m, noise, visible_height = boxes
    hidden = np.where(tracks.of_class(VEHICLES), np.maximum(0.0, FULL_HEIGHT - visible_height) / HALF_HIDDEN, 0.0)
    usable = np.isfinite(position_m[0]) & np.isfinite(footprints.middle_m[0])
    from_heading = (HEADING_TO_MIDDLE * usual_lengths_m(tracks)) ** 2 * np.minimum(
        heading_variance, MAX_HEADING_SIGMA_RAD**2
    )
    noise[0, 0] += np.where(usable, from_heading, 0.0)
    noise[1, 1] += np.where(usable, from_heading, 0.0)
    both_m, both_noise = fused(position_m, noise, footprints.middle_m, footprints.noise * (1.0 + hidden) ** 2)
    return Positions(np.where(usable, both_m, position_m), np.where(usable, both_noise, noise), visible_height)


def of_partly_hidden(footprints: MeasuredFootprints, tracks: Tracks) -> MeasuredFootprints:
    """The same, less certain for vehicles of which the detector saw a part: middle and axis are not those of the whole."""
    usual_m = usual_lengths_m(tracks) / 2
    hidden_m = np.where(
        tracks.of_class(VEHICLES), np.maximum(WHOLE_LENGTH * usual_m - footprints.half_length_m, 0.0), 0.0
    )
    noise = footprints.noise.copy()
    noise[0, 0] += hidden_m**2
    noise[1, 1] += hidden_m**2
    axis_variance = footprints.axis_variance + (hidden_m / np.maximum(footprints.half_length_m, 0.1)) ** 2
    return footprints._replace(noise=noise, axis_variance=axis_variance)
