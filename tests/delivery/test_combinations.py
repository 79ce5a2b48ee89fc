"""200 random combinations of faults, from fixed seeds: nothing accepted is lost, accounts balance, and readiness is right."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

PROJECT = Path(__file__).resolve().parents[2]
PARTS, SEEDS_EACH = 4, 50


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_combinations_of_faults_leave_ledger_and_readiness_right(tmp_path: Path) -> None:
    def part(number: int) -> list[dict[str, Any]]:
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [
            sys.executable,
            "-m",
            "tests.delivery.combinations",
            str(folder),
            str(1 + number * SEEDS_EACH),
            str(SEEDS_EACH),
        ]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=380)
        assert done.returncode == 0, done.stderr
        return [msgspec.json.decode(line) for line in done.stdout.splitlines()]

    with ThreadPoolExecutor(PARTS) as pool:  # most of the time they wait
        combinations = [each for part_ in pool.map(part, range(PARTS)) for each in part_]
    assert len(combinations) == PARTS * SEEDS_EACH
    assert [each for each in combinations if each["wrong"]] == []
    assert sum(each["accepted"] for each in combinations) > 20_000
