"""Show how good a scene is: figures in a table, and a picture with the scene over a still and the road from above.

flowrt scene FLOW                         tables of every camera's scene
flowrt scene FLOW --camera north -o a.png  the picture too; with several cameras a-north.png, a-east.png, ...
Works for flows with errors as well, as long as the scene can be read. Ends with 1 where there is an error in a scene.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

from flowrt.commands import BAD_FLOW, DONE, Failure, UsageError
from flowrt.config import parts, read
from flowrt.diagnostics import Diagnostic
from flowrt.node import Source
from flowrt.traffic.checks.simulation import downstream
from flowrt.traffic.scene import Scene

_SECTION = "scene"


class _View(NamedTuple):
    """A scene and the camera whose pictures it is for; without one where no node brings the two together."""

    scene: Scene
    camera: str
    source: Source | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flow", type=Path, metavar="FLOW", help="a flow file")
    parser.add_argument("--camera", default="", metavar="NAME", help="only this camera's scene")
    parser.add_argument("-o", "--output", type=Path, metavar="PNG", help="draw the scene into this file")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Print and draw."""
    if args.output is not None and args.output.suffix != ".png":
        raise UsageError(f"{args.output}: the picture is a .png")
    flow, diagnostics = read(args.flow)
    views = _views(args.flow)
    if args.camera:
        cameras = sorted({view.camera for view in views if view.camera})
        views = [view for view in views if view.camera == args.camera]
        if not views:
            raise UsageError(
                f"no camera '{args.camera}' has a scene; those that have one: {', '.join(cameras) or 'none'}"
            )
    if not views:
        if flow is None:  # so broken that no scene could be read
            from flowrt.commands.check import print_diagnostics

            print_diagnostics(diagnostics)
            return BAD_FLOW
        raise UsageError(f"{args.flow} has no scene")
    from flowrt_ops.scene_sheet.figures import print_tables, scene_facts  # numpy: not for --help

    told = [scene_facts(view.scene, view.camera, _about(view, diagnostics)) for view in views]
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        for one in told:
            print_tables(one)
    bad = any(each["severity"] == "error" for one in told for each in one["problems"])
    if args.output is not None:
        for view in views:
            several = args.output.with_stem(f"{args.output.stem}-{view.camera or view.scene.name}")
            bad |= not _draw(view, args.flow, args.output if len(views) == 1 else several)
    return BAD_FLOW if bad else DONE


def _views(path: Path) -> list[_View]:
    """Every scene with the camera whose pictures reach a node of that scene, in the order of the file."""
    flow, entries = parts(path)
    scenes: dict[str, Scene] = dict(entries.get(_SECTION, {}))
    views = []
    for name, node in flow.nodes.items():
        if isinstance(node, Source) and not flow.feeds[name]:
            used = {getattr(flow.nodes.get(each), _SECTION, "") for each in downstream(name, flow)}
            views += [_View(scene, name, node) for scene in scenes.values() if scene.name in used]
    cameras = [view for view in views if hasattr(view.source, "real_pictures")] or views
    used = {view.scene.name for view in cameras}
    return cameras + [_View(scene, "", None) for scene in scenes.values() if scene.name not in used]


def _about(view: _View, diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    path = f"{_SECTION}.{view.scene.name}"
    return [each for each in diagnostics if each.path == path or each.path.startswith(f"{path}.")]


def _draw(view: _View, flow: Path, output: Path) -> bool:
    """Write the sheet. False where the camera's pictures have other proportions than the scene."""
    import cv2  # heavy, and needed for the picture only

    from flowrt_ops.scene_sheet.figures import calibration_of
    from flowrt_ops.scene_sheet.sheet import sheet
    from flowrt_ops.scene_sheet.still import NoStill, still_of

    still, why, fits = None, "no camera gives pictures for it", True
    if view.source is not None:
        try:
            still = still_of(view.source, view.camera, flow.absolute().parent)
        except NoStill as reason:
            why = str(reason)
        else:
            size = still.shape[1], still.shape[0]
            try:
                view.scene.scaled(size, view.camera)
            except ValueError as reason:  # of other proportions: drawing over it would mislead
                still, why, fits = None, str(reason), False
    caption = f"scene {view.scene.name}, {view.scene.picture_px[0]} x {view.scene.picture_px[1]} px"
    caption += f", camera {view.camera}" if view.camera else ""
    if still is None:
        print(f"{output}: without a picture: {why}", file=sys.stderr)
        caption += f": {why}"
    if not cv2.imwrite(str(output), sheet(view.scene, calibration_of(view.scene), still, caption)):
        raise Failure(f"{output} can't be written")
    print(f"written: {output}", file=sys.stderr)
    return fits
