"""Pictures of hits, misses and false alarms, drawn again from the simulation for a person to check.

Each shows the offender (thick box, trail of the last seconds), the other road user it concerns, the lines and the zone of the rule,
the signal phases, and a small offender once more, enlarged: far away a vehicle is thirty pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_scoring.matching import Reported
from flowrt_scoring.score import Score
from flowrt_scoring.simulated import CLOCK_HZ
from flowrt_sim.referee.definitions import Violation
from flowrt_sim.source import SimCamera, SimFrame
from flowrt_sim.street.signals import CROSSWALK_GROUPS, LAMPS, VEHICLE_GROUPS
from flowrt_sim.uri import SimOptions

HITS_PER_RULE = 3
TRAIL_S, TRAIL_STEP_S = 3.0, 0.2
MOMENT_S = {"red_light": 0.5, "near_miss": 0.0}
"""Rules that report late (a turn on red must show, a pair must have passed): seconds after the beginning at which the offence is best seen."""
LENS, LENS_PX = 3, (60, 96)
"""The magnification of a small offender, and the least and largest size in pixels that is enlarged."""
COLOURS = {"hit": (80, 220, 80), "missed": (0, 165, 255), "false": (60, 60, 235)}
LAMP_COLOURS = {"red": (60, 40, 230), "amber": (0, 190, 250), "green": (80, 200, 60)}
ZONE, OTHER, DARK, WHITE = (240, 200, 60), (230, 90, 200), (28, 24, 20), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX

Image = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Shot:
    """One picture to draw. report: what was reported; truth: what happened; one of them may be missing."""

    seed: int
    leg: str
    time_s: float
    rule: str
    kind: str
    report: Reported | None
    truth: Violation | None
    caption: str


def write_pictures(score: Score, worlds: dict[int, SimOptions], sizes: dict[str, SimOptions], folder: Path) -> int:
    """Write one JPEG each; returns how many. worlds: by seed; sizes: each leg's camera. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[int, str], list[_Shot]] = {}
    for shot in _shots(score):
        if shot.leg in sizes:
            groups.setdefault((shot.seed, shot.leg), []).append(shot)
    for (seed, leg), shots in groups.items():
        world, own = worlds[seed], sizes[leg]
        camera = SimCamera(replace(world, camera=leg, size=own.size, fps=float(CLOCK_HZ)))
        for shot in sorted(shots, key=lambda shot: shot.time_s):
            _write(camera, shot, folder)
    return sum(map(len, groups.values()))


def _shots(score: Score) -> Iterator[_Shot]:
    for rule, judged in score.rules.items():
        for seed, truth, report in judged.hits[:HITS_PER_RULE]:
            yield _of_report(seed, rule, "hit", report, truth)
        for seed, report in judged.false_alarms:
            yield _of_report(seed, rule, "false", report, None)
        for seed, truth in judged.misses:
            yield _Shot(seed, truth.leg, truth.time_s, rule, "missed", None, truth, truth.detail)


def _of_report(seed: int, rule: str, kind: str, reported: Reported, truth: Violation | None) -> _Shot:
    time_s = reported.report.time_s
    if truth is not None and rule in MOMENT_S:
        time_s = min(time_s, reported.report.started_s + MOMENT_S[rule])
    return _Shot(seed, reported.leg, time_s, rule, kind, reported, truth, reported.report.description)


def _write(camera: SimCamera, shot: _Shot, folder: Path) -> None:
    as_reported = shot.report is not None and shot.time_s == shot.report.report.time_s
    trail = _reported_trail(shot) if as_reported else _true_trail(camera, shot)
    frame = camera.frame(round(shot.time_s * CLOCK_HZ))
    picture, colour = frame.image.copy(), COLOURS[shot.kind]
    box = (
        shot.report.report.object.box_px if shot.report is not None and as_reported else _true_box(frame, _actor(shot))
    )
    other = _true_box(frame, shot.truth.other) if shot.truth is not None and shot.truth.other >= 0 else None
    _draw_scene(picture, camera.scene(), shot)
    if len(trail) > 1:
        points = np.asarray(trail, np.float64).round().astype(np.int32)
        cv2.polylines(picture, [points], False, colour, 2, cv2.LINE_AA)
    if other is not None:
        _frame(picture, other, OTHER, 2)
    if box is not None:
        _frame(picture, box, colour, 2)
        _lens(picture, box, colour)
    _lamps(picture, frame, shot.leg)
    title = (
        f"{shot.kind}: {shot.rule.replace('_', ' ')}, {shot.leg}, seed {shot.seed}, {shot.time_s:.1f} s. {shot.caption}"
    )
    cv2.rectangle(picture, (0, 0), (picture.shape[1], 34), DARK, cv2.FILLED)
    cv2.putText(picture, title, (10, 24), FONT, 0.6, colour, 1, cv2.LINE_AA)
    name = f"{shot.rule}-{shot.kind}-{shot.seed}-{shot.leg}-{shot.time_s:07.1f}.jpg"
    if not cv2.imwrite(str(folder / name), picture):
        raise OSError(f"{folder / name} can't be written")


