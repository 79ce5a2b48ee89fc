"""The detector that is shipped: small, self-describing, and as good as its card says on a few pictures it has never seen."""

from pathlib import Path

import numpy as np
import openvino
import pytest

from flowrt_scoring.detector.evaluation import Detector, evaluate, picture_plan, score_detector, summarise
from flowrt_sim import CLASSES

MODELS = Path(__file__).resolve().parents[2] / "models" / "flowrt-traffic"
FP16, INT8 = MODELS / "flowrt-traffic-fp16.xml", MODELS / "flowrt-traffic-int8.xml"


@pytest.mark.parametrize("path", [FP16, INT8], ids=["fp16", "int8"])
def test_a_model_is_under_three_megabytes_and_says_how_to_read_it(path: Path) -> None:
    assert path.stat().st_size + path.with_suffix(".bin").stat().st_size < 3_000_000
    model = openvino.Core().read_model(path)
    said = {
        key: model.get_rt_info(["flowrt", key]).value for key in ("labels", "decoder", "strides", "resize", "colours")
    }
    assert said == {
        "labels": " ".join(CLASSES),
        "decoder": "yolox",
        "strides": "8 16 32",
        "resize": "stretch",
        "colours": "bgr",
    }
    height, width = list(model.input(0).shape)[2:]
    cells = sum((height // s) * (width // s) for s in (8, 16, 32))
    assert list(model.output("detections").shape) == [1, cells, 5 + len(CLASSES)]
    assert list(model.output("footprints").shape) == [1, cells, 6]


def test_the_int8_model_computes_in_int8() -> None:
    kinds = [op.get_type_name() for op in openvino.Core().read_model(INT8).get_ops()]
    assert kinds.count("FakeQuantize") > 20


def test_scores_are_shares_and_classes_exclude_each_other() -> None:
    model = openvino.Core().compile_model(FP16, "CPU")
    picture = np.random.default_rng(5).integers(0, 255, list(model.input(0).shape)).astype(np.float32)
    rows = np.asarray(model(picture)[0])[0]
    assert np.isfinite(rows).all()
    assert rows[:, 4].min() >= 0
    assert rows[:, 4].max() <= 1
    assert rows[:, 5:].sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=0.02)


def test_both_models_find_the_objects_of_pictures_never_trained_on() -> None:
    """The floors are below the card's figures by what twelve pictures can scatter; a broken export falls through them."""
    results = evaluate([Detector(FP16), Detector(INT8)], picture_plan(12))
    fp16, int8 = (summarise(name, result) for name, result in zip(("fp16", "int8"), results, strict=True))
    assert fp16.objects > 100
    for score in (fp16, int8):
        assert score.map50 > 0.8
        assert score.per_class["car"] > 0.9
        assert score.per_class["pedestrian"] > 0.85
    assert int8.map50 == pytest.approx(fp16.map50, abs=0.05)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such model"):
        score_detector([tmp_path / "gone.xml"], 1)
