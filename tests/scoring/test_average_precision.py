"""Average precision against cases worked out by hand."""

import math

import numpy as np
import pytest

from flowrt_scoring.detector.average_precision import (
    GroundTruth,
    Predictions,
    average_precision,
    class_average_precision,
    pairwise_iou,
)

SQUARE = [0.0, 0.0, 10.0, 10.0]
FAR_SQUARE = [100.0, 100.0, 110.0, 110.0]


def found(*rows: tuple[list[float], float, int]) -> Predictions:
    """Detections of one picture from (corners, score, class)."""
    boxes = np.array([r[0] for r in rows], np.float64).reshape(-1, 4)
    return Predictions(boxes, np.array([r[1] for r in rows], np.float64), np.array([r[2] for r in rows], np.int64))


def truth(*rows: tuple[list[float], int], ignored: tuple[int, ...] = ()) -> GroundTruth:
    """Objects of one picture from (corners, class)."""
    boxes = np.array([r[0] for r in rows], np.float64).reshape(-1, 4)
    flags = np.array([i in ignored for i in range(len(rows))], dtype=bool)
    return GroundTruth(boxes, np.array([r[1] for r in rows], np.int64), flags)


def test_iou_of_half_overlapping_squares_is_a_third() -> None:
    shifted = [5.0, 0.0, 15.0, 10.0]
    iou = pairwise_iou([SQUARE, FAR_SQUARE], [SQUARE, shifted])
    assert iou == pytest.approx(np.array([[1.0, 50 / 150], [0.0, 0.0]]))


def test_a_box_without_area_overlaps_nothing_not_even_itself() -> None:
    flat = [3.0, 3.0, 3.0, 9.0]
    assert pairwise_iou([flat], [flat])[0, 0] == 0.0


@pytest.mark.parametrize(
    ("hits", "objects", "expected"),
    [
        ([True, True], 2, 1.0),
        ([True, False], 2, 0.5),
        ([], 3, 0.0),
        ([False, False], 1, 0.0),
        # recall 1/3 at precision 1, 2/3 at 2/3, and the envelope lifts nothing: 1/3 * 1 + 1/3 * 2/3
        ([True, False, True], 3, 1 / 3 + 2 / 9),
        # precision 1/2 at recall 1/2, then 2/3 at recall 1: the envelope lifts the first step to 2/3
        ([False, True, True], 2, 2 / 3),
    ],
)
def test_area_under_the_envelope(hits: list[bool], objects: int, expected: float) -> None:
    assert average_precision(hits, objects) == pytest.approx(expected)


def test_without_objects_there_is_no_average_precision() -> None:
    assert math.isnan(average_precision([True], 0))
    assert math.isnan(class_average_precision([found()], [truth()], 0))


def test_a_second_box_on_one_object_is_a_false_positive() -> None:
    said = [found((SQUARE, 0.9, 0), (SQUARE, 0.8, 0)), found((SQUARE, 0.7, 0))]
    real = [truth((SQUARE, 0)), truth((SQUARE, 0))]
    # hits by score: yes, no, yes; two objects: 1/2 * 1 + 1/2 * 2/3
    assert class_average_precision(said, real, 0) == pytest.approx(0.5 + 1 / 3)


def test_the_wrong_class_finds_nothing_and_is_charged_to_its_own_class() -> None:
    said = [found((SQUARE, 0.9, 1), (FAR_SQUARE, 0.8, 1))]
    real = [truth((SQUARE, 0), (FAR_SQUARE, 1))]
    assert class_average_precision(said, real, 0) == 0.0
    assert class_average_precision(said, real, 1) == pytest.approx(0.5)


def test_too_little_overlap_is_a_miss_and_a_false_positive() -> None:
    loose = [0.0, 0.0, 10.0, 25.0]
    assert class_average_precision([found((loose, 0.9, 0))], [truth((SQUARE, 0))], 0) == 0.0
    assert class_average_precision([found((loose, 0.9, 0))], [truth((SQUARE, 0))], 0, min_iou=0.4) == 1.0


def test_ignored_objects_count_neither_when_found_nor_when_missed() -> None:
    real = [truth((SQUARE, 0), (FAR_SQUARE, 0), ignored=(1,))]
    without = [found((SQUARE, 0.5, 0))]
    with_it = [found((FAR_SQUARE, 0.9, 0), (SQUARE, 0.5, 0))]
    assert class_average_precision(without, real, 0) == 1.0
    assert class_average_precision(with_it, real, 0) == 1.0


def test_a_free_object_is_preferred_to_an_ignored_one() -> None:
    real = [truth((SQUARE, 0), (SQUARE, 0), ignored=(0,))]
    assert class_average_precision([found((SQUARE, 0.9, 0))], real, 0) == 1.0


def test_pictures_do_not_lend_each_other_objects() -> None:
    said = [found((SQUARE, 0.9, 0)), found()]
    real = [truth(), truth((SQUARE, 0))]
    assert class_average_precision(said, real, 0) == 0.0


def test_different_numbers_of_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="predictions for 2 pictures, but truth for 1"):
        class_average_precision([found(), found()], [truth()], 0)
