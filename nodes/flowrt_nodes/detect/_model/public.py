"""Public detection models that a flow may name: where they are, what they are, and the cache that they are downloaded into.

Sizes and SHA-256 are those that others publish; a file that differs is not kept. A model whose SHA-256 nobody publishes has no files
here: it is listed, and cannot be fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flowrt.system.downloads import DownloadError, Source, cache_folder, download_file, is_whole
from flowrt_nodes.detect._model.labels import folded

_ZOO = "https://storage.openvinotoolkit.org/repositories/open_model_zoo"
_YOLOX = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0"
_D_FINE = "https://huggingface.co/AnnotateIt/dfine-nano-coco-onnx/resolve/main/model.onnx"
_DOWNLOADED = "projects that downloaded it; the release publishes no sums"
_YML = "the project's own model.yml"


class PublicFile(NamedTuple):
    """One file of a model. name: as it is saved; detectors of Open Model Zoo are known by it."""

    name: str
    source: Source


class PublicModel(NamedTuple):
    """A public model.

    about: classes and input. gflops: work for one picture; the cost on a CPU is nearly in proportion. ap: what its makers measured
    on COCO, in percent; None where that was another set. suits: which computer. sums_from: who says what size and SHA-256 are.
    manual: how to get one that cannot be fetched.
    """

    about: str
    licence: str
    gflops: float
    ap: float | None
    suits: str
    files: tuple[PublicFile, ...] = ()
    sums_from: str = ""
    manual: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.source.size for file in self.files)


def _one(name: str, url: str, size: int, sha256: str) -> tuple[PublicFile, ...]:
    return (PublicFile(name, Source(url, size, sha256)),)


def _zoo(release: str, name: str, xml: tuple[int, str], weights: tuple[int, str]) -> tuple[PublicFile, ...]:
    """The FP16 files of a model of Open Model Zoo; sizes and SHA-256 as its `model.yml` publishes them."""
    base = f"{_ZOO}/{release}/{name}/FP16/{name}"
    return (
        PublicFile(f"{name}.xml", Source(f"{base}.xml", *xml)),
        PublicFile(f"{name}.bin", Source(f"{base}.bin", *weights)),
    )


_EXPORT = "export it with the project's own exporter and name the file, see docs/models.md"
_UNSURE = "read its LICENSE"
PUBLIC = {
    "yolox-nano": PublicModel(
        about="80 classes of COCO, 416x416", licence="Apache-2.0", gflops=1.1, ap=25.8,
        suits="any two cores (measured: 150 pictures/s)", sums_from=_DOWNLOADED,
        files=_one(
            "yolox_nano.onnx", f"{_YOLOX}/yolox_nano.onnx", 3_659_407,
            "c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
        ),
    ),
    "yolox-tiny": PublicModel(
        about="80 classes of COCO, 416x416", licence="Apache-2.0", gflops=6.5, ap=32.8, suits="two cores",
        sums_from=_DOWNLOADED,
        files=_one(
            "yolox_tiny.onnx", f"{_YOLOX}/yolox_tiny.onnx", 20_219_662,
            "427cc366d34e27ff7a03e2899b5e3671425c262ea2291f88bb942bc1cc70b0f7",
        ),
    ),
    "yolox-s": PublicModel(
        about="80 classes of COCO, 640x640", licence="Apache-2.0", gflops=26.8, ap=40.5, suits="four cores or a GPU",
        sums_from=_DOWNLOADED,
        files=_one(
            "yolox_s.onnx", f"{_YOLOX}/yolox_s.onnx", 35_858_002,
            "c5c2d13e59ae883e6af3b45daea64af4833a4951c92d116ec270d9ddbe998063",
        ),
    ),
    "dfine-n": PublicModel(
        about="80 classes of COCO, 640x640; another's export of D-FINE-N", licence="Apache-2.0", gflops=7.0, ap=42.8,
        suits="two cores", sums_from="a project that downloaded it; nobody publishes them",
        files=_one(
            "dfine-n.onnx", _D_FINE, 15_434_935, "b0ec2e5793f3a3cbd07440d098645a0e102cd450fb92f4f35e713f36e35d152e"
        ),
    ),
    "deimv2-femto": PublicModel(
        about="80 classes of COCO, 416x416", licence=_UNSURE, gflops=1.7, ap=31.0, suits="any two cores",
        manual=_EXPORT,
    ),
    "deimv2-pico": PublicModel(
        about="80 classes of COCO, 640x640", licence=_UNSURE, gflops=5.2, ap=38.5, suits="two cores",
        manual=_EXPORT,
    ),
    "deimv2-n": PublicModel(
        about="80 classes of COCO, 640x640", licence=_UNSURE, gflops=6.8, ap=43.0, suits="two cores",
        manual=_EXPORT,
    ),
    "person-vehicle-bike-detection-2003": PublicModel(
        about="vehicle, person, non-vehicle, from cameras at crossings, 864x480", licence="Apache-2.0", gflops=6.6,
        ap=None, suits="two cores", sums_from=_YML,
        files=_zoo(
            "2021.4/models_bin/2", "person-vehicle-bike-detection-2003",
            (1_238_718, "4937ab7ba27aca45a273484345f10ed707f7faf43105b595d8e4d5032be8d573"),
            (3_906_102, "649607c58e5503963dd878589fbe93420343fba032c915396e1face3b6eaae72"),
        ),
    ),
    "person-vehicle-bike-detection-2000": PublicModel(
        about="vehicle, person, bike, from cameras at crossings, 256x256", licence="Apache-2.0", gflops=0.8,
        ap=None, suits="any core; misses what is small", sums_from=_YML,
        files=_zoo(
            "2021.4/models_bin/3", "person-vehicle-bike-detection-2000",
            (200_399, "cce93611ff07aceea0c07c20faa42caec5ee1837eb558a36e7509fc5dacdbc8c"),
            (3_642_598, "c64141e1f48ac75c5a4b1bac40b5400fdac8c4aaeae386eae73bc2bc9168c312"),
        ),
    ),
    "person-vehicle-bike-detection-crossroad-0078": PublicModel(
        about="people, vehicles, bikes from cameras at crossings, 1024x1024; wants `labels`", licence="Apache-2.0",
        gflops=4.0, ap=None, suits="two cores", sums_from=_YML,
        files=_zoo(
            "2021.2/models_bin/1", "person-vehicle-bike-detection-crossroad-0078",
            (357_465, "6833f45ff2dc3f9a5231295aa332421f3d28dc0367c5128b6498539e51a2dff7"),
            (2_357_042, "a074ff0cad298ed9c35d0ce6ed58e09ee05216b907c97e6bb50f1b77a046bcfd"),
        ),
    ),
    "vehicle-detection-0200": PublicModel(
        about="vehicle, 256x256", licence="Apache-2.0", gflops=0.8, ap=None, suits="any core; misses what is small",
        sums_from=_YML,
        files=_zoo(
            "2021.4/models_bin/3", "vehicle-detection-0200",
            (200_359, "25994cafe800089d7915a4395fcd465be934cccb44ea47addc9a43c6fffa487c"),
            (3_634_626, "8e2779dd1bbed6f08a923ed8a2d581ab5bec6de487849726708f9e8b18c3556f"),
        ),
    ),
}  # fmt: skip
"""By the name that flows use; `_` and `-`, and small and capital letters, are the same."""
ALSO_CALLED = {"omz-2003": "person-vehicle-bike-detection-2003", "omz-2000": "person-vehicle-bike-detection-2000"}


def public_name(name: str) -> str | None:
    """The name in PUBLIC that a flow means."""
    meant = folded(name)
    aliases = {folded(short): known for short, known in ALSO_CALLED.items()}
    return aliases.get(meant) or next((known for known in PUBLIC if folded(known) == meant), None)


def cached(name: str) -> Path | None:
    """The file of a public model that is in the cache, as long as it should be; None where it is not."""
    model, folder = PUBLIC[name], models_folder() / name
    files = [(folder / file.name, file.source.size) for file in model.files]
    here = files and all(path.is_file() and path.stat().st_size == size for path, size in files)
    return files[0][0] if here else None


def fetch(
    name: str,
    folder: Path | None = None,
    mirror: str = "",
    tell: Callable[[str, int], Callable[[int], None]] | None = None,
) -> list[tuple[Path, bool]]:
    """Download a public model; (file, whether it was here already). Raises DownloadError.

    folder: where to, the cache by default. mirror: an address below which the files are, in the place of their own. tell: makes, from a
    file's name and size, what is given the bytes so far.
    """
    model = PUBLIC[name]
    if not model.files:
        raise DownloadError(f"'{name}' cannot be fetched, since nobody publishes its SHA-256: {model.manual}")
    into = folder or models_folder() / name
    result = []
    for file in model.files:
        source, target = file.source, into / file.name
        if mirror:
            source = source._replace(url=f"{mirror.rstrip('/')}/{file.name}")
        here = is_whole(source, target)
        if not here:
            download_file(source, target, tell(file.name, source.size) if tell else lambda done: None)
        result.append((target, here))
    return result


def models_folder() -> Path:
    """Where public models are cached, each in a folder of its name."""
    return cache_folder() / "models"
