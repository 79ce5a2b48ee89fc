"""Measure what a detector does on real clips, as a noise profile for `flowrt score --noise`.

A larger model's boxes, linked over time, stand for what was there. How often the detector misses it by size and for how long, how its
edges tremble, which classes it takes for others, and which boxes it invents is counted and written down.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("clips", metavar="CLIP", nargs="+", type=Path, help="videos of real roads")
    parser.add_argument("--model", required=True, metavar="FILE", help="the detector that is measured")
    parser.add_argument("--reference", required=True, metavar="FILE", help="a larger one, whose boxes are believed")
    parser.add_argument("--name", default="", metavar="NAME", help="of the detector (default: that of its file)")
    parser.add_argument("--min-confidence", type=float, default=0.25, metavar="SHARE", help="default: 0.25")
    parser.add_argument(
        "--input-px", type=int, nargs=2, default=(416, 416), metavar=("WIDTH", "HEIGHT"), help="default: 416 416"
    )
    parser.add_argument("--reference-px", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="default: its own")
    parser.add_argument("--fps", type=float, default=10.0, metavar="N", help="pictures a second at most (default: 10)")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="YAML", help="the profile")


def run(args: argparse.Namespace) -> int:
    """Watch every clip, and write the profile."""
    from flowrt.commands import DONE, UsageError
    from flowrt_scoring.noise.clips import watch
    from flowrt_scoring.noise.measure import measure
    from flowrt_scoring.noise.profile import write_profile

    for file in (Path(args.model), Path(args.reference), *args.clips):
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
    model, reference = (str(Path(name).resolve()) for name in (args.model, args.reference))
    clips = []
    for clip in args.clips:
        clips.append(
            watch(
                clip,
                model,
                reference,
                min_confidence=args.min_confidence,
                input_px=tuple(args.input_px),
                reference_px=tuple(args.reference_px) if args.reference_px else None,
                fps=args.fps,
            )
        )
        print(f"{clip.name}: {len(clips[-1].measured)} pictures", file=sys.stderr)
    profile = measure(
        clips,
        detector=args.name or Path(args.model).stem,
        model_sha256=hashlib.sha256(Path(args.model).read_bytes()).hexdigest(),
        input_px=tuple(args.input_px),
        min_confidence=args.min_confidence,
        reference=Path(args.reference).stem,
    )
    write_profile(profile, args.output)
    for kind, each in profile.kinds.items():
        for size in each.sizes:
            upto = f"up to {size.to_px:g} px" if size.to_px else "larger"
            print(
                f"{kind:12} {upto:12} {size.boxes:6} boxes: never {size.never:.2f}, lost {size.lost:.2f}, "
                f"found {size.found:.2f}, edges {size.edges:.3f}"
            )
    print(
        f"{args.output}: {profile.boxes} boxes in {profile.seconds:.0f} s; {profile.false.per_s:.2f} false ones a second"
    )
    return DONE
