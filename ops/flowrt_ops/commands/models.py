"""List public detection models, or fetch one.

`flowrt models list` names them; `flowrt models pull NAME` downloads one into a folder, from where flow files name it
(`model: NAME.xml`). Every file is held against its published SHA-256; one that differs is removed again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flowrt.commands import DONE, Failure, UsageError
from flowrt.diagnostics import did_you_mean

TIMEOUT_S = 30
_ZOO = "https://storage.openvinotoolkit.org/repositories/open_model_zoo"
_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"


class File(NamedTuple):
    """One file of a model, by its published size and SHA-256."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """As it is saved."""
        return self.url.rpartition("/")[2]


class Model(NamedTuple):
    """A public model. sums_from: who says what size and SHA-256 are; nobody here could download the files."""

    about: str
    licence: str
    files: tuple[File, ...]
    sums_from: str = "the project's own model.yml"


def _zoo(release: str, name: str, xml: tuple[int, str], weights: tuple[int, str]) -> tuple[File, ...]:
    """The FP16 files of a model of Open Model Zoo; sizes and SHA-256 as its `model.yml` publishes them."""
    base = f"{_ZOO}/{release}/{name}/FP16/{name}"
    return File(f"{base}.xml", *xml), File(f"{base}.bin", *weights)


MODELS = {
    "yolox_nano": Model(
        "80 classes of COCO, 416x416, 0.9 M parameters (YOLOX 0.1.1rc0)",
        "Apache-2.0",
        (
            File(
                f"{_YOLOX}/yolox_nano.onnx",
                3_659_407,
                "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
            ),
        ),
        "other projects that downloaded it; the release publishes no sums",
    ),
    "person-vehicle-bike-detection-2000": Model(
        "vehicles, people, bikes seen from cameras at crossings, 256x256 (Open Model Zoo)",
        "Apache-2.0",
        _zoo(
            "2021.4/models_bin/3",
            "person-vehicle-bike-detection-2000",
            (200_399, "cce93611ff07aceea0c07c20faa42caec5ee1837eb558a36e7509fc5dacdbc8c"),
            (3_642_598, "c64141e1f48ac75c5a4b1bac40b5400fdac8c4aaeae386eae73bc2bc9168c312"),
        ),
    ),
    "person-vehicle-bike-detection-crossroad-0078": Model(
        "people, vehicles, bikes seen from cameras at crossings, 1024x1024 (Open Model Zoo)",
        "Apache-2.0",
        _zoo(
            "2021.2/models_bin/1",
            "person-vehicle-bike-detection-crossroad-0078",
            (357_465, "6833f45ff2dc3f9a5231295aa332421f3d28dc0367c5128b6498539e51a2dff7"),
            (2_357_042, "a074ff0cad298ed9c35d0ce6ed58e09ee05216b907c97e6bb50f1b77a046bcfd"),
        ),
    ),
    "vehicle-detection-0200": Model(
        "vehicles, 256x256 (Open Model Zoo)",
        "Apache-2.0",
        _zoo(
            "2021.4/models_bin/3",
            "vehicle-detection-0200",
            (200_359, "25994cafe800089d7915a4395fcd465be934cccb44ea47addc9a43c6fffa487c"),
            (3_634_626, "8e2779dd1bbed6f08a923ed8a2d581ab5bec6de487849726708f9e8b18c3556f"),
        ),
    ),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|pull")
    listing = verbs.add_parser("list", help="the models that are known")
    listing.add_argument("--format", choices=("table", "json"), default="table", help="default: table")
    pulling = verbs.add_parser("pull", help="download one")
    pulling.add_argument("name", metavar="NAME")
    pulling.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="where to (default: this folder)")
    pulling.add_argument("--mirror", default="", metavar="URL", help="fetch the files from below this address instead")


def run(args: argparse.Namespace) -> int:
    """List, or pull."""
    if args.verb == "list":
        _list(args.format)
        return DONE
    if args.name not in MODELS:
        raise UsageError(f"no model '{args.name}' is known; {did_you_mean(args.name, MODELS)}")
    folder: Path = args.to
    folder.mkdir(parents=True, exist_ok=True)
    for file in MODELS[args.name].files:
        url = f"{args.mirror.rstrip('/')}/{file.name}" if args.mirror else file.url
        if (folder / file.name).is_file() and _sha256(folder / file.name) == file.sha256:
            print(f"{folder / file.name} is there already")
            continue
        fetch(file, url, folder / file.name, _progress(file))
        print(f"{folder / file.name}: {file.size / 1e6:.1f} MB, SHA-256 is right")
    return DONE


def _list(form: str) -> None:
    if form == "json":
        rows = [
            {**m._asdict(), "name": name, "files": [file._asdict() for file in m.files]} for name, m in MODELS.items()
        ]
        print(json.dumps(rows, indent=2))
        return
    from flowrt.commands.text import table

    sizes = {name: sum(file.size for file in model.files) / 1e6 for name, model in MODELS.items()}
    rows_ = [[name, f"{sizes[name]:.1f} MB", model.licence, model.about] for name, model in MODELS.items()]
    table(["name", "size", "licence", "what it finds"], rows_, right=frozenset({1}))


def fetch(file: File, url: str, target: Path, tell: Callable[[int], None] = lambda done: None) -> None:
    """Download one file. tell: is given the bytes so far. Raises Failure; nothing is then left behind."""
    from flowrt.system.http_client import download  # heavy, and needed by this command alone

    part = target.with_name(target.name + ".part")
    digest, done = hashlib.sha256(), 0
    try:
        with part.open("wb") as out:
            for block in download(url, timeout_s=TIMEOUT_S):
                done += len(block)
                if done > file.size:
                    raise Failure(f"{url} is longer than the {file.size} bytes expected; it was not kept")
                digest.update(block)
                out.write(block)
                tell(done)
        if done < file.size:
            raise Failure(f"{url} ended after {done} of {file.size} bytes; it was not kept, try again")
        if digest.hexdigest() != file.sha256:
            said = f"SHA-256 is {digest.hexdigest()}, expected {file.sha256}"
            raise Failure(f"{url} is corrupt or not what it was: {said}; it was not kept")
        part.replace(target)
    except (ValueError, OSError) as error:
        raise Failure(f"{url} can't be fetched: {error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _progress(file: File) -> Callable[[int], None]:
    """A line that is written over, on a terminal."""
    if not sys.stderr.isatty():
        return lambda done: None

    def tell(done: int) -> None:
        print(f"\r{file.name} {done / file.size:4.0%}", end="\n" if done == file.size else "", file=sys.stderr)

    return tell
