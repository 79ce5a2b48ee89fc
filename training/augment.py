"""Augmentation of a training picture: crop, mirror, zoom, light, colour, noise, blur, patches.

Pictures are [h, w, 3] uint8 BGR; boxes [n, 4] corners and footprints [n, 4] points in pixels. Rendered pictures are cleaner and more alike than those
of a street, and every camera has its own colours: augmentation keeps the network from learning the renderer.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

FILL = (114, 114, 114)
LEAST_SHARE = 0.4
"""An object of which the crop leaves less than this share is ignored."""
SMALLEST_SIDE_PX = 4.0
"""In pixels of the network's input: below this no box can be placed to half a cell's accuracy, so the object is ignored."""


class Example(NamedTuple):
    """A picture with its objects."""

    picture: Picture
    boxes_px: Floats
    classes: Ints
    ignored: Flags
    footprints_px: Floats
    """[n, 4] middle and front of each footprint, x, y, x, y."""


def augmented(
    example: Example,
    rng: np.random.Generator,
    view_px: tuple[int, int],
    wanted: Floats,
    share: float = 1.0,
    zoom: tuple[float, float] = (0.65, 1.35),
) -> Example:
    """An augmented crop of an example, `view_px` (width, height) large.

    `wanted` [classes] is how much more often a crop around an object of that class is taken: classes rare in the pictures
    become common in the crops. `share` (0..1) scales how often light and sensor are changed: less towards the end of a
    short training, where the network has yet to learn the pictures as they are. `zoom` is the least and the largest zoom.
    """
    example = _crop(example, rng, view_px, wanted, zoom)
    picture = example.picture
    if rng.random() < share:
        picture = _recoloured(picture, rng)
    if rng.random() < 0.15 * share:
        picture = np.asarray(cv2.GaussianBlur(picture, (3, 3), rng.uniform(0.3, 0.9)), dtype=np.uint8)
    if rng.random() < 0.35 * share:
        picture = _noisy(picture, rng)
    if rng.random() < 0.25 * share:
        picture = _patched(picture, rng)
    return example._replace(picture=picture)


def _crop(
    example: Example,
    rng: np.random.Generator,
    view_px: tuple[int, int],
    wanted: Floats,
    zoom_range: tuple[float, float],
) -> Example:
    """Mirror, zoom (each axis a little on its own) and crop; boxes are cut with the picture.

    Four of five crops lie around an object drawn by `wanted`, the others anywhere.
    """
    height, width = example.picture.shape[:2]
    view_w, view_h = view_px
    zoom = float(np.exp(rng.uniform(*np.log(zoom_range))))
    stretch = float(np.exp(rng.uniform(-0.06, 0.06)))
    sx, sy = zoom * stretch, zoom / stretch
    room_x, room_y = width * sx - view_w, height * sy - view_h
    left, top = rng.uniform(0, 1) * room_x, rng.uniform(0, 1) * room_y
    counted = np.flatnonzero(~example.ignored)
    if len(counted) and rng.random() < 0.8:
        weights = wanted[example.classes[counted]]
        box = example.boxes_px[counted[rng.choice(len(counted), p=weights / weights.sum())]]
        middle_x, middle_y = (box[0] + box[2]) / 2 * sx, (box[1] + box[3]) / 2 * sy
        left = np.clip(middle_x - rng.uniform(0.15, 0.85) * view_w, min(0.0, room_x), max(0.0, room_x))
        top = np.clip(middle_y - rng.uniform(0.15, 0.85) * view_h, min(0.0, room_y), max(0.0, room_y))
    matrix = np.array([[sx, 0, -left], [0, sy, -top]], np.float32)
    if rng.random() < 0.5:
        matrix[0] = (-sx, 0, view_w + left)
    picture = cv2.warpAffine(example.picture, matrix, view_px, flags=cv2.INTER_LINEAR, borderValue=FILL)
    moved = example.boxes_px.reshape(-1, 2, 2) * matrix[[0, 1], [0, 1]] + matrix[:, 2]
    moved = np.concatenate((moved.min(axis=1), moved.max(axis=1)), axis=1).astype(np.float32)
    cut = np.clip(moved, 0, np.array([view_w, view_h, view_w, view_h], np.float32))
    whole = np.prod(moved[:, 2:] - moved[:, :2], axis=1)
    area = np.prod(cut[:, 2:] - cut[:, :2], axis=1)
    small = (cut[:, 2:] - cut[:, :2]).min(axis=1, initial=np.inf) < SMALLEST_SIDE_PX
    ignored = example.ignored | (area / np.maximum(whole, 1e-6) < LEAST_SHARE) | small
    inside = area > 0
    stands = example.footprints_px.reshape(-1, 2, 2) * matrix[[0, 1], [0, 1]] + matrix[:, 2]
    return Example(
        np.asarray(picture, dtype=np.uint8),
        cut[inside],
        example.classes[inside],
        ignored[inside],
        stands.reshape(-1, 4).astype(np.float32)[inside],
    )


def _recoloured(picture: Picture, rng: np.random.Generator) -> Picture:
    """Gain, offset and gamma of the whole picture, a gain of each channel, and now and then less colour."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.uniform(-0.25, 0.25))
    gain, offset = rng.uniform(0.8, 1.25), rng.uniform(-0.05, 0.05)
    channel_gain = rng.uniform(0.85, 1.15, 3)
    curve = (ramp[:, None] ** gamma * gain * channel_gain + offset) * 255
    table = np.clip(curve, 0, 255).astype(np.uint8)[:, None, :]
    changed = cv2.LUT(picture, np.ascontiguousarray(table.reshape(1, 256, 3)))
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        share = rng.uniform(0.2, 1.0)
        changed = cv2.addWeighted(changed, 1 - share, grey, share, 0)
    return np.asarray(changed, dtype=np.uint8)


def _noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    """Gaussian noise of the sensor, up to 10 grey values."""
    noise = np.zeros(picture.shape, np.int16)
    cv2.setRNGSeed(int(rng.integers(1 << 31)))
    grain = cv2.randn(noise, np.zeros(3), np.full(3, rng.uniform(1.0, 10.0)))
    return np.asarray(cv2.add(picture, grain, dtype=cv2.CV_8U), dtype=np.uint8)


def _patched(picture: Picture, rng: np.random.Generator) -> Picture:
    """One to three small grey patches: leaves, flags, dirt on the glass. Too small to hide a whole object nearby."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        w, h = int(rng.integers(4, 40)), int(rng.integers(4, 30))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        picture[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    return picture
