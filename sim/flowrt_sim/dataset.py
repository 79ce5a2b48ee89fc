"""Random rendered pictures with exact boxes, for training and testing a detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowrt_sim import CLASSES
from flowrt_sim.camera import Camera
from flowrt_sim.light import make_light
from flowrt_sim.paint import Figure, paint_figures
from flowrt_sim.shapes import VARIANTS, body


@dataclass(frozen=True)
class Sample:
    """One picture and its truth: BGR (H, W, 3), boxes (N, 4) px, class ids (N,), share hidden by others (N,)."""

    image_bgr: npt.NDArray[np.uint8]
    boxes_xyxy_px: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    occlusion: npt.NDArray[np.float32]


def sample(seed: int, *, size: tuple[int, int] = (1280, 720), weather: str | None = None, light: str | None = None) -> Sample:
    """A random picture; the same seed gives the same picture."""
    rng = np.random.default_rng(seed)
    shine = make_light(light or str(rng.choice(["day", "dusk", "night"])), weather or "clear", rng)
    camera = Camera((rng.uniform(-12, 12), -30, rng.uniform(6, 13)), np.radians(rng.uniform(75, 105)), np.radians(-16), np.radians(70), size)
    picture = np.full((size[1], size[0], 3), 110, np.uint8)
    figures = []
    for number in range(int(rng.integers(5, 40))):
        kind = str(rng.choice(CLASSES))
        shape = body(kind, int(rng.integers(VARIANTS[kind])))
        x, y = rng.uniform(-30, 30), rng.uniform(-15, 60)
        paint = tuple(float(c) for c in rng.uniform(20, 230, 3))
        figures.append(Figure(shape, x, y, rng.uniform(0, 6.3), paint, actor=number, stride=rng.uniform(0, 6.3)))
    seen = [s for s in paint_figures(picture, camera, figures, shine) if s.visible > 0.3 and s.box_px[3] - s.box_px[1] >= 8]
    boxes = np.array([s.box_px for s in seen], np.float32).reshape(-1, 4)
    ids = np.array([CLASSES.index(s.kind) for s in seen], np.int64)
    return Sample(picture, boxes, ids, np.array([1 - s.visible for s in seen], np.float32))
