"""Colours of vehicles, clothes and skin, as they are met on the street (BGR)."""

from __future__ import annotations

import numpy as np

Colour = tuple[float, float, float]

CAR_COLOURS = (
    (235, 235, 235), (200, 202, 204), (150, 152, 153), (95, 97, 99), (40, 40, 42), (40, 40, 42), (60, 40, 150),
    (130, 70, 30), (150, 105, 55), (70, 90, 60), (150, 185, 200), (35, 95, 190), (225, 225, 225), (90, 60, 45),
)  # fmt: skip
MOTORCYCLE_COLOURS = (
    (40, 40, 190), (30, 30, 32), (170, 80, 30), (40, 120, 60), (40, 180, 220), (225, 225, 225), (30, 100, 220),
)  # fmt: skip
BUS_COLOURS = ((60, 190, 235), (50, 50, 190), (200, 120, 40), (90, 160, 60), (230, 230, 230))
BOX_COLOURS = ((235, 235, 232), (225, 228, 230), (180, 182, 184), (160, 110, 60), (70, 130, 190), (90, 120, 70))
SKINS = ((150, 180, 225), (120, 155, 205), (90, 125, 175), (60, 85, 130), (45, 62, 95))


def colours_of(kind: str, rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Paint, second colour and skin of a road user."""
    skin = _vary(SKINS[int(rng.integers(len(SKINS)))], rng, 8)
    if kind == "motorcycle":
        return _vary(MOTORCYCLE_COLOURS[int(rng.integers(len(MOTORCYCLE_COLOURS)))], rng, 14), _clothes(rng, 0.5), skin
    if kind in ("pedestrian", "bicycle"):
        return _clothes(rng), _clothes(rng, 0.7), skin
    if kind == "bus":
        return _vary(BUS_COLOURS[int(rng.integers(len(BUS_COLOURS)))], rng, 14), _clothes(rng), skin
    if kind == "truck":
        return _car(rng), _vary(BOX_COLOURS[int(rng.integers(len(BOX_COLOURS)))], rng, 14), skin
    if kind == "van" and rng.random() < 0.55:
        return _vary((232, 232, 230), rng, 8), (90, 90, 90), skin
    return _car(rng), (90, 90, 90), skin


def _car(rng: np.random.Generator) -> Colour:
    return _vary(CAR_COLOURS[int(rng.integers(len(CAR_COLOURS)))], rng, 14)


def _clothes(rng: np.random.Generator, bright: float = 1.0) -> Colour:
    value = rng.uniform(30, 215) * bright
    tint = rng.uniform(-0.45, 0.45, 3) if rng.random() < 0.6 else np.zeros(3)
    colour = np.clip(value * (1 + tint), 12, 245)
    return float(colour[0]), float(colour[1]), float(colour[2])


def _vary(colour: tuple[int, int, int], rng: np.random.Generator, spread: float) -> Colour:
    found = np.clip(np.array(colour) + rng.normal(0, spread, 3) * 0.5 + rng.normal(0, spread * 0.6), 10, 248)
    return float(found[0]), float(found[1]), float(found[2])
