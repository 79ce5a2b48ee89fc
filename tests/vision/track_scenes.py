"""Scenes for trackers: detections as a detector gives them, with the truth of which is which. Made from a seed, nothing random.

A scene is a list of pictures; a picture has a time and, per detection, box, confidence and the true object's number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class Picture(NamedTuple):
    """boxes: float32 (N, 4) corners in pixels; confidence: float32 (N,); vehicle: int64 (N,)."""

    time_s: float
    boxes: np.ndarray
    confidence: np.ndarray
    vehicle: np.ndarray


class Road(NamedTuple):
    """A vehicle that drives straight: where it starts (x, y), how fast (px/s), how large, and from when to when."""

    start: tuple[float, float]
    speed: tuple[float, float]
    size: tuple[float, float]
    begin_s: float = 0.0
    end_s: float = 1e9


Unseen = Callable[[int, float], bool]
Confidence = Callable[[int, float], float]


def film(
    roads: list[Road],
    times: np.ndarray,
    seed: int,
    unseen: Unseen = lambda vehicle, time_s: False,
    confidence: Confidence = lambda vehicle, time_s: 0.8,
    missed: float = 0.03,
) -> Iterator[Picture]:
    """Detections of the vehicles at the given times, with jitter of 2 % of the size, and some missed."""
    rng = np.random.default_rng(seed)
    for time_s in times.tolist():
        boxes, confidences, vehicles = [], [], []
        for number, road in enumerate(roads):
            jitter, lost, noise = rng.normal(0, 0.02, 4), rng.random(), rng.normal(0, 0.04)
            if not road.begin_s <= time_s <= road.end_s or lost < missed or unseen(number, time_s):
                continue
            w, h = road.size
            x, y = (road.start[i] + road.speed[i] * (time_s - road.begin_s) for i in (0, 1))
            box = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) + jitter * np.array([w, h, w, h])
            boxes.append(box)
            confidences.append(np.clip(confidence(number, time_s) + noise, 0.05, 0.99))
            vehicles.append(number)
        yield Picture(
            time_s,
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(confidences, np.float32),
            np.array(vehicles, np.int64),
        )


def _street(count: int = 8) -> list[Road]:
    """Vehicles in four lanes, two ways, one behind the other."""
    return [
        Road(
            (100.0 + 260 * (n // 4), 150.0 + 100 * (n % 4)),
            (120.0 + 15 * n if n % 4 < 2 else -100.0 - 10 * n, 0.0),
            (90, 60),
        )
        for n in range(count)
    ]


def _crossing() -> list[Road]:
    """Two streams at right angles, through the same spot, not at the same time but close."""
    across = [Road((-100.0 - 230 * n, 400.0), (200.0, 0.0), (80, 60)) for n in range(4)]
    down = [Road((400.0, -190.0 - 230 * n), (0.0, 200.0), (60, 80)) for n in range(4)]
    return across + down


def _regular(seconds: float, fps: float) -> np.ndarray:
    return np.arange(0.0, seconds, 1.0 / fps)


def _irregular(seconds: float) -> np.ndarray:
    """Pauses between 20 and 160 ms, as of a camera over a bad line."""
    pauses = np.random.default_rng(5).uniform(0.02, 0.16, int(seconds / 0.09))
    return np.cumsum(pauses)


def _behind_a_sign(vehicle: int, time_s: float) -> bool:
    """Each vehicle is hidden for 0.4 s, at a time of its own."""
    return 1.0 + 0.25 * vehicle <= time_s < 1.4 + 0.25 * vehicle


def _doubtful(vehicle: int, time_s: float) -> float:
    """The detector is unsure of each vehicle for half a second in every two."""
    return 0.2 if (time_s + 0.3 * vehicle) % 2.0 < 0.5 and time_s > 0.5 else 0.8


SCENES: dict[str, Callable[[], list[Picture]]] = {
    "street": lambda: list(film(_street(), _regular(4, 30), 1)),
    "crossing": lambda: list(film(_crossing(), _regular(6, 25), 2)),
    "hidden": lambda: list(film(_street(), _regular(4, 30), 3, unseen=_behind_a_sign)),
    "doubtful": lambda: list(film(_street(), _regular(5, 25), 4, confidence=_doubtful)),
    "irregular": lambda: list(film(_street(), _irregular(5), 5)),
    "slow": lambda: list(film(_street(), _regular(5, 8), 6)),
}
