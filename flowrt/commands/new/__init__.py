"""Write a small flow to begin with, or a node of your own.

flowrt new NAME                      NAME.yaml, a flow
flowrt new NAME --template four-leg  NAME.yaml and NAME.scene.yaml, for a kind of place; the simulation stands in for cameras
  --camera URI --model MODEL         the same for a real camera, with a picture of it beside: NAME.north.jpg
flowrt new node NAME --kind rule     nodes/NAME.py, its test, and NAME.yaml, a flow that uses it

A file that is there is never overwritten.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from flowrt.addresses import without_passwords
from flowrt.commands import DONE, Failure, UsageError
from flowrt.commands.new._flow import ADDRESS, ASSUMED_PX, picture_of, templates
from flowrt.commands.new._node import KINDS, texts
from flowrt.diagnostics import FlowError, did_you_mean

_TEMPLATE = """\
# `flowrt check {file}` says what is wrong, `flowrt run {file}` runs it, `flowrt nodes` lists what can be added.
flow: {name}
site: {name}

nodes:
  every_second: {{type: timer, every_s: 1}}
  print:        {{type: debug, from: every_second}}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "name", nargs="+", metavar="NAME", help="name of the flow: letters, digits, '-', '_'; or: node NAME"
    )
    parser.add_argument("--template", metavar="KIND", help=f"kind of place: {', '.join(templates())}")
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="URI",
        help="address of a real camera, or a file; again for the next approach",
    )
    parser.add_argument(
        "--model", default="", metavar="MODEL", help="the detection model of real cameras (default: a public one)"
    )
    parser.add_argument("--kind", choices=KINDS, help="kind of the node (default: transform)")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    if len(args.name) == 2 and args.name[0] == "node":
        return _node(args.name[1].removesuffix(".py"), args.kind or "transform")
    if len(args.name) > 1:
        raise UsageError(f"expected NAME or `node NAME`, found {' '.join(args.name)}")
    if args.kind:
        raise UsageError("--kind is for nodes: `flowrt new node NAME --kind KIND`")
    name = args.name[0].removesuffix(".yaml").removesuffix(".yml")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(
            f"'{args.name[0]}' is no name for a flow: letters, digits, '-' and '_', beginning with a letter or digit"
        )
    if args.template:
        return _place(name, args.template, args.camera, args.model)
    if args.camera or args.model:
        raise UsageError("--camera and --model go with --template")
    path = Path(f"{name}.yaml")
    _write({path: _TEMPLATE.format(name=name, file=path)})
    print(f"wrote {path}; run it with `flowrt run {path}`")
    return DONE


def _place(name: str, template: str, cameras: list[str], model: str) -> int:
    """A flow for a kind of place, with pictures of its cameras."""
    known = templates()
    if template not in known:
        raise UsageError(f"there is no template '{template}'; {did_you_mean(template, known)}")
    if model and not cameras:
        raise UsageError("--model is for real cameras: --camera URI")
    try:
        drafts = known[template].texts(template, name, cameras, model, [ASSUMED_PX] * len(cameras))
        pictures = {Path(f"{name}.{leg}.jpg"): uri for leg, uri in known[template].cameras(template, cameras).items()}
        _refuse_existing([*drafts, *pictures])
        sizes = [_picture(uri, file) for file, uri in pictures.items()]
        files = known[template].texts(template, name, cameras, model, sizes)
    except ValueError as error:
        raise UsageError(str(error)) from None
    _write(files)
    print("wrote " + ", ".join(str(path) for path in [*files, *(each for each in pictures if each.exists())]))
    for line in known[template].notes(template, name, cameras, model):
        print(line)
    print(f"check it with `flowrt check {name}.yaml`, run it with `flowrt run {name}.yaml`")
    return DONE


def _picture(uri: str, file: Path) -> tuple[int, int]:
    """Save a picture of a camera, and say so where there is none. Its size."""
    try:
        size = picture_of(uri, Path(), file)
        why = "none came in time"
    except FlowError as error:
        size, why = None, error.diagnostics[0].message.replace(ADDRESS, without_passwords(uri))
    if size is None:
        width, height = ASSUMED_PX
        print(
            f"no picture of {without_passwords(uri)}: {why}; what is drawn is laid out for {width}x{height} pixels",
            file=sys.stderr,
        )
    return size or ASSUMED_PX


def _node(name: str, kind: str) -> int:
    from flowrt.catalog import Catalog

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name.startswith("test_"):
        raise UsageError(f"'{name}' is no name for a node type: small letters, digits and '_', as in speed_gate")
    if name in Catalog():
        raise UsageError(f"there is a node type '{name}' already; choose another name")
    files = texts(name, kind)
    _write(files)
    for path in files:
        print(f"wrote {path}")
    print(f"test it with `flowrt test nodes`, run it with `flowrt run {name}.yaml`")
    return DONE


def _write(files: dict[Path, str]) -> None:
    """Write all of them, or none where one is there."""
    _refuse_existing(files)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)


def _refuse_existing(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise Failure(f"{path} is there already and is not overwritten; choose another name")
