"""docs/simulation.md says what the code does: parameters, weathers, scenarios, fields of the truth, and commands that run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from flowrt.cli import main
from flowrt.system.resources import share
from flowrt_sim.scenarios import LOOKALIKES, SCENARIOS, VIOLATIONS
from flowrt_sim.uri import RANGES, WEATHERS, SimOptions, parse

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "simulation.md").read_text("utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of the table that begins with this head."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_parameter_is_in_the_table_with_its_default_and_range() -> None:
    shown = {row[0].strip("`"): row[1:4] for row in rows("| parameter | default |")}
    assert list(shown) == [field.name for field in fields(SimOptions) if field.name != "world"]
    for name, (default, low, high) in shown.items():
        assert getattr(parse(f"sim://four-way?{name}={default}"), name) == getattr(SimOptions(), name), name
        if name in RANGES:
            assert (float(low), float(high)) == RANGES[name], name
        elif low:
            assert parse(f"sim://four-way?{name}={low}") != parse(f"sim://four-way?{name}={high}")


def test_every_weather_and_every_scenario_is_there() -> None:
    assert [row[0].strip("`") for row in rows("| weather | light |")] == list(WEATHERS)
    incidents = rows("| scenario | incident |")
    assert [row[0].strip("`") for row in incidents] == list(VIOLATIONS)
    assert set(re.findall(r"`(\w+)`:", " ".join(row[2] for row in incidents))) == set(LOOKALIKES)
    others = set(SCENARIOS) - set(VIOLATIONS) - set(LOOKALIKES)
    assert all(f"`{name}`" in PAGE for name in others)


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_commands_run_and_the_files_have_the_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As shown, but for a few seconds of traffic instead of minutes."""
    shutil.copytree(share("flows"), tmp_path / "flows")
    monkeypatch.chdir(tmp_path)
    for line in commands():
        short = re.sub(r"--minutes \S+", "--minutes 0.05", line).replace("--until 600", "--until 3")
        short = short.replace("301..302", "301")
        assert main(shlex.split(short)[1:]) == 0, f"{short}: {capsys.readouterr().err}"
    assert {file.name for file in (tmp_path / "truth").iterdir()} == {
        "north.mp4", "north.truth.ndjson", "truth.ndjson", "scene.yaml",
    }  # fmt: skip
    (first, *_) = (tmp_path / "truth" / "north.truth.ndjson").read_text().splitlines()
    named = {name for row in rows("| field | meaning |") for name in re.findall(r"`(\w+)`", row[0])}
    assert set(json.loads(first)) == named


def test_every_line_of_the_truth_has_the_fields_of_its_type(tmp_path: Path) -> None:
    """A minute in which there are violations and counts."""
    options = ["--seed", "3", "--scenario", "jaywalking", "--start", "0", "--minutes", "1", "--camera", "north"]
    assert main(["sim", *options, "--fps", "0.1", "--no-video", "--out", str(tmp_path)]) == 0
    records = [json.loads(line) for line in (tmp_path / "truth.ndjson").read_text().splitlines()]
    shown = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows("| type | fields |")}
    assert {record["type"] for record in records} == set(shown)
    for record in records:
        assert set(record) - {"type"} == shown[record["type"]]
