"""Numbers in another unit than the setting's are answered with the converted number."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowrt.config import read

TIMER = "flow: a\nnodes:\n  tick: {type: timer, SETTING}\n  print: {type: debug, from: tick}\n"
SCENE = (
    "flow: a\nscene:\n  north:\n    picture_px: [1280, 720]\n"
    "    lanes: {in_1: {zone: [[0, 0], [9, 0], [9, 9]], SETTING}}\n"
    "nodes:\n  tick: {type: timer, every_s: 1}\n  print: {type: debug, from: tick}\n"
)


def hint(text: str, folder: Path) -> tuple[str, str, int]:
    file = folder / "a.yaml"
    file.write_text(text)
    _, diagnostics = read(file)
    [error] = [each for each in diagnostics if each.severity == "error"]
    return error.message, error.hint, error.line


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("every_s: 5 min", "seconds: 300"),
        ("every_s: 5min", "seconds: 300"),
        ("every_s: 250 ms", "seconds: 0.25"),
        ("every_s: 1.5 h", "seconds: 5400"),
        ("every_s: '5 s'", "seconds: 5"),
        ("every_s: 5 metres", "write a number, in seconds"),
        ("every_s: 5 apples", "write a number, in seconds"),
    ],
)
def test_a_unit_in_a_value(written: str, said: str, tmp_path: Path) -> None:
    message, answer, line = hint(TIMER.replace("SETTING", written), tmp_path)
    assert message.startswith("expected a number")
    assert answer.endswith(said)
    assert line == 3


def test_a_unit_in_a_value_of_a_scene(tmp_path: Path) -> None:
    assert hint(SCENE.replace("SETTING", "limit_kmh: 30 mph"), tmp_path)[1] == "write the number in km/h: 48.28"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("limit_mph: 30", "write `limit_kmh: 48.28`, in km/h"),
        ("limit_mps: 10", "write `limit_kmh: 36`, in km/h"),
        ("limit_mph: fast", "write `limit_kmh`, in km/h"),
    ],
)
def test_a_setting_in_another_unit_is_answered_with_the_conversion(written: str, said: str, tmp_path: Path) -> None:
    message, answer, _ = hint(SCENE.replace("SETTING", written), tmp_path)
    assert message.startswith(f"unknown setting '{written.partition(':')[0]}'")
    assert answer == said


def test_a_setting_of_a_node_in_another_unit(tmp_path: Path) -> None:
    text = TIMER.replace("tick: {type: timer, SETTING}", "tick: {type: timer, every_min: 2}")
    file = tmp_path / "a.yaml"
    file.write_text(text)
    _, diagnostics = read(file)
    assert "write `every_s: 120`, in seconds" in [each.hint for each in diagnostics]
