"""Scenery cached on disk: the same bytes, by what it was made from, and no harm where the folder can't be written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from flowrt_sim.camera import view
from flowrt_sim.render import cache
from flowrt_sim.render.cache import cached
from flowrt_sim.source import open_camera
from tests.sim.test_source import SMALL


def painted(value: int = 1) -> cache.Picture:
    return np.full((2, 3, 3), value, np.uint8)


def not_again() -> cache.Picture:
    raise AssertionError("it was painted again")


def test_a_camera_opened_again_has_the_same_picture_without_painting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = open_camera(SMALL).frame(2).image
    first = open_camera(SMALL, tmp_path / "scenery").frame(2).image
    monkeypatch.setattr(view.View, "_paint", lambda _: not_again())
    again = open_camera(SMALL, tmp_path / "scenery").frame(2).image
    assert np.array_equal(first, anew)
    assert np.array_equal(again, anew)


@pytest.mark.parametrize("other", ["seed=8", "camera=east", "weather=rain", "size=320x180"])
def test_other_scenery_is_painted(tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option that the picture depends on is part of what it was made from."""
    options = {"seed": "7", "camera": "north", "weather": "day", "size": "640x360", "start": "0"}
    painted_for: list[tuple[int, int]] = []

    def black(self: view.View) -> cache.Picture:
        painted_for.append(self.size_px)
        return np.zeros((self.size_px[1], self.size_px[0], 3), np.uint8)

    monkeypatch.setattr(view.View, "_paint", black)
    for change in ("", other, "", other):
        name, _, value = change.partition("=")
        wanted = options | ({name: value} if name else {})
        open_camera("sim://four-way?" + "&".join(f"{key}={text}" for key, text in wanted.items()), tmp_path).frame(0)
    assert len(painted_for) == 2


def test_what_another_version_painted_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(cached(tmp_path, "a", painted), painted())
    assert np.array_equal(cached(tmp_path, "a", not_again), painted())
    monkeypatch.setattr(cache, "_code_version", lambda: "another version")
    assert np.array_equal(cached(tmp_path, "a", lambda: painted(2)), painted(2))


def test_a_broken_file_is_painted_over(tmp_path: Path) -> None:
    cached(tmp_path, "a", painted)
    (file,) = tmp_path.iterdir()
    for broken in (b"", b"\x93NUMPY", file.read_bytes()[:-1], b"something else"):
        file.write_bytes(broken)
        assert np.array_equal(cached(tmp_path, "a", lambda: painted(2)), painted(2))
        assert np.array_equal(cached(tmp_path, "a", not_again), painted(2))


def test_a_folder_that_can_not_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert np.array_equal(cached(tmp_path / "file" / "below", "a", painted), painted())


def test_those_last_used_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 2)
    for number, made_from in enumerate("abc"):
        cached(tmp_path, made_from, painted)
        for file in tmp_path.iterdir():
            os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns - (10 - number) * 10**9))
    assert len(list(tmp_path.iterdir())) == 2
    cached(tmp_path, "c", not_again)
