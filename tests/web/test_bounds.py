"""What one request of the page may cost is bounded, whatever is in the journal and whatever points are given."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowrt import Frame, Message
from flowrt.clock import SystemClock
from flowrt.journal import EventRow, Journal
from flowrt.journal.reviews import Review, write_review
from flowrt.traffic.calibration import calibrate
from flowrt.traffic.scene import Scene
from flowrt_web import event_routes, stills
from flowrt_web.calibration_routes import GRID_M, MAX_GRID_M, grid
from flowrt_web.event_routes import Wanted, recorded
from flowrt_web.stills import collected
from flowrt_web.views import CameraView

IMAGE_PX = [(100, 400), (540, 400), (400, 200), (240, 200)]


def test_the_newest_events_are_shown_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_routes, "MAX_ROWS", 3)
    journal = Journal(tmp_path / "a.journal", clock=SystemClock())
    rows = [EventRow(f"e-{n}", float(n), "t", "node", b"{}") for n in range(1, 8)]
    journal.append("out", [], events=rows[:3], wait=True)
    shown = recorded(tmp_path / "a.journal", Wanted())
    assert ([row["id"] for row in shown["events"]], shown["more"]) == (["e-3", "e-2", "e-1"], False)
    journal.append("out", [], events=rows[3:], wait=True)
    shown = recorded(tmp_path / "a.journal", Wanted())
    assert ([row["id"] for row in shown["events"]], shown["more"]) == (["e-7", "e-6", "e-5"], True)
    journal.close()


def test_a_review_makes_no_journal(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_review(tmp_path / "a.journal", Review(id="e-1", verdict="confirmed"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("apart_m", [5.0, 50_000.0])
def test_a_grid_has_few_lines_however_far_apart_the_points_are(apart_m: float) -> None:
    ground = [(-apart_m, 0.0), (apart_m, 0.0), (apart_m, 2 * apart_m), (-apart_m, 2 * apart_m)]
    lines = grid(calibrate(IMAGE_PX, ground, (640, 480)), Scene(name="north", picture_px=(640, 480)))
    assert len(lines) <= 2 * (MAX_GRID_M / GRID_M + 2)
    assert apart_m > MAX_GRID_M or len(lines) > 10


def test_a_still_is_of_pictures_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera may come back with another one."""
    clock = itertools.count(step=2.0)
    monkeypatch.setattr(stills, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    sizes = [(48, 64), (48, 64), (96, 128), (96, 128)]

    def observe(_: str, observer: Callable[[Message], None]) -> Callable[[], None]:
        for number, (height, width) in enumerate(sizes):
            image = np.zeros((height, width, 3), np.uint8)
            observer(Frame(time_s=float(number), camera_id="north", image=image, number=number))
        return lambda: None

    runtime: Any = SimpleNamespace(observe=observe)
    pictures = collected(runtime, CameraView("north", "north", "", ""), 4, 7.0)
    assert [picture.shape[:2] for picture in pictures] == [(96, 128), (96, 128)]
