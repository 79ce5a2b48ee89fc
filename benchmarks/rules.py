"""50 tracks, 10 zones, 10 lines, 10 rules a picture: ours, supervision's PolygonZone and LineZone, and a loop of cv2.pointPolygonTest.

All three do the same job: which vehicle is in which zone, entered or left one, crossed which line, and for ten rules (five of
speeding, five of wrong way) which vehicle in which zone offends, and for how long already.

Ours: a `roi` node with ten zones and ten lines, and ten rule nodes behind it. Ours also waits before it believes a change, and
makes messages of what happened, with ids and evidence; where they would go from there is left out. Supervision: ten PolygonZones
and ten LineZones, asked once, and the rules as numpy on their masks. The loop: every rule asks for every track and zone itself;
one that asks once for all rules is shown beside it, without a target. Milliseconds of CPU time a picture.

Supervision runs in a Python of its own, $FLOWRT_SUPERVISION_PYTHON, since it must not bring a second OpenCV into ours.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks._crowd import (
    COSINE,
    HEIGHT,
    LIMIT_KMH,
    PICTURES,
    RULES,
    SPEED_KMH,
    TOLERANCE_KMH,
    TRACKS,
    VELOCITY_M_S,
    WIDTH,
    ZONES,
    boxes,
    zones,
)
from benchmarks._running import left_out, running, workshop
from benchmarks.pairs import Row, ratios, row
from flowrt import Tracks


def run(pairs: int) -> list[Row]:
    with ExitStack() as stack:
        ours = _Ours(stack)
        mine, theirs, loop = ratios(ours.picture_ms, lambda: _loop_ms(asking=RULES), pairs)
        _, once, shared = ratios(ours.picture_ms, lambda: _loop_ms(asking=1), pairs)
        faster, than_shared = [1 / each for each in loop], [1 / each for each in shared]
        rows = [
            row("rules", f"{TRACKS} tracks x {ZONES} zones x {RULES} rules", mine, "ms", at_most=1.0),
            row("rules", "times faster than a pointPolygonTest loop", faster, "x", at_least=5.0, loop_ms=theirs),
            row("rules", "the same, where all rules share one look at the zones", than_shared, "x", loop_ms=once),
        ]
        python = os.environ.get("FLOWRT_SUPERVISION_PYTHON")
        if not python:
            left_out("rules beside supervision: set FLOWRT_SUPERVISION_PYTHON to a Python that has it")
            return rows
        supervision = _Supervision(python, stack)
        _, theirs, against = ratios(ours.picture_ms, supervision.picture_ms, pairs)
        faster = [1 / each for each in against]
        return [*rows, row("rules", "times faster than supervision", faster, "x", at_least=5.0, supervision_ms=theirs)]


class _Ours:
    def __init__(self, stack: ExitStack) -> None:
        folder = stack.enter_context(workshop())
        self._runtime = stack.enter_context(running(_flow(folder), threads=False))
        self._entrance = self._runtime.runners["zones"].entrance()
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
        return Tracks(
            time_s=1_777_897_800 + number / 25, camera_id="camera", boxes_px=found, confidence=np.full(TRACKS, 0.9, np.float32),
            class_id=np.zeros(TRACKS, np.int64), labels=("car",), picture_px=(WIDTH, HEIGHT), frame_number=number,
            track_id=np.arange(1, TRACKS + 1), age_s=np.full(TRACKS, 3.0, np.float32),
            velocity_px_s=np.full((TRACKS, 2), 30, np.float32), ground_m=found[:, :2] / 20,
            velocity_m_s=np.full((TRACKS, 2), VELOCITY_M_S, np.float32), speed_kmh=np.full(TRACKS, SPEED_KMH, np.float32),
            speed_sigma_kmh=np.full(TRACKS, 2, np.float32), heading_deg=np.zeros(TRACKS, np.float32),
            length_m=np.full(TRACKS, np.nan, np.float32), length_sigma_m=np.full(TRACKS, np.nan, np.float32),
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
        for i in range(RULES)
    ]
    text = [
        "flow: rules", "site: bench", "scene:", "  view:", f"    picture_px: [{WIDTH}, {HEIGHT}]",
        f"    homography: {{image_px: [[0, 0], [{WIDTH}, 0], [{WIDTH}, {HEIGHT}], [0, {HEIGHT}]], ground_m: [[0, 36], [64, 36], [64, 0], [0, 0]]}}",
        "    lines:", *drawn, "    zones:", *scene, "nodes:", "  camera: {type: camera, uri: 'sim://four-way?duration_s=1'}",
        "  objects: {type: detect, from: camera, model: flowrt-traffic-fp16.xml}", "  tracks: {type: track, from: objects}",
        "  speeds: {type: speed, from: tracks, scene: view}",
        "  zones: {type: roi, from: speeds, scene: view, keep: all}", *rules,
    ]  # fmt: skip
    path = folder / "flow.yaml"
    path.write_text("\n".join(text) + "\n")
    return path


def _loop_ms(asking: int) -> float:
    """A plain loop. asking: how many rules look for themselves which vehicle is in which zone; the others use what the last one found."""
    import cv2

    contours = [np.array(points, np.float32) for points in zones()]
    ends = [(points[0], points[3]) for points in zones()]
    pictures = [boxes(i) for i in range(PICTURES // 10)]
    ids = range(1, TRACKS + 1)
    inside: set[tuple[int, int]] = set()
    since_s: dict[tuple[int, int, int], float] = {}
    before: dict[int, tuple[float, float]] = {}
    happened = []
    pace = float(np.hypot(*VELOCITY_M_S))
    began_s = time.thread_time()
    for number, found in enumerate(pictures):
        now_s = number / 25
        feet = dict(zip(ids, np.column_stack(((found[:, 0] + found[:, 2]) / 2, found[:, 3])).tolist(), strict=True))
        for rule in range(RULES):
            if rule < asking:
                there = set()
                for zone, contour in enumerate(contours):
                    for track, foot in feet.items():
                        if cv2.pointPolygonTest(contour, foot, False) >= 0:
                            there.add((track, zone))
            for track, zone in there:
                if (SPEED_KMH > LIMIT_KMH + TOLERANCE_KMH) if rule % 2 else (VELOCITY_M_S[0] < COSINE * pace):
                    began = since_s.setdefault((rule, track, zone), now_s)
                    if now_s - began > 1.0:
                        happened.append((rule, track, zone, now_s))
        happened += [("entry", *one) for one in there - inside] + [("exit", *one) for one in inside - there]
        inside = there
        for line, ((ax, ay), (bx, by)) in enumerate(ends):
            for track, (x, y) in feet.items():
                x0, y0 = before.get(track, (x, y))
                side0, side = (bx - ax) * (y0 - ay) - (by - ay) * (x0 - ax), (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                if (side0 > 0) != (side > 0):
                    share = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
                    if 0 <= share <= 1:
                        happened.append(("crossing", track, line))
        before = feet
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
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("$FLOWRT_SUPERVISION_PYTHON can't run benchmarks/_supervision.py; what it said is above")
        return float(answer)
