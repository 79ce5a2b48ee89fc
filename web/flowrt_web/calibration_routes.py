"""Calibration: what pairs of points say, before anything is saved. Nothing is kept; the page sends its pairs each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any, TypeVar

import cv2
import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from flowrt.http import Host, Route
from flowrt.traffic.calibration import (
    Calibration,
    NoCalibration,
    applied,
    calibrate,
    calibration_diagnostics,
    facts,
)
from flowrt.traffic.scene import Scene
from flowrt_web.stills import NoPicture, jpeg, newest, without_traffic
from flowrt_web.views import CameraView, cameras

GRID_M = 5.0
MAX_GRID_M = 500.0
LATTICE = 24
TOP_PX = 900
MAX_TOP_M = 160.0
Coordinate = Annotated[float, msgspec.Meta(ge=-100_000, le=100_000)]
Pair = tuple[Coordinate, Coordinate]
T = TypeVar("T")


class HeldOut(msgspec.Struct, frozen=True):
    """A distance that was measured and is no part of the fit."""

    from_px: Pair
    to_px: Pair
    metres: Annotated[float, msgspec.Meta(gt=0, le=10_000)]


class Pairs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points of the picture and the same points on the ground."""

    scene: str
    image_px: Annotated[list[Pair], msgspec.Meta(max_length=200)]
    ground_m: Annotated[list[Pair], msgspec.Meta(max_length=200)]
    held_out: HeldOut | None = None


