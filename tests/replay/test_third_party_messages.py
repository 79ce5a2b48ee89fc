"""Message types of other packages in recordings: those of an installed one are given back, those of a `nodes/` folder refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NODE = '''
from collections.abc import Iterator
from typing import Annotated

import numpy as np

from flowrt import Event, Message, Source


class Pressure(Message, frozen=True, kw_only=True):
    """What a pump reads."""

    port = "pressure"
    bar: float = 0.0


class Gauge(Source):
    """A pump's gauge."""

    def produce(self) -> Iterator[Pressure]:
        for number in range(5):
            yield Pressure(time_s=float(number), bar=number / 10)
'''
FLOW = "flow: works\nnodes:\n  gauge: {type: gauge}\n  show: {type: debug, from: gauge}\n"
READ = """
from flowrt.config import load
from flowrt.testing.recording import Recording
from pathlib import Path
load("flow.yaml")
print([(type(m).__name__, m.time_s, m.bar) for _, m in Recording(Path("r.rec"))])
"""


def python(folder: Path, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "FLOWRT_DATA": str(folder / "data")}
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.yaml").write_text(FLOW)
    return tmp_path


def test_messages_of_an_installed_package_are_given_back(folder: Path) -> None:
    package, info = folder / "site" / "acme", folder / "site" / "acme-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "gauge.py").write_text(NODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flowrt.nodes]\nacme = acme\n")
    code, said = python(
        folder, "-m", "flowrt", "record", "flow.yaml", "--node", "gauge", "--out", "r.rec", "--until", "10"
    )
    assert code == 0, said
    code, said = python(folder, "-c", READ)
    assert (
        said.strip()
        == "[('Pressure', 0.0, 0.0), ('Pressure', 1.0, 0.1), ('Pressure', 2.0, 0.2), ('Pressure', 3.0, 0.3), ('Pressure', 4.0, 0.4)]"
    )
    code, said = python(folder, "-c", READ.replace('load("flow.yaml")', ""))
    assert "the recording holds 'pressure' messages, a type that is not known here" in said


def test_messages_of_a_nodes_folder_are_refused(folder: Path) -> None:
    (folder / "nodes").mkdir()
    (folder / "nodes" / "gauge.py").write_text(NODE)
    code, said = python(
        folder, "-m", "flowrt", "record", "flow.yaml", "--node", "gauge", "--out", "r.rec", "--until", "10"
    )
    assert code == 1
    assert "'gauge' makes 'pressure' messages (Pressure), which a recording can't give back" in said
    assert "flow.yaml:3:3" in said
    assert not (folder / "r.rec").exists()
