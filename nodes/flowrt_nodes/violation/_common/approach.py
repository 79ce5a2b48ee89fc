"""Stop lines and their approaches: how far each vehicle's front is before or past each line.

Distances are metres where the scene has a homography. Without one, the box's height over the usual height of the class is the
scale, and the bottom of the box the front: right where traffic comes towards the camera, late where it drives away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from flowrt import CameraView, CheckView, Diagnostic, Line, Scene, Tracks, scene_in
from flowrt.traffic.geometry.footprint import sizes_m
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.geometry.plane import Array, LineSet, Mask
from flowrt_nodes._lib.before_confirmation import way_px

# Margins: docs/rules.md says what each is for.
BESIDE = 0.12


class Approaches:
    """The stop lines of a scene with their lawful directions."""

    def __init__(self, view: CameraView, names: Sequence[str]) -> None:
        """names: of lines; all stop lines that a signal group governs when empty."""
        self.view = view
        self.lines = stop_lines(view.scene, names)
        self.signals = [line.signal for line in self.lines]
        plane = [np.asarray(line.points, float) for line in self.lines]
        directions = [_direction_px(view, line) for line in self.lines]
        if view.metric:
            ends = [view.metres(line.points) for line in self.lines]
            ahead = []
            for points, direction in zip(plane, directions, strict=True):
                middle = points.mean(axis=0)
                a, b = view.metres([tuple(middle), tuple(middle + direction)])
                ahead.append(b - a)
        else:
            ends, ahead = plane, directions
        # Each line is directed so that its right-hand side is past it; its normal is the direction of travel.
        directed, self.normals = [], np.zeros((len(ends), 2))
        for i, (line, step) in enumerate(zip(ends, ahead, strict=True)):
            along = line[1] - line[0]
            right = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9)
            if float(right @ step) < 0:
                line, right = line[::-1], -right
            directed.append(line)
            self.normals[i] = right
        self._set = LineSet(directed)

    def __len__(self) -> int:
        return len(self.lines)

    @per_frame
    def place(self, tracks: Tracks) -> tuple[Array, Array]:
        """(N, L) metres that each front is past each line, negative before it; (N, L) share along the line, 0 to 1."""
        count = len(self)
        if not count or not len(tracks):
            return np.zeros((len(tracks), count)), np.zeros((len(tracks), count))
        if not self.view.metric:
            past, along = self._set.place(tracks.ground_px)
            height = np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
            return past * (sizes_m(tracks)[:, 2] / height)[:, None], along
        past, along = self._set.place(self.view.ground_m(tracks))
        half = 0.5 * sizes_m(tracks)[:, :1]
        if not np.isfinite(tracks.ground_m).any():  # without `speed`, the bottom centre is the nearer end already
            half = np.where(self._towards_camera(), 0.0, 2 * half)
        return past + half, along

    def moved(self, tracks: Tracks) -> Array:
        """(N, L) metres that each has moved along each approach since the first picture that showed it; NaN where not known."""
        way, feet = way_px(tracks), np.asarray(tracks.ground_px, np.float64)
        if self.view.viewpoint is None:
            height = np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
            return np.asarray((way @ self.normals.T) * (sizes_m(tracks)[:, 2] / height)[:, None], np.float64)
        ground = self.view.viewpoint.ground
        return np.asarray((ground(feet) - ground(feet - way)) @ self.normals.T, np.float64)

    def _towards_camera(self) -> Array:
        return np.array([[_direction_px(self.view, line)[1] > 0 for line in self.lines]])

    def beside(self, along: Array) -> Mask:
        """(N, L): whether a place along a line counts as on it."""
        return np.asarray((along > -BESIDE) & (along < 1 + BESIDE))


def stop_lines(scene: Scene, names: Sequence[str]) -> list[Line]:
    """The named lines, or every stop line with a signal group."""
    if names:
        return [scene.lines[name] for name in names if name in scene.lines]
    return [line for line in scene.lines_of("stop_line") if line.signal]


def _direction_px(view: CameraView, line: Line) -> Array:
    """(2,): the direction of the picture in which traffic crosses the line: that of the nearest lane, else forward."""
    ends = np.asarray(line.points, float)
    middle = ends.mean(axis=0)
    along = ends[1] - ends[0]
    forward = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9)
    lanes = [zone for zone in view.scene.zones_of("lane") if zone.heading is not None]
    if not lanes:
        return forward
    near = view.polygons(zone.name for zone in lanes).depth(middle[None])[0]
    heading = view.heading_px(lanes[int(np.argmax(near))])
    return forward if float(forward @ heading) >= 0 else -forward


def approach_diagnostics(view: CheckView, scene: str, names: Sequence[str], signal: str) -> Iterable[Diagnostic]:
    """What is wrong with stop lines that can't work."""
    known = scene_in(view, scene)
    if known is None:
        return
    lines = stop_lines(known, names)
    if not lines:
        yield Diagnostic(
            ("scene",),
            f"scene '{scene}' has no stop line with a signal group",
            "add a line `{line: [[x, y], [x, y]], kind: stop_line, signal: GROUP}`, or name one in `lines`",
        )
    for line in lines:
        if not line.signal:
            path = ("lines", names.index(line.name)) if line.name in names else ("scene",)
            yield Diagnostic(path, f"line '{line.name}' has no signal group", "add `signal: GROUP` to it in the scene")
    if not signal:
        yield Diagnostic((), "without `signal` no phase is known, and nothing is ever found", "add `signal: NODE`")