def _reported_trail(shot: _Shot) -> list[tuple[float, float]]:
    """Where the offender was by the report, in pixels."""
    samples: Sequence[dict[str, Any]] = shot.report.report.evidence.get("samples", ()) if shot.report else ()
    return [(s["x_px"], s["y_px"]) for s in samples if s["time_s"] >= shot.time_s - TRAIL_S]


def _true_trail(camera: SimCamera, shot: _Shot) -> list[tuple[float, float]]:
    """Where the offender was by the truth: the bottom centres of its boxes."""
    trail = []
    for step in np.arange(max(shot.time_s - TRAIL_S, 0.0), shot.time_s, TRAIL_STEP_S).tolist():
        truth = camera.truth(round(step * CLOCK_HZ))
        rows = np.flatnonzero(truth.ids == _actor(shot))
        trail += [((x0 + x1) / 2, y1) for x0, _, x1, y1 in truth.boxes_px[rows].tolist()]
    return trail


def _actor(shot: _Shot) -> int:
    return shot.truth.actor if shot.truth is not None else -1


def _true_box(frame: SimFrame, actor: int) -> Box | None:
    rows = np.flatnonzero(frame.truth.ids == actor)
    if not len(rows):
        return None
    x0, y0, x1, y1 = frame.truth.boxes_px[rows[0]].tolist()
    return x0, y0, x1, y1


def _draw_scene(picture: Image, scene: dict[str, Any], shot: _Shot) -> None:
    """The stop line always; the rule's own line or zone, named."""
    roi = shot.report.report.roi_id if shot.report else (shot.truth.lane if shot.truth else "")
    for row, name in enumerate(dict.fromkeys(("stop_line", roi))):
        line, zone = scene["lines"].get(name), scene["zones"].get(name)
        if line is None and zone is None:
            continue
        points = np.asarray(line["line"] if line is not None else zone["zone"], np.float64).round().astype(np.int32)
        colour = LAMP_COLOURS["red"] if name == "stop_line" else ZONE
        cv2.polylines(picture, [points], zone is not None, colour, 2, cv2.LINE_AA)
        x, y = points[points[:, 0].argmin()].tolist()
        _text(picture, (max(x - 12 - 9 * len(name), 4), y + 4 + 18 * row), name, WHITE)


def _frame(picture: Image, box: Box, colour: tuple[int, int, int], width: int) -> None:
    x0, y0, x1, y1 = (round(edge) for edge in box)
    cv2.rectangle(picture, (x0 - 2, y0 - 2), (x1 + 2, y1 + 2), colour, width, cv2.LINE_AA)


def _lens(picture: Image, box: Box, colour: tuple[int, int, int]) -> None:
    """A small offender and what is around it, enlarged, in the lower corner that is farther from it."""
    height, width = picture.shape[:2]
    size = max(box[2] - box[0], box[3] - box[1])
    if size > LENS_PX[1]:
        return
    side = min(max(round(1.6 * size), LENS_PX[0]), LENS_PX[1])
    x = min(max(round((box[0] + box[2] - side) / 2), 0), width - side)
    y = min(max(round((box[1] + box[3] - side) / 2), 0), height - side)
    part = cv2.resize(picture[y : y + side, x : x + side], None, fx=LENS, fy=LENS, interpolation=cv2.INTER_CUBIC)
    left = 0 if x + side / 2 > width / 2 else width - part.shape[1]
    picture[height - part.shape[0] :, left : left + part.shape[1]] = part
    cv2.rectangle(picture, (left, height - part.shape[0]), (left + part.shape[1] - 1, height - 1), colour, 2)


def _lamps(picture: Image, frame: SimFrame, leg: str) -> None:
    """The states of the signals for the leg's traffic and its crosswalk, and for how long."""
    for row, (name, group) in enumerate((("traffic", VEHICLE_GROUPS[leg]), ("walk", CROSSWALK_GROUPS[leg]))):
        state, since_s = frame.truth.phases[group]
        y, width = 60 + 30 * row, picture.shape[1]
        cv2.rectangle(picture, (width - 190, y - 15), (width, y + 15), DARK, cv2.FILLED)
        cv2.circle(picture, (width - 172, y), 10, LAMP_COLOURS[LAMPS[state]], cv2.FILLED, cv2.LINE_AA)
        _text(picture, (width - 154, y + 5), f"{name} {frame.time_s - since_s:.1f} s", WHITE)


def _text(picture: Image, place: tuple[int, int], text: str, colour: tuple[int, int, int]) -> None:
    """Text on a darkened strip of the picture, readable on any background."""
    (width, height), base = cv2.getTextSize(text, FONT, 0.5, 1)
    x, y = place
    strip = picture[max(y - height - 3, 0) : y + base, max(x - 3, 0) : x + width + 3]
    strip[...] = strip // 3
    cv2.putText(picture, text, place, FONT, 0.5, colour, 1, cv2.LINE_AA)
