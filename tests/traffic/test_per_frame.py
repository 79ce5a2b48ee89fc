"""What is derived once for a picture lives as long as the picture, and no longer."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from flowrt import Tracks
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.rules.history import without_picture
from tests.traffic.street import tracks_of


@per_frame
def doubled(tracks: Tracks) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A derived column."""
    return tracks.confidence * 2


def test_a_column_is_derived_once_for_a_picture() -> None:
    picture = tracks_of(0.0, [1], ["car"], [[0, 0, 10, 10]])
    assert doubled(picture) is doubled(picture)
    assert not doubled(picture).flags.writeable


def test_a_picture_derived_from_itself_is_freed() -> None:
    picture = tracks_of(0.0, [1], ["car"], [[0, 0, 10, 10]])
    assert without_picture(picture) is picture
    column = weakref.ref(picture.confidence)
    del picture
    gc.collect()
    assert column() is None
