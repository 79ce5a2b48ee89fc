"""Which decoder reads a model's outputs: chosen from outputs and metadata, or refused by name, never guessed from one shape alone."""

from __future__ import annotations

from collections.abc import Callable

from flowrt_nodes.detect._decoding.candidates import Layout, Ports, UnknownOutputs
from flowrt_nodes.detect._decoding.detr_and_ssd import as_atss, as_detr, as_ssd
from flowrt_nodes.detect._decoding.fastest import as_fastest
from flowrt_nodes.detect._decoding.nanodet import as_nanodet
from flowrt_nodes.detect._decoding.yolo import as_yolo, as_yolox
from flowrt_nodes.detect._model.labels import USUAL, usual_spelling
from flowrt_nodes.detect._model.metadata import Decoder, Metadata

CLASSES_MAX = 2000
TASKS = ("", "detect", "segment", "pose", "obb")
DECODERS: dict[Decoder, Callable[[Ports, Metadata, bool], Layout | None]] = {
    "ssd": as_ssd,
    "atss": as_atss,
    "detr": as_detr,
    "nanodet": as_nanodet,
    "fastest": as_fastest,
    "yolox": as_yolox,
    "yolo": as_yolo,
}


def layout_of(ports: Ports, metadata: Metadata, wanted: Decoder | None) -> Layout:
    """Choose and build the decoder. wanted: the setting. Raises UnknownOutputs."""
    if metadata.task not in TASKS:
        raise UnknownOutputs(f"the model's task is '{metadata.task}', so it is no detector")
    asked = wanted or metadata.decoder
    for decoder, attempt in DECODERS.items():
        if asked in (None, decoder):
            layout = attempt(ports, metadata, asked == decoder)
            if layout is not None:
                return _with_labels(layout)
    if asked is not None:
        raise UnknownOutputs(f"the outputs ({ports}) are not those of a '{asked}' model; see the setting 'decoder'")
    raise UnknownOutputs(
        f"no decoder fits the outputs ({ports}); known are {', '.join(sorted(DECODERS))}: name one with the setting 'decoder'"
    )


def _with_labels(layout: Layout) -> Layout:
    """The same with a name for every class. Raises UnknownOutputs where names and classes don't go together."""
    names = layout.labels or USUAL.get(layout.classes, ())
    if layout.classes > CLASSES_MAX:
        raise UnknownOutputs(f"{layout.classes} classes are too many for a detector")
    if names and len(names) != layout.classes:
        raise UnknownOutputs(
            f"the model has {layout.classes} classes and {len(names)} class names; see the setting 'labels'"
        )
    names = tuple(map(usual_spelling, names)) or tuple(f"class_{i}" for i in range(layout.classes))
    return layout._replace(labels=names)
