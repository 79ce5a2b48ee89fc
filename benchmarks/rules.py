"""50 tracks, 10 zones, 10 rules a picture: ours, supervision's PolygonZone and LineZone, and a loop of cv2.pointPolygonTest.

Ours: a `roi` node with ten zones and ten lines, and ten rule nodes behind it. Supervision: ten PolygonZones and ten LineZones, which
answer less (no debounce, no dwell, no rule). The loop: every rule asks for every track and zone. Milliseconds of CPU time a picture.

Supervision runs in a Python of its own, $FLOWRT_SUPERVISION_PYTHON, since it must not bring a second OpenCV into ours.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._running import left_out, running, workshop
from benchmarks.pairs import Row, ratios, row
from flowrt import Tracks
from flowrt.flow import FROM

TRACKS, ZONES, PICTURES = 50, 10, 200
WIDTH, HEIGHT = 1280, 720


def run(pairs: int) -> list[Row]:
    with ExitStack() as stack:
        ours = _Ours(stack)
        mine, theirs, loop = ratios(ours.picture_ms, _loop_ms, pairs)
        faster = [1 / each for each in loop]
        rows = [
            row("rules", f"{TRACKS} tracks x {ZONES} zones x 10 rules", mine, "ms", at_most=1.0),
            row("rules", "times faster than a pointPolygonTest loop", faster, "x", at_least=5.0, loop_ms=theirs),
        ]
        python = os.environ.get("FLOWRT_SUPERVISION_PYTHON")
        if not python:
            left_out("rules beside supervision: set FLOWRT_SUPERVISION_PYTHON to a Python that has it")
            return rows
        supervision = _Supervision(python, stack)
        _, theirs, against = ratios(ours.picture_ms, supervision.picture_ms, pairs)
        faster = [1 / each for each in against]
        return [*rows, row("rules", "times faster than supervision", faster, "x", at_least=5.0, supervision_ms=theirs)]


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


class _Ours:
    def __init__(self, stack: ExitStack) -> None:
        folder = stack.enter_context(workshop())
        self._runtime = stack.enter_context(running(_flow(folder), threads=False))
        self._entrance = self._runtime.cells["zones"].entrance(FROM, False)
        self._pictures = 0

    def picture_ms(self) -> float:
        """CPU milliseconds a picture takes through all of them."""
        pictures = [self._tracks(self._pictures + i) for i in range(PICTURES)]
        self._pictures += PICTURES
        began_s = time.thread_time()
        for tracks in pictures:
            self._entrance(tracks)
        return (time.thread_time() - began_s) / PICTURES * 1e3

    @staticmethod
    def _tracks(number: int) -> Tracks:
        found = boxes(number)
        unknown = np.full(TRACKS, np.nan, np.float32)
        return Tracks(
            time_s=1_777_897_800 + number / 25, camera_id="camera", boxes_px=found, confidence=np.full(TRACKS, 0.9, np.float32),
            class_id=np.zeros(TRACKS, np.int64), labels=("car",), picture_px=(WIDTH, HEIGHT), frame_number=number,
            track_id=np.arange(1, TRACKS + 1), age_s=np.full(TRACKS, 3.0, np.float32),
            velocity_px_s=np.full((TRACKS, 2), 30, np.float32), ground_m=found[:, :2] / 20,
            velocity_m_s=np.full((TRACKS, 2), 8, np.float32), speed_kmh=np.full(TRACKS, 41, np.float32),
            speed_sigma_kmh=unknown, heading_deg=np.zeros(TRACKS, np.float32),
            in_zone=np.zeros((TRACKS, 0), bool), zone_since_s=np.zeros((TRACKS, 0)),
        )  # fmt: skip


def _flow(folder: Path) -> Path:
    named = {f"z{i}": points for i, points in enumerate(zones())}
    lines = {f"l{i}": [[points[0][0], points[0][1]], [points[3][0], points[3][1]]] for i, points in enumerate(zones())}
    kinds = "kind: lane, heading: [1, 0], limit_kmh: 50"
    scene = [f"      {name}: {{zone: {[list(p) for p in points]}, {kinds}}}" for name, points in named.items()]
    drawn = [f"      {name}: {{line: {points}}}" for name, points in lines.items()]
    rules = [
        f"  rule{i}: {{type: violation.{'speeding' if i % 2 else 'wrong_way'}, from: zones, scene: view}}"
        for i in range(10)
    ]
    ends = ", ".join(["zones.zone_events", *(f"rule{i}" for i in range(10))])
    text = [
        "flow: rules", "site: bench", "scene:", "  view:", f"    picture_px: [{WIDTH}, {HEIGHT}]",
        f"    homography: {{image_px: [[0, 0], [{WIDTH}, 0], [{WIDTH}, {HEIGHT}], [0, {HEIGHT}]], ground_m: [[0, 36], [64, 36], [64, 0], [0, 0]]}}",
        "    lines:", *drawn, "    zones:", *scene, "nodes:", "  camera: {type: camera, uri: 'sim://four-way?duration_s=1'}",
        "  objects: {type: detect, from: camera, model: flowrt-traffic-fp16.xml}", "  tracks: {type: track, from: objects}",
        "  speeds: {type: speed, from: tracks, scene: view}",
        "  zones: {type: roi, from: speeds, scene: view, keep: all}", *rules,
        f"  to_file: {{type: file_out, from: [{ends}], path: events.ndjson}}",
    ]  # fmt: skip
    path = folder / "flow.yaml"
    path.write_text("\n".join(text) + "\n")
    return path


def _loop_ms() -> float:
    """A plain loop: every rule asks for every track and zone whether its foot point lies inside."""
    import cv2

    contours = [np.array(points, np.float32) for points in zones()]
    pictures = [boxes(i) for i in range(PICTURES // 10)]
    began_s = time.thread_time()
    for found in pictures:
        feet = np.column_stack(((found[:, 0] + found[:, 2]) / 2, found[:, 3])).tolist()
        for _ in range(10):
            for contour in contours:
                for foot in feet:
                    cv2.pointPolygonTest(contour, foot, False)
    return (time.thread_time() - began_s) / len(pictures) * 1e3


class _Supervision:
    def __init__(self, python: str, stack: ExitStack) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks._supervision"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(self._process.kill)

    def picture_ms(self) -> float:
        """CPU milliseconds a picture takes through ten PolygonZones and ten LineZones."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())
