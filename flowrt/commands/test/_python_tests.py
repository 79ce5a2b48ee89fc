"""The Python tests of `nodes/` folders, which `flowrt test` runs with pytest, in a process of its own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from flowrt.commands import Failure

NONE_COLLECTED = 5
"""pytest's exit code where no test was found."""


class PythonTest(msgspec.Struct, frozen=True):
    """One test function: the failure is pytest's account of it, empty where it passed."""

    file: str
    name: str
    took_s: float
    failure: str


def python_tests(given: Path) -> list[Path]:
    """Test files in `nodes/` folders: all below a folder, or the file itself."""
    if not given.is_dir():
        return [given] if given.suffix == ".py" else []
    files = [*given.rglob("test_*.py"), *given.rglob("*_test.py")]
    return sorted({file for file in files if "nodes" in file.resolve().parts[:-1]})


def run_python_tests(files: Sequence[Path], name: str) -> list[PythonTest]:
    """Run them. name: only tests with this in their name. Raises Failure where pytest is missing or can't begin."""
    if name and not re.fullmatch(r"\w+", name):  # the name of a function has no spaces
        return []
    if importlib.util.find_spec("pytest") is None:
        raise Failure(f"{files[0]}: Python tests need pytest: pip install 'flowrt[testing]'")
    with tempfile.TemporaryDirectory(prefix="flowrt-test-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        command += ["-p", "no:cacheprovider", *(["-k", name] if name else []), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.exists():
            raise Failure(f"pytest: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}")
        found = list(_cases(xml.parse(report).getroot()))
    if not found and done.returncode not in (0, NONE_COLLECTED):
        raise Failure(f"pytest: {done.stdout.strip()}")
    return found


def _cases(root: xml.Element) -> Iterator[PythonTest]:
    for case in root.iter("testcase"):
        wrong = [part.text or part.get("message") or part.tag for part in case if part.tag in ("failure", "error")]
        file = case.get("file", case.get("classname", ""))
        yield PythonTest(file, case.get("name", ""), float(case.get("time", 0)), "\n".join(filter(None, wrong)).strip())
