"""The final examination of exported models: pictures, places and weather that training never saw.

PYTHONPATH=sim:scoring python -m training.examine models/flowrt-traffic/*.xml
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

from flowrt_scoring.detector.evaluation import score_detector, table


def throughput_per_s(path: Path, seconds: float = 4.0) -> float:
    """Pictures a second with the THROUGHPUT hint, u8 pictures in, as flowrt's detect node runs it, without decoding boxes."""
    core = openvino.Core()
    model = core.read_model(path)
    height, width = list(model.input(0).shape)[2:]
    prepared = PrePostProcessor(model)
    prepared.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    prepared.input().model().set_layout(openvino.Layout("NCHW"))
    compiled = core.compile_model(prepared.build(), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    queue = openvino.AsyncInferQueue(compiled, 0)
    picture = np.random.default_rng(0).integers(0, 255, (1, height, width, 3), dtype=np.uint8)
    for _ in range(20):
        queue.start_async([picture])
    queue.wait_all()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        queue.start_async([picture])
        count += 1
    queue.wait_all()
    return count / (time.perf_counter() - started)


def main() -> None:
    """Print the table and the speeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--pictures", type=int, default=160)
    options = parser.parse_args()
    print(table(score_detector(options.models, options.pictures)))
    for path in options.models:
        print(f"{path.stem}: {throughput_per_s(path):.0f} pictures/s")


if __name__ == "__main__":
    main()
