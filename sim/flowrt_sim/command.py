"""Write simulated traffic to files: video, truth and scene per camera."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import cv2
import yaml

from flowrt_sim import CAMERAS, CLASSES
from flowrt_sim.camera.scene import scene
from flowrt_sim.camera.view import Truth
from flowrt_sim.referee.definitions import Violation
from flowrt_sim.referee.referee import Referee
from flowrt_sim.scenarios import SCENARIOS
from flowrt_sim.source import SimCamera
from flowrt_sim.street.layout import BANNED_TURNS, Layout
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.uri import WEATHERS, SimOptions, parse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `flowrt sim`."""
    parser.add_argument("--seed", type=int, default=7, help="what decides everything that happens (default 7)")
    parser.add_argument("--minutes", type=float, default=1.0, help="simulated minutes to write (default 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; made if missing")
    parser.add_argument(
        "--camera", action="append", choices=CAMERAS, help="camera to film; may be repeated (default: all)"
    )
    parser.add_argument("--weather", default="day", choices=tuple(WEATHERS), help="light and weather (default day)")
    parser.add_argument("--scenario", default="mixed", choices=tuple(SCENARIOS), help="what happens (default mixed)")
    parser.add_argument("--fps", type=float, default=10.0, help="frames per second (default 10)")
    parser.add_argument("--size", default="1280x720", metavar="WxH", help="picture size (default 1280x720)")
    parser.add_argument(
        "--start", type=float, default=SimOptions.start, metavar="S", help="world time of the first frame"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="amount of traffic, 1 is usual (default 1)")
    parser.add_argument("--no-video", action="store_true", help="write truth and scene only, many times faster")


def run(args: argparse.Namespace) -> int:
    """Write the files; 0 when all were written, 2 for bad options, 1 when a file can't be written."""
    address = (
        f"sim://four-way?seed={args.seed}&fps={args.fps}&weather={args.weather}&scenario={args.scenario}"
        f"&size={args.size}&start={args.start}&rate={args.rate}&duration_s={args.minutes * 60}"
    )
    try:
        options = parse(address)
        if args.minutes <= 0:
            raise ValueError(f"--minutes: expected more than 0, found {args.minutes}")
    except ValueError as problem:
        print(f"flowrt sim: {problem}", file=sys.stderr)
        return 2
    cameras = tuple(dict.fromkeys(args.camera or CAMERAS))
    out: Path = args.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        total = len(cameras) + 1
        for number, name in enumerate(cameras, 1):
            with _progress(f"{number}/{total} {name}") as tell:
                write_camera(replace(options, camera=name), out, video=not args.no_video, tell=tell)
        with _progress(f"{total}/{total} violations") as tell:
            found = write_violations(options, out, tell=tell)
        write_scene(options, cameras, out)
    except OSError as problem:
        print(f"flowrt sim: can't write to {out}: {problem}", file=sys.stderr)
        return 1
    print(f"{out}: {len(cameras)} camera(s), {args.minutes:g} min, {found} violations")
    return 0


Tell = Callable[[float], None]


@contextmanager
def _progress(label: str) -> Iterator[Tell]:
    """A progress bar on a terminal, silence elsewhere; the function yielded takes the share done."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.progress import Progress  # slow to import, and needed only here

    with Progress() as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def write_camera(options: SimOptions, out: Path, *, video: bool = True, tell: Tell = lambda share: None) -> None:
    """Write NAME.mp4 and NAME.truth.ndjson of one camera. Raises OSError when a file can't be written."""
    camera = SimCamera(options)
    count = camera.frame_count or 0
    name = options.camera
    film: cv2.VideoWriter | None = None
    if video:
        path = out / f"{name}.mp4"
        film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), options.fps, options.size)
        if not film.isOpened():
            raise OSError(f"no video writer for {path}")
    try:
        with (out / f"{name}.truth.ndjson").open("w", encoding="utf-8") as lines:
            for number in range(count):
                if film is None:
                    truth = camera.truth(number)
                else:
                    frame = camera.frame(number)
                    film.write(frame.image)
                    truth = frame.truth
                lines.write(json.dumps(frame_record(number, name, truth), separators=(",", ":")) + "\n")
                tell((number + 1) / count)
    finally:
        if film is not None:
            film.release()


