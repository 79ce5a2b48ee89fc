"""signal.lamp: phases from the lamps in the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import (
    CheckView,
    Context,
    Diagnostic,
    Frame,
    Lamp,
    Scene,
    SceneName,
    SignalState,
    Transform,
    scene_in,
    scene_of,
    setting,
)

COLOURS = {"red": "stop-and-remain", "amber": "permissive-clearance", "green": "permissive-movement-allowed"}
FLASH_S = 0.8
"""A lamp that goes dark for less than this, again and again, flashes."""


class _Reading(NamedTuple):
    state: str
    since_s: float


class LampSignal(Transform):
    """Signal phases read from the lenses that the scene's `lamps` name, by their brightness in their own colour.

    A lens is lit when it is brighter than the darkest lens of its head by `contrast`, and no other lens comes near it. No lit lens, or
    two that are not red and amber, give `unavailable`, and rules that need the phase report nothing. A new
    state counts when it was seen for `settle_s`, and dates back to its first picture. Reports go out at every change and every
    `every_s`. Frames are not passed on.
    """

    scene: SceneName
    contrast: Annotated[float, setting("How much brighter a lit lens is, of 255.", gt=0, le=255)] = 35.0
    settle_s: Annotated[float, setting("How long a new state must be seen.", ge=0, le=5)] = 0.15
    every_s: Annotated[float, setting("Longest time between reports.", ge=0.05, le=60)] = 0.5

    example: ClassVar[str] = """\
signals: {type: signal.lamp, from: north_camera, scene: north}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        if scene is not None and not scene.lamps:
            hint = "add `lamps: {GROUP: {red: [x, y, radius], green: […]}}` to it"
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no lamps", hint)

    def open(self, context: Context) -> None:
        self._states: dict[str, _Reading] = {}
        self._candidates: dict[str, _Reading] = {}
        self._reported_s = float("-inf")
        self._prepared_for: tuple[int, int] | None = None

    def reconfigured(self, changed: frozenset[str]) -> None:
        if "scene" in changed:
            self._prepared_for = None

    def process(self, frame: Frame) -> SignalState | None:
        if self._prepared_for != frame.size_px:
            self._prepare(frame.size_px, frame.camera_id)
        changed = False
        for group, lenses in self._lenses.items():
            state = "unavailable" if frame.view_fault else self._read(frame.image, lenses)
            changed |= self._settle(group, state, frame.time_s)
        if not changed and frame.time_s - self._reported_s < self.every_s - 1e-6:
            return None
        self._reported_s = frame.time_s
        return SignalState(
            time_s=frame.time_s,
            camera_id=frame.camera_id,
            states={group: reading.state for group, reading in self._states.items()},
            since_s={group: reading.since_s for group, reading in self._states.items()},
        )

    def export_state(self) -> Any:
        return self._states

    def import_state(self, state: Any) -> None:
        self._states = state

    def status(self) -> dict[str, Any]:
        return {group: reading.state for group, reading in self._states.items()}

    def _prepare(self, size_px: tuple[int, int], camera: str) -> None:
        scene: Scene | None = scene_of(self.context)
        lamps = scene.scaled(size_px, camera).lamps if scene is not None else {}
        self._lenses = {lamp.signal: dict(_discs(lamp, size_px)) for lamp in lamps.values()}
        self._states = {group: self._states.get(group, _Reading("unavailable", 0.0)) for group in self._lenses}
        self._prepared_for = size_px

    def _read(self, image: NDArray[np.uint8], lenses: dict[str, NDArray[np.int64]]) -> str:
        """The state of one head in one picture."""
        glow = {colour: _glow(image, pixels, colour) for colour, pixels in lenses.items()}
        ranked = sorted(glow, key=glow.__getitem__, reverse=True)
        brightest, darkest = ranked[0], ranked[-1]
        span = glow[brightest] - glow[darkest]
        if span < self.contrast:
            return "unavailable"
        lit = {colour for colour in ranked if glow[colour] - glow[darkest] > 0.6 * span}
        if lit == {"red", "amber"}:
            return "pre-movement"
        return COLOURS[brightest] if len(lit) == 1 else "unavailable"

    def _settle(self, group: str, state: str, time_s: float) -> bool:
        """Take a reading in; whether the state changed."""
        now = self._states[group]
        if state == now.state:
            self._candidates.pop(group, None)
            return False
        candidate = self._candidates.get(group)
        if candidate is None or candidate.state != state:
            candidate = self._candidates[group] = _Reading(state, time_s)
        patience_s = max(self.settle_s, FLASH_S) if state == "unavailable" else self.settle_s
        if time_s - candidate.since_s < patience_s - 1e-6:
            return False
        del self._candidates[group]
        self._states[group] = candidate
        return True


def _discs(lamp: Lamp, size_px: tuple[int, int]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Colour and (K, 2) rows and columns of the pixels of each lens."""
    for colour, circle in (("red", lamp.red), ("amber", lamp.amber), ("green", lamp.green)):
        if circle is None:
            continue
        x, y, radius = circle
        radius = max(radius, 1.0)
        columns = np.arange(max(int(x - radius), 0), min(int(x + radius) + 1, size_px[0] - 1) + 1)
        rows = np.arange(max(int(y - radius), 0), min(int(y + radius) + 1, size_px[1] - 1) + 1)
        grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
        inside = np.hypot(grid[:, 0] - y, grid[:, 1] - x) <= radius + 0.5
        yield colour, grid[inside] if inside.any() else grid[:1]


def _glow(image: NDArray[np.uint8], pixels: NDArray[np.int64], colour: str) -> float:
    """How bright a lens is in its colour: the mean of its brighter half of pixels, so that its rim does not count."""
    blue, green, red = image[pixels[:, 0], pixels[:, 1]].astype(np.float32).T
    values = {"red": red, "green": np.maximum(green, blue * 0.9), "amber": (red + green) / 2}[colour]
    brighter = np.sort(values)[len(values) // 2 :]
    return float(brighter.mean())
