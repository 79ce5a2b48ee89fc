"""Which file a flow means by `model:`: one beside it, the only one of a folder there, a bundled one, or a public one in the cache."""

from __future__ import annotations

import functools
from pathlib import Path

from flowrt.diagnostics import did_you_mean
from flowrt.system.resources import share
from flowrt_nodes.detect._model.metadata import MODEL_SUFFIXES
from flowrt_nodes.detect._model.public import ALSO_CALLED, PUBLIC, cached, public_name


def model_file(name: str, folder: Path) -> Path | None:
    """The model of that name; the suffix of bundled ones may be left out."""
    beside = (folder / name).resolve()
    if beside.is_file():
        return beside
    if beside.is_dir():
        models = _models_in(beside)
        return models[0] if len(models) == 1 else None
    bundled = next((file for file in _bundled() if name in (file.name, file.stem)), None)
    public = public_name(name)
    return bundled or (cached(public) if public else None)


def missing_model(name: str, folder: Path) -> tuple[str, str]:
    """Message and hint for a model that is not there."""
    if (folder / name).is_dir():
        models = [f"{name.rstrip('/')}/{file.relative_to(folder / name)}" for file in _models_in(folder / name)]
        if models:
            return f"'{name}' is a folder with {len(models)} models", f"expected one of {', '.join(models)}"
        return f"'{name}' is a folder without a model", f"expected a file that ends in {', '.join(MODEL_SUFFIXES)}"
    if public := public_name(name):
        model = PUBLIC[public]
        if not model.files:
            return f"the public model '{public}' is not here, and cannot be fetched", model.manual
        hint = (
            f"run `flowrt models fetch {public}` ({model.size / 1e6:.1f} MB, {model.licence}), or the flow with --fetch"
        )
        return f"the public model '{public}' is not here yet", hint
    beside = [file.name for file in folder.iterdir() if file.suffix in MODEL_SUFFIXES] if folder.is_dir() else []
    message = f"there is no model '{name}', neither beside the flow file nor among the bundled and public ones"
    return message, did_you_mean(name, [*beside, *(each.name for each in _bundled()), *PUBLIC, *ALSO_CALLED])


def _models_in(folder: Path) -> list[Path]:
    """Those of the folder itself, else those in its folders: Open Model Zoo writes `FP16/NAME.xml`."""
    for pattern in ("*", "*/*"):
        files = sorted(
            file for file in folder.glob(pattern) if file.suffix.lower() in MODEL_SUFFIXES and file.is_file()
        )
        if files:
            return files
    return []


@functools.cache  # what is installed stays as it is while a program runs; a reload need not search again
def _bundled() -> tuple[Path, ...]:
    try:
        folder = share("models")
    except FileNotFoundError:
        return ()
    return tuple(sorted([*folder.glob("**/*.xml"), *folder.glob("**/*.onnx")]))
