"""Score a flow's rules against what really happened in simulated traffic.

Runs the flow on simulated time, once per seed, and matches its violations with the truth: the same rule, the same actor by
ground position, within 1.5 s. TRUTH is `sim` (the world's own truth), or the truth.ndjson of `flowrt sim`, whose seed,
scenario, weather and duration then count. `flowrt score detector` measures the bundled detector instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, get_args

from flowrt_scoring.noise.profile import ProfileError, read_profile
from flowrt_scoring.reference import TruthError, read_truth
from flowrt_scoring.simulated import Boxes, Faults, cameras

DETECTOR = "detector"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flow", metavar="FLOW", help="the flow file, or `detector`")
    parser.add_argument("--truth", default="sim", metavar="TRUTH", help="`sim` (default), or truth of `flowrt sim`")
    parser.add_argument("--seeds", default="1", metavar="A..B", help="run each of these seeds (default 1)")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="per seed (default 10)")
    parser.add_argument(
        "--boxes", choices=get_args(Boxes), default="model",
        help="source of boxes: the flow's model (default), or the truth: all road users, or those that are visible",
    )  # fmt: skip
    parser.add_argument("--weather", default="", help="another weather for every seed")
    parser.add_argument("--scenario", default="", help="another scenario for every seed")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="write a picture of each mistake, and of some hits"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="cache the detections in DIR, and read them from there next time, for other rules",
    )  # fmt: skip
    parser.add_argument("--drop", type=float, default=0.0, metavar="SHARE", help="lose this share of the pictures")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SHARE", help="shift pictures by up to this share")
    parser.add_argument(
        "--stamp-jitter", type=float, default=0.0, metavar="MS",
        help="delay pictures by a network's queue of this standard deviation, and take their times as a live camera does",
    )  # fmt: skip
    parser.add_argument("--no-signal", action="store_true", help="without signal states")
    parser.add_argument(
        "--noise-px", type=float, default=0.0, metavar="PX", help="noise on the edges of the truth's boxes"
    )
    parser.add_argument(
        "--noise", default="", metavar="PROFILE",
        help="with --boxes truth: see the truth as a real detector does, by a shipped profile (yolox-nano) or a file of `flowrt noise`",
    )  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="override a setting")
    parser.add_argument("--model", type=Path, action="append", help="`detector`: this model; may be repeated")
    parser.add_argument("--count", type=int, default=300, help="`detector`: how many pictures (default 300)")


def run(args: argparse.Namespace) -> int:
    """Score, and print the result."""
    from flowrt.commands import DONE, UsageError

    _check(args)
    logging.getLogger("flowrt").setLevel(logging.ERROR)
    if args.flow == DETECTOR:
        return _detector(args)
    try:
        _flow(args)
    except (TruthError, ProfileError) as error:
        raise UsageError(str(error)) from error
    return DONE


def _check(args: argparse.Namespace) -> None:
    from flowrt.commands import UsageError

    if not 0 <= args.drop < 1:
        raise UsageError(f"--drop {args.drop:g}: expected 0 up to, but not, 1")
    if not 0 <= args.jitter <= 1:
        raise UsageError(f"--jitter {args.jitter:g}: expected 0 to 1")
    if args.stamp_jitter < 0:
        raise UsageError(f"--stamp-jitter {args.stamp_jitter:g}: expected 0 or more")
    if args.minutes <= 0:
        raise UsageError(f"--minutes {args.minutes:g}: expected more than 0")
    if args.noise and args.boxes == "model":
        raise UsageError("--noise disturbs the truth's boxes: say --boxes truth")


def seeds(text: str) -> list[int]:
    """`7`, `1..4` or `1,5,9`. Raises UsageError."""
    from flowrt.commands import UsageError

    try:
        first, dots, last = text.partition("..")
        numbers = list(range(int(first), int(last) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0:
        raise UsageError(f"--seeds {text}: expected one seed (7), a range (1..4) or a list (1,5,9)")
    return numbers


def _flow(args: argparse.Namespace) -> None:
    from flowrt.commands.check import parse_overrides
    from flowrt.config import load
    from flowrt_scoring.report import mistakes, table
    from flowrt_scoring.score import Score, add_run

    flow = load(args.flow, overrides=parse_overrides(args.set))
    score, started = Score(), time.monotonic()
    faults = Faults(
        drop=args.drop,
        jitter=args.jitter,
        no_signal=args.no_signal,
        noise_px=args.noise_px,
        stamp_jitter_ms=args.stamp_jitter,
        noise=read_profile(args.noise) if args.noise else None,
    )
    worlds = {}
    for world, truth in _worlds(args, flow):
        worlds[world.seed] = world
        add_run(
            score,
            flow,
            world,
            boxes=args.boxes,
            faults=faults,
            truth=truth,
            cache=args.keep,
            report=lambda line: print(line, file=sys.stderr),
        )
    if args.format == "json":
        print(json.dumps(score.facts(), indent=2))
    else:
        print(table(score))
        for line in mistakes(score):
            print(line)
    print(f"scored in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if args.pictures:
        from flowrt_scoring.pictures import write_pictures

        sizes = {options.camera: options for options in cameras(flow).values()}
        count = write_pictures(score, worlds, sizes, args.pictures)
        print(f"{args.pictures}: {count} pictures", file=sys.stderr)


def _worlds(args: argparse.Namespace, flow: Any) -> list[tuple[Any, Any]]:
    """(world, given violations or None) of every run."""
    from dataclasses import replace

    from flowrt.commands import UsageError
    from flowrt_scoring.score import world_of
    from flowrt_sim.scenarios import SCENARIOS
    from flowrt_sim.uri import WEATHERS

    if args.truth != "sim":
        options, violations = read_truth(Path(args.truth))
        return [(options, violations)]
    changes = {}
    for name, known in (("weather", WEATHERS), ("scenario", SCENARIOS)):
        if value := getattr(args, name):
            if value not in known:
                raise UsageError(f"--{name} {value}: expected one of {', '.join(known)}")
            changes[name] = value
    runs = [world_of(flow, seed=seed, duration_s=args.minutes * 60) for seed in seeds(args.seeds)]
    return [(replace(world, **changes), None) for world in runs]


def _detector(args: argparse.Namespace) -> int:
    from flowrt.commands import DONE, Failure
    from flowrt.system.resources import share
    from flowrt_scoring.detector import evaluation

    models = args.model or sorted(share("models").glob("flowrt-traffic/*.xml"))
    try:
        scores = evaluation.score_detector(models, args.count)
    except (FileNotFoundError, RuntimeError) as error:
        raise Failure(str(error)) from error
    if args.format == "json":
        print(json.dumps([vars(score) for score in scores], indent=2))
    else:
        print(evaluation.table(scores))
    return DONE
