"""Pictures of what was found, missed and falsely reported: drawn again from the simulation, with the actor marked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
from flowrt_sim.source import SimCamera
from flowrt_sim.truth import Violation
from flowrt_sim.uri import SimOptions

from flowrt_scoring.matching import Reported
from flowrt_scoring.score import Score
from flowrt_scoring.simulated import CLOCK_HZ

HITS_PER_RULE = 3
COLOURS = {"hit": (80, 200, 80), "missed": (0, 165, 255), "false": (60, 60, 230)}


@dataclass(frozen=True)
class _Shot:
    """One picture to be taken. box_px: what was reported; actor: whose true box is drawn where nothing was reported."""

    seed: int
    leg: str
    time_s: float
    rule: str
    kind: str
    box_px: tuple[float, float, float, float] | None
    actor: int
    said: str


def write_pictures(score: Score, worlds: dict[int, SimOptions], sizes: dict[str, SimOptions], folder: Path) -> int:
    """Write one JPEG each; returns how many. worlds: by seed; sizes: each leg's camera. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[tuple[int, str], list[_Shot]] = {}
    for shot in _shots(score):
        if shot.leg in sizes:
            groups.setdefault((shot.seed, shot.leg), []).append(shot)
    for (seed, leg), shots in groups.items():
        world, own = worlds[seed], sizes[leg]
        options = replace(world, camera=leg, size=own.size, fps=float(CLOCK_HZ))
        camera = SimCamera(options)
        for shot in sorted(shots, key=lambda shot: shot.time_s):
            _write(camera, shot, folder)
    return sum(map(len, groups.values()))


def _shots(score: Score) -> Iterator[_Shot]:
    for rule, judged in score.rules.items():
        for seed, _, found in judged.hits[:HITS_PER_RULE]:
            yield _of_report(seed, rule, "hit", found)
        for seed, found in judged.false_alarms:
            yield _of_report(seed, rule, "false", found)
        for seed, truth in judged.misses:
            yield _of_truth(seed, rule, truth)


def _of_report(seed: int, rule: str, kind: str, found: Reported) -> _Shot:
    report = found.report
    return _Shot(seed, found.leg, report.time_s, rule, kind, report.object.box_px, -1, report.description)


def _of_truth(seed: int, rule: str, truth: Violation) -> _Shot:
    return _Shot(seed, truth.leg, truth.time_s, rule, "missed", None, truth.actor, truth.detail)


def _write(camera: SimCamera, shot: _Shot, folder: Path) -> None:
    frame = camera.frame(round(shot.time_s * CLOCK_HZ))
    picture, box = frame.image.copy(), shot.box_px
    if box is None:
        rows = (frame.truth.ids == shot.actor).nonzero()[0]
        box = tuple(frame.truth.boxes_px[rows[0]].tolist()) if len(rows) else None
    colour = COLOURS[shot.kind]
    if box is not None:
        x0, y0, x1, y1 = (round(edge) for edge in box)
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, 2)
    said = f"{shot.kind}: {shot.rule.replace('_', ' ')}, {shot.leg}, seed {shot.seed}, {shot.time_s:.1f} s. {shot.said}"
    cv2.rectangle(picture, (0, 0), (picture.shape[1], 34), (20, 20, 20), -1)
    cv2.putText(picture, said, (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)
    name = f"{shot.rule}-{shot.kind}-{shot.seed}-{shot.leg}-{shot.time_s:07.1f}.jpg"
    if not cv2.imwrite(str(folder / name), picture):
        raise OSError(f"{folder / name} can't be written")
