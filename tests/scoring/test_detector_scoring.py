"""Decoding the detector's output, and the pictures that it is evaluated on."""

import numpy as np
import pytest

from flowrt_scoring.detector.average_precision import GroundTruth, Predictions
from flowrt_scoring.detector.evaluation import (
    HELD_OUT_CONDITIONS,
    TEST_FIRST_SEED,
    TRAINED_CONDITIONS,
    EvaluatedPicture,
    decode,
    picture_plan,
    summarise,
    suppress,
    table,
)
from flowrt_sim import CLASSES
from flowrt_sim.dataset import SHARING

SIZE_PX = (64, 32)
CELLS = 8 * 4 + 4 * 2 + 2 * 1


def rows_with(cell: int, *, offsets: list[float], objectness: float, class_id: int, share: float) -> np.ndarray:
    """Output rows in YOLOX's layout with one cell that speaks."""
    rows = np.zeros((CELLS, 5 + len(CLASSES)))
    rows[cell, :4] = offsets
    rows[cell, 4] = objectness
    rows[cell, 5 + class_id] = share
    return rows


def test_a_cell_of_the_middle_level_is_read_at_stride_16() -> None:
    cell = 8 * 4 + 1 * 4 + 2  # second level, row 1, column 2
    rows = rows_with(cell, offsets=[0.5, 0.25, np.log(2.0), 0.0], objectness=0.8, class_id=3, share=0.5)
    boxes_px, scores, class_ids = decode(rows, SIZE_PX)
    # centre ((2 + 0.5) * 16, (1 + 0.25) * 16) = (40, 20), size (2 * 16, 16)
    assert boxes_px == pytest.approx(np.array([[24.0, 12.0, 56.0, 28.0]]))
    assert scores == pytest.approx([0.4])
    assert class_ids.tolist() == [3]


def test_what_scores_too_low_is_cut() -> None:
    rows = rows_with(0, offsets=[0, 0, 0, 0], objectness=0.1, class_id=0, share=0.1)
    assert len(decode(rows, SIZE_PX, lowest_score=0.02)[1]) == 0
    assert len(decode(rows, SIZE_PX, lowest_score=0.01)[1]) == 1


def test_an_output_of_the_wrong_length_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"has 42 cells, the output 41"):
        decode(np.zeros((CELLS - 1, 12)), SIZE_PX)


def test_suppression_keeps_the_best_of_a_heap_and_everything_apart() -> None:
    boxes_px = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 9]], np.float64)
    kept = suppress(boxes_px, np.array([0.5, 0.9, 0.3, 0.4]), 0.6)
    assert kept.tolist() == [1, 2]


def test_half_of_the_test_pictures_show_held_out_weather_at_places_of_their_own() -> None:
    plan = picture_plan(112)
    held_out = [p for p in plan if p[1:] in HELD_OUT_CONDITIONS]
    assert len(held_out) == 56
    assert {p[1:] for p in plan} == {*TRAINED_CONDITIONS, *HELD_OUT_CONDITIONS}
    assert not set(TRAINED_CONDITIONS) & set(HELD_OUT_CONDITIONS)
    assert min(seed for seed, _, _ in plan) == TEST_FIRST_SEED
    assert len({seed for seed, _, _ in plan}) == 112
    assert len({seed // SHARING for seed, _, _ in plan}) == 56


def test_the_summary_is_the_mean_over_the_classes_that_were_there() -> None:
    car, bus = np.array([[0, 0, 20, 20.0]]), np.array([[50, 50, 90, 90.0]])
    truth = GroundTruth(np.concatenate((car, bus)), np.array([0, 3]), np.zeros(2, bool))
    picture = EvaluatedPicture(Predictions(car, np.array([0.9]), np.array([0])), truth, "day", "clear")
    score = summarise("m", [picture])
    assert score.per_class == {"car": 1.0, "bus": 0.0}
    assert score.map50 == pytest.approx(0.5)
    assert score.per_condition == {"day clear": pytest.approx(0.5)}
    assert score.objects == 2
    text = table([score])
    assert "mAP50" in text
    assert "bus" in text
    assert "van" not in text
