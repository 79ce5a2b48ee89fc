"""What benchmarks/rules.py shows to each side: the same fifty tracks and ten zones. Needs numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

TRACKS, ZONES, RULES, PICTURES = 50, 10, 10, 200
SPEED_KMH, VELOCITY_M_S, LIMIT_KMH, TOLERANCE_KMH, COSINE = 41.0, (8.0, 8.0), 50.0, 5.0, -0.5
"""What is the same of all tracks and zones. No vehicle offends; those that drive across enter, leave and cross."""
WIDTH, HEIGHT = 1280, 720


def zones() -> list[list[tuple[int, int]]]:
    """Ten hexagons over the picture."""
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    middles = [(130 + 255 * (i % 5), 180 + 350 * (i // 5)) for i in range(ZONES)]
    return [[(round(x + 120 * np.cos(a)), round(y + 160 * np.sin(a))) for a in angles] for x, y in middles]


def boxes(number: int) -> Any:
    """Corner boxes (50, 4) of picture `number`: objects that drive across at different speeds."""
    rng = np.random.default_rng(7)
    x = (rng.uniform(0, WIDTH, TRACKS) + number * rng.uniform(1, 6, TRACKS)) % (WIDTH - 60)
    y = rng.uniform(60, HEIGHT - 50, TRACKS)
    return np.column_stack((x, y, x + 50, y + 40)).astype(np.float32)
