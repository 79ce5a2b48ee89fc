"""docs/testing.md is right: its tests pass beside the nodes they speak of, and golden files do what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = re.findall(r"^```python\n# nodes/(\S+)\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text(), re.M | re.S)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    for file in [
        *(ROOT / "examples" / "nodes").glob("*.py"),
        *(ROOT / "examples" / "nodes" / "violation").glob("*.py"),
    ]:
        shutil.copy(file, nodes)
    for name, text in FILES:
        (nodes / name).write_text(text)
    return tmp_path


def flowrt_test(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flowrt", "test", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)


def test_what_the_page_shows_passes_and_golden_files_hold(place: Path) -> None:
    first = flowrt_test(place, ".")
    assert first.stdout.count("ok   ") == len(re.findall(r"^def test_", "".join(text for _, text in FILES), re.M)) - 1
    assert "FAIL test_golden.py: test_all_of_it" in first.stdout, first.stdout + first.stderr
    assert "was not there and is written now" in first.stdout
    assert first.returncode == 1
    again = flowrt_test(place, "nodes/test_golden.py")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed"), again.stdout
