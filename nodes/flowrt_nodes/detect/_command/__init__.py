"""List public detection models, fetch one, or show how a model is read and what it finds.

`flowrt models list` names the public ones; `flowrt models fetch NAME` downloads one into the cache, and flows name it (`model: NAME`).
Every file is held against its SHA-256. `flowrt models show MODEL` takes a name or a file, and prints what `detect` will do with it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from flowrt.commands import DONE, Failure, UsageError
from flowrt.commands.terminal.tables import table
from flowrt.diagnostics import did_you_mean
from flowrt.system.downloads import DownloadError, progress
from flowrt_nodes.detect._model.metadata import Colours, Decoder, Resize
from flowrt_nodes.detect._model.public import ALSO_CALLED, PUBLIC, cached, fetch, public_name


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|fetch|show")
    listing = verbs.add_parser("list", help="the public models that are known")
    listing.add_argument("--json", action="store_true", help="as JSON")
    fetching = verbs.add_parser("fetch", help="download public models")
    fetching.add_argument("names", metavar="NAME", nargs="+")
    fetching.add_argument("--to", type=Path, metavar="DIR", help="where to (default: the user's cache)")
    fetching.add_argument("--mirror", default="", metavar="URL", help="fetch the files from below this address instead")
    showing = verbs.add_parser("show", help="how a model is read, and what it finds in a picture")
    showing.add_argument("model", metavar="MODEL", help="a file, a folder that an exporter wrote, or a name")
    showing.add_argument("--picture", type=Path, metavar="FILE", help="look for objects in this picture or video")
    showing.add_argument("--at", type=float, default=0.0, metavar="S", help="at this second of a video (default 0)")
    showing.add_argument("-o", "--output", type=Path, metavar="PNG", help="draw what was found")
    showing.add_argument("--json", action="store_true", help="as JSON")
    showing.add_argument("--fetch", action="store_true", help="download a public model that is not here")
    of_node = showing.add_argument_group("settings of `detect`")
    of_node.add_argument("--min-confidence", type=float, default=0.25, metavar="SHARE", help="default: 0.25")
    of_node.add_argument("--labels", type=Path, metavar="FILE")
    of_node.add_argument("--decoder", choices=get_args(Decoder))
    of_node.add_argument("--resize", choices=get_args(Resize))
    of_node.add_argument("--colours", choices=get_args(Colours))
    of_node.add_argument("--mean", type=float, nargs="*", metavar="NUMBER")
    of_node.add_argument("--scale", type=float, nargs="*", metavar="NUMBER")
    of_node.add_argument("--input-px", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))


def run(args: argparse.Namespace) -> int:
    """List, fetch or show."""
    if args.verb == "list":
        _list(args.json)
    elif args.verb == "fetch":
        for known in [_known(name) for name in args.names]:
            _fetch(known, args.to, args.mirror)
    else:
        from flowrt_nodes.detect._command.show import show  # brings OpenVINO with it

        if args.fetch and (name := public_name(args.model)) and not Path(args.model).exists():
            _fetch(name)
        show(args)
    return DONE


def _known(name: str) -> str:
    public = public_name(name)
    if public is None:
        raise UsageError(f"no public model '{name}' is known; {did_you_mean(name, [*PUBLIC, *ALSO_CALLED])}")
    return public


def _fetch(name: str, folder: Path | None = None, mirror: str = "") -> None:
    try:
        files = fetch(name, folder, mirror, progress)
    except DownloadError as error:
        raise Failure(str(error)) from error
    for file, was_here in files:
        print(f"{file}: {'is here already' if was_here else f'{file.stat().st_size / 1e6:.1f} MB'}, SHA-256 is right")
    if folder is None:
        print(f"name it in a flow: model: {name}")


def _list(as_json: bool) -> None:
    short = {known: name for name, known in ALSO_CALLED.items()}
    if as_json:
        print(json.dumps([_facts(name, short.get(name)) for name in PUBLIC], indent=2))
        return
    rows = []
    for name, model in PUBLIC.items():
        size = f"{model.size / 1e6:.1f} MB" if model.files else "-"
        here = "yes" if cached(name) else "no" if model.files else "can't be fetched"
        ap = "-" if model.ap is None else f"{model.ap:g}"
        rows.append([name, size, model.licence, f"{model.gflops:g}", ap, model.suits, here, model.about])
    table(["name", "size", "licence", "GFLOPs", "COCO AP", "suits", "here", "finds"], rows, right=frozenset({1, 3, 4}))
    print()
    sums = [
        [name, file.name, str(file.source.size), file.source.sha256]
        for name, model in PUBLIC.items()
        for file in model.files
    ]
    table(["name", "file", "bytes", "SHA-256"], sums, right=frozenset({2}))
    print("\nShort names: " + ", ".join(f"{name} is {known}" for name, known in ALSO_CALLED.items()))
    by_hand = [name for name, model in PUBLIC.items() if not model.files]
    print(f"No SHA-256 is known of {', '.join(by_hand)}: export them yourself (docs/models.md).")


def _facts(name: str, short: str | None) -> dict[str, Any]:
    model, here = PUBLIC[name], cached(name)
    files = [{"name": file.name, **file.source._asdict()} for file in model.files]
    return {"name": name, "short": short, **model._asdict(), "files": files, "here": str(here) if here else None}
