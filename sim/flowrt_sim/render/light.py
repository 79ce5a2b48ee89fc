"""Light and weather of a picture: sun, sky, lamps, haze and what the sensor makes of them.

All colours are BGR. Shading is Lambert's law plus a sky term that grows with how far a face looks upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

LIGHTS = ("day", "dusk", "night")
WEATHERS = ("clear", "overcast", "rain")


@dataclass(frozen=True)
class Light:
    """How a scene is lit. Strengths are factors on a surface's own colour; `sun` points from the ground to the sun.

    `shadow` is the share of light lost in a cast shadow; `haze_m` the distance after which 63 % of an object's colour is
    replaced by `haze`; `noise` the sensor noise in grey levels; `rain` the number of streaks per megapixel.
    """

    name: str
    sun: tuple[float, float, float]
    direct: tuple[float, float, float]
    ambient: tuple[float, float, float]
    sky_top: tuple[float, float, float]
    haze: tuple[float, float, float]
    shadow: float
    haze_m: float
    noise: float
    lamps_on: bool = False
    street_lamps: float = 0.0
    rain: int = 0
    wet: float = 0.0

    def shade(self, normals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Light factors (N, 3) of faces with unit normals (N, 3) in world axes."""
        facing = np.clip(normals @ np.array(self.sun), 0, None)[:, None]
        up = (0.78 + 0.22 * normals[:, 2])[:, None]
        return np.asarray(facing * np.array(self.direct) + up * np.array(self.ambient))


def _sun(azimuth_deg: float, elevation_deg: float) -> tuple[float, float, float]:
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    across = np.cos(elevation)
    return float(across * np.cos(azimuth)), float(across * np.sin(azimuth)), float(np.sin(elevation))


def make_light(light: str = "day", weather: str = "clear", rng: np.random.Generator | None = None) -> Light:
    """The light of a time of day and a weather; with `rng`, a random variation of it.

    Raises KeyError for names outside LIGHTS and WEATHERS.
    """
    free = rng is not None
    rng = rng or np.random.default_rng(0)
    azimuth = rng.uniform(0, 360) if free else 215.0
    high = rng.uniform(28, 65) if free else 48.0
    grey = (225.0, 212.0, 200.0)
    base = {
        "day": Light("day", _sun(azimuth, high), (0.50, 0.56, 0.60), (0.58, 0.53, 0.49), (235, 190, 140), grey, 0.52, 900, 2.2),
        "dusk": Light("dusk", _sun(azimuth, 9.0), (0.12, 0.20, 0.30), (0.44, 0.36, 0.35), (150, 105, 95), (150, 150, 190),
                      0.22, 600, 3.6, True, 0.25),
        "night": Light("night", _sun(azimuth, 50), (0.03, 0.03, 0.03), (0.25, 0.24, 0.24), (46, 32, 26), (40, 34, 32),
                       0.10, 500, 4.5, True, 0.75),
    }[light]  # fmt: skip
    if weather == "overcast":
        direct = _times(base.direct, 0.25)
        base = replace(base, direct=direct, shadow=base.shadow * 0.3, sky_top=_mix(base.sky_top, base.haze, 0.8))
    elif weather == "rain":
        base = replace(
            base, direct=_times(base.direct, 0.12), ambient=_times(base.ambient, 0.92),
            shadow=base.shadow * 0.2, sky_top=_mix(base.sky_top, base.haze, 0.85), haze=_times(base.haze, 0.8),
            haze_m=220.0, noise=base.noise * 1.2, rain=420, wet=1.0, lamps_on=True)  # fmt: skip
    elif weather != "clear":
        raise KeyError(weather)
    if not free:
        return base
    gain, warm = rng.uniform(0.8, 1.2), rng.uniform(-0.06, 0.06)
    tint = np.array([1 - warm, 1.0, 1 + warm]) * gain
    return replace(
        base,
        direct=_times(base.direct, tint * rng.uniform(0.7, 1.15)),
        ambient=_times(base.ambient, tint * rng.uniform(0.85, 1.15)),
        shadow=base.shadow * rng.uniform(0.6, 1.15),
        haze_m=base.haze_m * rng.uniform(0.5, 1.3),
        noise=base.noise * rng.uniform(0.5, 2.0),
        rain=int(base.rain * rng.uniform(0.5, 1.6)),
    )


def _mix(a: tuple[float, float, float], b: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    mixed = np.array(a) * (1 - share) + np.array(b) * share
    return float(mixed[0]), float(mixed[1]), float(mixed[2])


def _times(a: tuple[float, float, float], factor: float | npt.NDArray[np.float64]) -> tuple[float, float, float]:
    product = np.array(a) * factor
    return float(product[0]), float(product[1]), float(product[2])
