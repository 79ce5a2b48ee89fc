"""Films the world: the picture and the truth of one camera at any time.

Invariant: the truth of a frame is taken from the very same interpolated state that was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowrt_sim import CLASSES
from flowrt_sim.camera.scene import pole_camera
from flowrt_sim.camera.sensor import Sensor
from flowrt_sim.render.backdrop import draw_street_lamps, render_backdrop
from flowrt_sim.render.cache import cached
from flowrt_sim.render.furniture import draw_lamps, furniture
from flowrt_sim.render.ground import Look, paint_ground
from flowrt_sim.render.light import Light, make_light
from flowrt_sim.render.paint import Cast, Figure, Seen, cast, paint_figures, paint_shadows, seen_only, still_life
from flowrt_sim.traffic.motion import Motion, Present

SMALLEST_PX = 8.0
NO_FURNITURE_M = 14.0
"""No pole stands so near to a camera; the camera would be mounted on it."""
INSIDE = 0.35
"""A road user with less than this share of its box in the picture is left out."""


@dataclass(frozen=True)
class Truth:
    """What is really in a frame, as columns over the road users in the picture, hidden or not, and the signal phases.

    `boxes_px` (N, 4) x1 y1 x2 y2, of the whole road user, cut at the edge of the picture; `ground_m` (N, 2) middle of the footprint;
    `front_m` (N, 2) middle of the front edge; `footprints_px` (N, 4) x y of that middle and the vector to that front, in the picture;
    `heading_rad`, `speed_kmh` (N,); `visible` (N,) the share that is not hidden; `phases` maps a group to (state, since when in s).
    """

    time_s: float
    ids: npt.NDArray[np.int64]
    class_ids: npt.NDArray[np.int64]
    boxes_px: npt.NDArray[np.float64]
    ground_m: npt.NDArray[np.float64]
    front_m: npt.NDArray[np.float64]
    footprints_px: npt.NDArray[np.float64]
    heading_rad: npt.NDArray[np.float64]
    speed_kmh: npt.NDArray[np.float64]
    visible: npt.NDArray[np.float64]
    phases: dict[str, tuple[str, float]]


@dataclass
class View:
    """One camera's view of a world, which other cameras may film too. Times must not go back by more than `motion.KEEP_S`.

    cache: a folder for the painted scenery, see `render.cache`.
    """

    motion: Motion
    camera_name: str
    size_px: tuple[int, int] = (1280, 720)
    light: Light = field(default_factory=make_light)
    blur_px: float = 0.6
    jpeg: int = 0
    shake_px: float = 0.0
    cache: Path | None = None

    def __post_init__(self) -> None:
        self.world = self.motion.world
        layout = self.world.layout
        self.camera = pole_camera(self.camera_name, layout, self.size_px)
        eye = self.camera.position_m
        self._furniture = [f for f in furniture(layout) if np.hypot(f.x_m - eye[0], f.y_m - eye[1]) > NO_FURNITURE_M]
        self._poles = [c for c in (cast(f, self.camera) for f in self._furniture) if c is not None]
        self._still: list[Cast] = []
        self._backdrop: npt.NDArray[np.uint8] | None = None
        number = ("north", "east", "south", "west").index(self.camera_name)
        self._sensor: Sensor | None = None
        self._camera_seed = self.world.seed * 4 + number
        self._number = 0

    def frame(self, time_s: float, number: int | None = None) -> tuple[npt.NDArray[np.uint8], Truth]:
        """The picture (H, W, 3) BGR and its truth at `time_s`."""
        self._number = self._number + 1 if number is None else number
        present = self.motion.at(time_s)
        backdrop, sensor = self._scenery()
        picture = backdrop.copy()
        seen = paint_figures(picture, self.camera, _figures(present), self.light, self._still)
        layout = self.world.layout
        draw_lamps(picture, self.camera, layout, self.world.plan.lamps(time_s), self.light)
        picture = sensor.expose(picture, self._number)
        return picture, self._truth(time_s, seen, present, sensor.shake(self._number))

    def truth(self, time_s: float) -> Truth:
        """The truth at `time_s` without drawing a picture (and without shake)."""
        present = self.motion.at(time_s)
        casts = [c for c in (cast(f, self.camera) for f in _figures(present)) if c is not None]
        return self._truth(time_s, seen_only([*self._poles, *casts], self.camera), present, (0.0, 0.0))

    def _scenery(self) -> tuple[npt.NDArray[np.uint8], Sensor]:
        if self._backdrop is None or self._sensor is None:
            self._still = still_life(self._furniture, self.camera, self.light)
            made_from = (self.world.layout, self.world.seed, self.camera_name, self.size_px, self.light)
            self._backdrop = cached(self.cache, made_from, self._paint)
            self._sensor = Sensor(self.size_px, self.light, self._camera_seed, self.blur_px, self.jpeg, self.shake_px)
        return self._backdrop, self._sensor

    def _paint(self) -> npt.NDArray[np.uint8]:
        layout = self.world.layout
        plan = paint_ground(layout, Look(), self.world.seed, half_m=100.0, size=2000)
        backdrop = render_backdrop(self.camera, plan, layout, self.light, self.world.seed)
        paint_shadows(backdrop, self.camera, self._still, self.light)
        draw_street_lamps(backdrop, self.camera, layout, self.light)
        return backdrop

    def _truth(self, time_s: float, seen: list[Seen], present: Present, shake: tuple[float, float]) -> Truth:
        in_picture, boxes = [], []
        width, height = self.size_px
        dx, dy = shake
        for item in seen:
            x1, y1, x2, y2 = item.full_px
            cut = (max(x1 + dx, 0.0), max(y1 + dy, 0.0), min(x2 + dx, float(width)), min(y2 + dy, float(height)))
            inside = max(cut[2] - cut[0], 0) * max(cut[3] - cut[1], 0) / max((x2 - x1) * (y2 - y1), 1e-6)
            if inside >= INSIDE and cut[3] - cut[1] >= SMALLEST_PX * height / 720:
                in_picture.append(item)
                boxes.append(cut)
        present_by_number = {actor.number: (actor, state) for actor, state in present}
        now = [present_by_number[item.actor][1] for item in in_picture]
        half = np.array([present_by_number[item.actor][0].shape.length_m / 2 for item in in_picture])
        heading = np.array([s.heading_rad for s in now])
        ground = np.array([(s.x_m, s.y_m) for s in now]).reshape(-1, 2)
        front = ground + half[:, None] * np.column_stack([np.cos(heading), np.sin(heading)]) if in_picture else ground
        middle_px = self.camera.ground_px(ground)
        return Truth(
            time_s,
            np.array([item.actor for item in in_picture], np.int64),
            np.array([CLASSES.index(item.kind) for item in in_picture], np.int64),
            np.array(boxes).reshape(-1, 4),
            ground,
            front,
            np.hstack((middle_px, self.camera.ground_px(front) - middle_px)),
            heading,
            np.array([s.speed_ms * 3.6 for s in now]),
            np.array([item.visible for item in in_picture]),
            self.world.plan.phases(time_s),
        )


def _figures(present: Present) -> list[Figure]:
    return [
        Figure(each.shape, now.x_m, now.y_m, now.heading_rad, *each.colours, each.number, now.braking, now.stride)
        for each, now in present
    ]
