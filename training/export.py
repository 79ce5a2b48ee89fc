"""Write a trained state as OpenVINO IR, FP16 and INT8, and measure both on the validation pictures.

    python -m training.export --run training/runs/main --out models/flowrt-traffic

Batch normalisation and the scaling to 0..1 are folded into the convolutions, so the model takes BGR pictures in 0..255. What a
consumer has to know is in the model's metadata, section `flowrt`: labels, decoder, strides, colour order, value range, how a
picture is brought to size, and a sensible suppression IoU. The INT8 model is calibrated on training pictures of
all conditions, and refused when it loses more than `MAX_INT8_LOSS` against FP16.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from flowrt_sim import CLASSES
from training.data import Pictures, cached
from training.evaluate import model_map50
from training.model import INPUT_HEIGHT_PX, INPUT_WIDTH_PX, STRIDES, ConvBlock, Deployed, FootprintHead, TrafficDetector
from training.splits import TRAIN, VALIDATION

NAME = "flowrt-traffic"
CALIBRATION_PICTURES = 304
"""The first ones to learn from: 38 places, all conditions."""
MAX_INT8_LOSS = 0.01
MAX_MEGABYTES = 3.0
METADATA = {
    "labels": " ".join(CLASSES),
    "decoder": "yolox",
    "strides": " ".join(str(s) for s in STRIDES),
    "colours": "bgr",
    "input_range": "0..255",
    "resize": "stretch",
    "nms_iou": "0.6",
}


def folded(detector: TrafficDetector) -> TrafficDetector:
    """The same network with batch normalisation folded into the convolutions before it."""
    for block in [m for m in detector.modules() if isinstance(m, ConvBlock)]:
        convolution, normalisation = block[0], block[1]
        assert isinstance(convolution, nn.Conv2d)  # by construction of ConvBlock; nn.Sequential's type does not say so
        assert isinstance(normalisation, nn.BatchNorm2d)
        block[0], block[1] = fuse_conv_bn_eval(convolution, normalisation), nn.Identity()
    return detector


def converted(state: Path, footprints: Path) -> Any:
    """The OpenVINO model, in FP32, of state files written by `training.train` and `training.footprints`."""
    detector, head = TrafficDetector(len(CLASSES)), FootprintHead()
    detector.load_state_dict(torch.load(state, weights_only=True, map_location="cpu")["average"])
    head.load_state_dict(torch.load(footprints, weights_only=True, map_location="cpu"))
    network = Deployed(folded(detector.eval()), head).eval()
    shape = [1, 3, INPUT_HEIGHT_PX, INPUT_WIDTH_PX]
    model = openvino.convert_model(network, example_input=torch.zeros(shape), input=shape)
    model.inputs[0].get_tensor().set_names({"pictures"})
    model.outputs[0].get_tensor().set_names({"detections"})
    model.outputs[1].get_tensor().set_names({"footprints"})
    for key, value in METADATA.items():
        model.set_rt_info(value, ["flowrt", key])
    return model


def quantised(model: Any, pictures: Pictures) -> Any:
    """The model in INT8, calibrated on these pictures."""
    import nncf  # heavy, and needed only here

    def blob(index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.ascontiguousarray(pictures[int(index)].picture.transpose(2, 0, 1)[None], dtype=np.float32)

    return nncf.quantize(
        model, nncf.Dataset(range(len(pictures)), blob), preset=nncf.QuantizationPreset.MIXED, subset_size=len(pictures)
    )


def export(options: argparse.Namespace) -> None:
    """Both models on disk, and their measurements as `validation.json` in the run's folder."""
    torch.manual_seed(0)
    out, run = Path(options.out), Path(options.run)
    out.mkdir(parents=True, exist_ok=True)
    train_pictures, validation_pictures = cached(TRAIN, CALIBRATION_PICTURES), cached(VALIDATION, options.validation)
    model = converted(run / "best.pt", run / "footprints.pt")
    paths = {"fp16": out / f"{NAME}-fp16.xml", "int8": out / f"{NAME}-int8.xml"}
    openvino.save_model(model, paths["fp16"], compress_to_fp16=True)
    openvino.save_model(quantised(model, train_pictures), paths["int8"], compress_to_fp16=True)
    scores: dict[str, dict[str, Any]] = {}
    for precision, path in paths.items():
        map50, per_class = model_map50(path, validation_pictures)
        megabytes = (path.stat().st_size + path.with_suffix(".bin").stat().st_size) / 1e6
        scores[precision] = {"map50": round(map50, 4), "per_class": per_class, "megabytes": round(megabytes, 2)}
        print(precision, json.dumps(scores[precision]))
        if megabytes > MAX_MEGABYTES:
            raise SystemExit(
                f"{path}: {megabytes:.2f} MB, more than {MAX_MEGABYTES} MB: choose smaller widths in training/model.py"
            )
    (run / "validation.json").write_text(json.dumps(scores, indent=1) + "\n")
    lost = scores["fp16"]["map50"] - scores["int8"]["map50"]
    if lost > MAX_INT8_LOSS:
        raise SystemExit(
            f"INT8 loses {lost:.4f} mAP50, more than {MAX_INT8_LOSS}: calibrate on more pictures or keep a layer in FP"
        )


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", default="training/runs/main", help="folder with best.pt and footprints.pt")
    parser.add_argument("--out", default=f"models/{NAME}")
    parser.add_argument("--validation", type=int, default=280, help="size of the cache to measure on")
    export(parser.parse_args())


if __name__ == "__main__":
    main()
