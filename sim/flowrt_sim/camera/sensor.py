"""The way from the rendered scene to the stored picture: rain, lens blur, camera shake, sensor noise, JPEG.

Invariants: all randomness comes from the seed and the frame number, so a single frame can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_sim.render.light import Light

Picture = npt.NDArray[np.uint8]

PAD = 64
"""How much larger than the picture the noise tile is, so that each frame takes a different part of it."""


@dataclass
class Sensor:
    """Turns a clean rendering into a camera's picture.

    `blur_px` is the standard deviation of the lens blur (0: none), `jpeg` a quality from 1 to 100 (0: no compression),
    `shake_px` the standard deviation of the camera's shake.
    """

    size_px: tuple[int, int]
    light: Light
    seed: int
    blur_px: float = 0.6
    jpeg: int = 0
    shake_px: float = 0.0
    _rain: list[Picture] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng((self.seed, 77))
        width, height = self.size_px
        grain = cv2.GaussianBlur(rng.standard_normal((height + PAD, width + PAD, 3)).astype(np.float32), (3, 3), 0.6)
        self._noise: Picture = np.clip(128 + grain * self.light.noise * 1.7, 0, 255).astype(np.uint8)
        if self.light.rain:
            self._rain = [_streaks(rng, self.size_px, self.light) for _ in range(3)]

    def shake(self, number: int) -> tuple[float, float]:
        """How far frame `number` is shifted, in pixels (x, y): a slow sway and a tremble."""
        if self.shake_px <= 0:
            return 0.0, 0.0
        rng = np.random.default_rng((self.seed, 5, number))
        sway = np.array([np.sin(number * 0.31 + self.seed), np.cos(number * 0.23 + self.seed)])
        move = self.shake_px * (0.8 * sway + 0.6 * rng.standard_normal(2))
        return float(move[0]), float(move[1])

    def expose(self, picture: Picture, number: int) -> Picture:
        """The stored picture of a clean one; may write into `picture`."""
        rng = np.random.default_rng((self.seed, 3, number))
        if self._rain:
            layer = self._rain[int(rng.integers(len(self._rain)))]
            cv2.add(picture, np.roll(layer, int(rng.integers(layer.shape[0])), axis=0), dst=picture)
        if self.blur_px > 0:
            cv2.GaussianBlur(picture, (3, 3) if self.blur_px < 0.9 else (5, 5), self.blur_px, dst=picture)
        move = self.shake(number)
        if move != (0.0, 0.0):
            matrix = np.array([[1, 0, move[0]], [0, 1, move[1]]], np.float64)
            shaken = cv2.warpAffine(
                picture, matrix, self.size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            picture = np.asarray(shaken, np.uint8)
        y, x = (int(v) for v in rng.integers(0, PAD, 2))
        tile = self._noise[y : y + picture.shape[0], x : x + picture.shape[1]]
        cv2.addWeighted(picture, 1.0, tile, 1.0, -128.0, dst=picture)
        if self.jpeg:
            data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
        return picture


def _streaks(rng: np.random.Generator, size_px: tuple[int, int], light: Light) -> Picture:
    width, height = size_px
    layer = np.zeros((height, width, 3), np.uint8)
    count = int(light.rain * width * height / 1e6)
    bright = 0.18 * float(np.mean(light.haze)) + 6
    lean = rng.uniform(-0.12, 0.12)
    for _ in range(count):
        x, y, length = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(10, 36) * height / 720
        tone = [bright * rng.uniform(0.3, 1.0)] * 3
        end = (int(x + lean * length), int(y + length))
        cv2.line(layer, (int(x), int(y)), end, tone, 1, cv2.LINE_AA)
    return layer