def routes(host: Host) -> Iterable[Route]:
    """The routes of the calibration page."""

    one_still_at_a_time = asyncio.Lock()
    one_picture_at_a_time = asyncio.Lock()  # a camera that is away must not take all threads that requests have

    def scene_named(name: str) -> Scene | None:
        scene: Scene | None = host.runtime.flow.sections.get("scene", {}).get(name)
        return scene

    def view_of(scene: str) -> CameraView | None:
        return next((view for view in cameras(host.runtime.flow) if view.scene == scene), None)

    async def judge(request: Request) -> Response:
        pairs = msgspec.json.decode(await request.body(), type=Pairs)
        scene = scene_named(pairs.scene)
        if scene is None:
            return host.json({"error": f"the flow has no scene {pairs.scene}"}, 404)
        return host.json(await _elsewhere(judged, pairs, scene))

    async def top(request: Request) -> Response:
        pairs = msgspec.json.decode(await request.body(), type=Pairs)
        scene, view = scene_named(pairs.scene), view_of(pairs.scene)
        if scene is None or view is None:
            return host.json({"error": f"no camera shows the scene {pairs.scene}"}, 404)
        async with one_picture_at_a_time:
            picture = await _elsewhere(newest, host.runtime, view)
        return Response(await _elsewhere(top_view, picture, pairs, scene), media_type="image/jpeg")

    async def still(request: Request) -> Response:
        view = view_of(request.path_params["scene"])
        if view is None:
            return host.json({"error": "no camera shows this scene"}, 404)
        async with one_still_at_a_time:
            picture = await _elsewhere(without_traffic, host.runtime, view)
        return Response(await _elsewhere(jpeg, picture), media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    def careful(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def careful_answer(request: Request) -> Any:
            try:
                return await answer(request)
            except msgspec.DecodeError as error:
                return host.json({"error": str(error)}, 400)
            except NoPicture as error:
                return host.json({"error": str(error)}, 503)
            except NoCalibration as error:
                return host.json({"error": _sentence(error)}, 422)

        return careful_answer

    yield Route("/api/page/calibration", careful(judge), "edit", ("POST",))
    yield Route("/api/page/calibration/top", careful(top), "edit", ("POST",))
    yield Route("/api/page/still/{scene}", careful(still))


def judged(pairs: Pairs, scene: Scene) -> dict[str, Any]:
    """What a fit of these pairs is worth; where they determine none, why."""
    try:
        fit = calibrate(pairs.image_px, pairs.ground_m, scene.picture_px)
    except (NoCalibration, ValueError) as error:
        return {"good": False, "why": _sentence(error)}
    problems = [
        {"severity": each.severity, "message": each.message, "hint": each.hint} for each in calibration_diagnostics(fit)
    ]
    return facts(fit) | {
        "good": True,
        "problems": problems + _misses(fit, scene),
        "grid": grid(fit, scene),
        "sigmas": sigmas(fit, scene),
        "lattice": lattice(fit, scene),
        "check": _held_out(fit, pairs.held_out),
    }


def _sentence(error: Exception) -> str:
    if isinstance(error, NoCalibration):
        return "; ".join(each.message + (f" ({each.hint})" if each.hint else "") for each in error.diagnostics)
    return str(error)


def _held_out(fit: Calibration, held: HeldOut | None) -> dict[str, float] | None:
    """The measured distance beside the predicted one."""
    if held is None:
        return None
    start, end = applied(fit.to_ground, [held.from_px, held.to_px])
    metres = float(np.hypot(*(end - start)))
    return {"measured_m": held.metres, "predicted_m": round(metres, 3), "off": round(metres / held.metres - 1, 4)}


def _misses(fit: Calibration, scene: Scene) -> list[dict[str, str]]:
    """Lanes, stop lines and crosswalks that lie far outside of the points: there the fit is a guess."""
    far = 0.15 * scene.picture_px[0]
    drawn = [(zone.name, zone.points) for zone in scene.zones_of("lane", "crosswalk")]
    drawn += [(line.name, line.points) for line in scene.lines_of("stop_line")]
    names = [name for name, points in drawn if float(np.max(fit.beyond_hull_px(np.asarray(points, float)))) > far]
    if not names:
        return []
    message = f"{', '.join(names)}: partly far outside of the points, where the fit is a guess"
    return [{"severity": "warning", "message": message, "hint": "give points around it"}]


def sigmas(fit: Calibration, scene: Scene) -> list[dict[str, Any]]:
    """By lane, how uncertain the scale is in its middle: a share of any speed there."""
    lanes = scene.zones_of("lane")
    if not lanes:
        return []
    middles = np.asarray([np.mean(np.asarray(zone.points, float), axis=0) for zone in lanes])
    shares = _known(fit.scale_sigma(middles))
    return [
        {"lane": zone.name, "at": [round(float(x), 1), round(float(y), 1)], "sigma": share}
        for zone, (x, y), share in zip(lanes, middles, shares, strict=True)
    ]


def lattice(fit: Calibration, scene: Scene) -> list[list[float | None]]:
    """[x, y, share] over the picture: the map of the scale's standard deviation."""
    width, height = scene.picture_px
    step = width / LATTICE
    points = np.asarray([(x, y) for y in np.arange(step / 2, height, step) for x in np.arange(step / 2, width, step)])
    shares = _known(fit.scale_sigma(points))
    return [[round(float(x), 1), round(float(y), 1), share] for (x, y), share in zip(points, shares, strict=True)]


def grid(fit: Calibration, scene: Scene) -> list[list[list[float]]]:
    """Lines every 5 m on the road, in pixels of the picture, around the points; of those far apart around their middle."""
    low, high = fit.ground_m.min(axis=0) - 2 * GRID_M, fit.ground_m.max(axis=0) + 2 * GRID_M
    middle = (low + high) / 2
    low, high = np.maximum(low, middle - MAX_GRID_M / 2), np.minimum(high, middle + MAX_GRID_M / 2)
    low, high = np.floor(low / GRID_M) * GRID_M, np.ceil(high / GRID_M) * GRID_M
    lines = []
    for axis in (0, 1):
        along = np.linspace(low[1 - axis], high[1 - axis], 40)
        for at in np.arange(low[axis], high[axis] + 1, GRID_M):
            ground = np.empty((len(along), 2))
            ground[:, axis], ground[:, 1 - axis] = at, along
            lines.append(_seen(applied(fit.to_image, ground), scene))
    return [line for line in lines if len(line) > 1]


def _seen(points: Any, scene: Scene) -> list[list[float]]:
    width, height = scene.picture_px
    near = np.isfinite(points).all(axis=1)
    near &= (np.abs(points[:, 0] - width / 2) < width) & (np.abs(points[:, 1] - height / 2) < height)
    return [[round(float(x), 1), round(float(y), 1)] for x, y in points[near]]


def top_view(picture: Any, pairs: Pairs, scene: Scene) -> bytes:
    """The road from above, as the fit sees it. Raises NoCalibration."""
    fit = calibrate(pairs.image_px, pairs.ground_m, scene.picture_px)
    low, high = fit.ground_m.min(axis=0) - GRID_M, fit.ground_m.max(axis=0) + GRID_M
    high = np.minimum(high, low + MAX_TOP_M)
    scale = TOP_PX / float(max(high - low))
    size = (int((high[0] - low[0]) * scale), int((high[1] - low[1]) * scale))
    to_pixels = np.array([[scale, 0, -low[0] * scale], [0, -scale, high[1] * scale], [0, 0, 1]])
    drawn = np.diag([scene.picture_px[0] / picture.shape[1], scene.picture_px[1] / picture.shape[0], 1.0])
    seen = cv2.warpPerspective(picture, to_pixels @ fit.to_ground @ drawn, size)
    return jpeg(seen, 85)


def _known(shares: Any) -> list[float | None]:
    return [round(float(share), 4) if np.isfinite(share) else None for share in np.atleast_1d(shares)]


async def _elsewhere(function: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *arguments))