def write_violations(options: SimOptions, out: Path, *, tell: Tell = lambda share: None) -> int:
    """Write truth.ndjson: one header, then phases, violations and counts of the whole world; the number of violations."""
    simulation = Simulation(options.seed, options.scenario, options.rate)
    world = simulation.world
    referee = Referee(world)
    end = options.start + options.duration_s
    steps = 0
    while world.time_s < end - 1e-9:
        simulation.step()
        referee.watch()
        if world.time_s < options.start - 1e-9:
            referee.counts.clear()  # the recording counts from its own start
        steps += 1
        if steps % 200 == 0:
            tell(min(world.time_s / end, 1.0))
    found = [v for v in referee.violations if v.time_s >= options.start]
    with (out / "truth.ndjson").open("w", encoding="utf-8") as lines:
        _line(lines, {"type": "header", "seed": options.seed, "scenario": options.scenario, "weather": options.weather,
                      "rate": options.rate, "fps": options.fps, "start_s": options.start, "duration_s": options.duration_s,
                      "classes": CLASSES, "definitions": asdict(referee.definitions), "banned_turns": BANNED_TURNS})  # fmt: skip
        for time_s in [options.start, *world.plan.changes(options.start, end)]:
            phases = {group: state for group, (state, _) in world.plan.phases(time_s + 1e-6).items()}
            _line(lines, {"type": "phases", "time_s": round(time_s - options.start, 3), "groups": phases})
        for violation in sorted(found, key=lambda v: v.time_s):
            _line(lines, violation_record(violation, options.start))
        for (leg, lane, turn, kind), number in sorted(referee.counts.items()):
            _line(lines, {"type": "count", "leg": leg, "lane": lane, "turn": turn, "class": kind, "count": number})
    return len(found)


def write_scene(options: SimOptions, cameras: tuple[str, ...], out: Path) -> None:
    """Write scene.yaml with one entry per camera."""
    text = yaml.safe_dump({"scene": {name: scene(Layout(), name, options.size) for name in cameras}}, sort_keys=False,
                          default_flow_style=None, width=160)  # fmt: skip
    (out / "scene.yaml").write_text(text, encoding="utf-8")


def frame_record(number: int, camera: str, truth: Truth) -> dict[str, Any]:
    """One frame's truth as a JSON object; times are seconds since the start of the recording."""
    return {
        "type": "frame", "camera": camera, "frame": number, "time_s": round(truth.time_s, 4),
        "phases": {group: [state, round(since, 3)] for group, (state, since) in truth.phases.items()},
        "ids": truth.ids.tolist(),
        "classes": [CLASSES[i] for i in truth.class_ids],
        "boxes_px": [[round(float(c), 1) for c in box] for box in truth.boxes_px],
        "ground_m": [[round(float(c), 3) for c in point] for point in truth.ground_m],
        "front_m": [[round(float(c), 3) for c in point] for point in truth.front_m],
        "heading_rad": [round(float(h), 4) for h in truth.heading_rad],
        "speed_kmh": [round(float(s), 2) for s in truth.speed_kmh],
        "visible": [round(float(s), 2) for s in truth.visible],
    }  # fmt: skip


def violation_record(violation: Violation, start_s: float) -> dict[str, Any]:
    """One violation as a JSON object; times are seconds since the start of the recording."""
    return {
        "type": "violation", "rule": violation.rule, "actor": violation.actor, "class": violation.kind,
        "camera": violation.leg, "lane": violation.lane,
        "time_s": round(violation.time_s - start_s, 3), "start_s": round(violation.start_s - start_s, 3),
        "end_s": round(violation.end_s - start_s, 3),
        "ground_m": [round(c, 3) for c in violation.ground_m], "front_m": [round(c, 3) for c in violation.front_m],
        "value": round(violation.value, 3), "other": violation.other if violation.other >= 0 else None,
        "detail": violation.detail,
    }  # fmt: skip


def _line(lines: TextIO, record: dict[str, Any]) -> None:
    lines.write(json.dumps(record, separators=(",", ":")) + "\n")
