"""Simulated cameras and the signal feed of `sim://` addresses, as plain iterators.

Each camera runs its own world unless it is given a shared one. Worlds are deterministic by seed, scenario and rate, so all
cameras and the signal feed of equal options show the same events at the same times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowrt_sim.camera.scene import scene
from flowrt_sim.camera.view import Truth, View
from flowrt_sim.render.light import make_light
from flowrt_sim.street.signals import SignalPlan
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.uri import WEATHERS, SimOptions, parse


@dataclass(frozen=True)
class SimFrame:
    """One frame: `time_s` since the start of the recording, its number from 0, the BGR picture (H, W, 3), the truth.

    The truth's times count from the same start; the world itself is `options.start` seconds ahead.
    """

    time_s: float
    number: int
    image: npt.NDArray[np.uint8]
    truth: Truth


class SimCamera:
    """A simulated camera. Frames are made when they are asked for, never ahead."""

    def __init__(self, options: SimOptions, motion: Motion | None = None, cache: Path | None = None) -> None:
        """motion: the world of these options, shared with other cameras; the default is a world of the camera's own. cache: a folder
        for the painted scenery, see `render.cache`."""
        self.options = options
        self.size_px = options.size
        self.fps = options.fps
        motion = motion or Motion(Simulation(options.seed, options.scenario, options.rate))
        self.world = motion.world
        light, weather = WEATHERS[options.weather]
        self._view = View(
            motion,
            options.camera,
            options.size,
            make_light(light, weather),
            options.blur,
            options.jpeg,
            options.shake,
            cache,
        )

    @property
    def frame_count(self) -> int | None:
        """How many frames there are in all, or None when there is no end."""
        return round(self.options.duration_s * self.fps) if self.options.duration_s else None

    def frame(self, number: int) -> SimFrame:
        """Frame `number`; numbers must not go back, but may leave frames out."""
        time_s = number / self.fps
        picture, truth = self._view.frame(self.options.start + time_s, number)
        return SimFrame(time_s, number, picture, self._since_start(truth))

    def truth(self, number: int) -> Truth:
        """The truth of frame `number` without drawing its picture; numbers as in `frame`."""
        return self._since_start(self._view.truth(self.options.start + number / self.fps))

    def _since_start(self, truth: Truth) -> Truth:
        start = self.options.start
        phases = {group: (state, since - start) for group, (state, since) in truth.phases.items()}
        return replace(truth, time_s=truth.time_s - start, phases=phases)

    def frames(self) -> Iterator[SimFrame]:
        """All frames in order."""
        return map(self.frame, self._numbers())

    def truths(self) -> Iterator[tuple[float, Truth]]:
        """(time since the start, truth) of every frame, without drawing pictures: over ten times faster."""
        return ((number / self.fps, self.truth(number)) for number in self._numbers())

    def _numbers(self) -> Iterable[int]:
        return count() if self.frame_count is None else range(self.frame_count)

    def scene(self) -> dict[str, object]:
        """The `scene:` entry of this camera."""
        return scene(self.world.layout, self.options.camera, self.size_px)


def open_camera(options: SimOptions | str, cache: Path | None = None) -> SimCamera:
    """The camera of parsed options or of an address, with its scenery cached in the folder `cache`. Raises ValueError for a bad address."""
    return SimCamera(parse(options) if isinstance(options, str) else options, cache=cache)


def signal_plan(options: SimOptions | str) -> SignalPlan:
    """The signal controller's plan, to look phases up by the world's time (`start` + time since the start)."""
    options = parse(options) if isinstance(options, str) else options
    return Simulation(options.seed, options.scenario, options.rate).world.plan


def open_signals(
    options: SimOptions | str, every_s: float = 1.0
) -> Iterator[tuple[float, dict[str, tuple[str, float]]]]:
    """A feed like SPaT: (time since the start, {group: (state, since when)}), at every change and every `every_s` seconds.

    Both times are seconds since the start; `since` may be negative for a state that began before.
    """
    options = parse(options) if isinstance(options, str) else options
    plan, start = signal_plan(options), options.start
    end = start + options.duration_s if options.duration_s else float("inf")
    now = start
    beat = 0
    while now < end:
        phases = {group: (state, since - start) for group, (state, since) in plan.phases(now).items()}
        yield now - start, phases
        change = min(plan.next_change_s(group, now) for group in phases) + 1e-6
        beat_s = start + (beat + 1) * every_s
        if change < beat_s - 1e-9:
            now = change
        else:
            now = beat_s
            beat += 1
