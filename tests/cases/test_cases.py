"""Every `invalid-*.yaml` gives exactly the problems that its first lines expect, every `valid-*.yaml` gives a flow.

A line says where, what, and what to do: `# expect: [FILE:]LINE:COLUMN message | hint`; message and hint may be cut short.
A bug of the loader becomes a file here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowrt.catalog import Catalog
from flowrt.config import read
from flowrt.diagnostics import Diagnostic

FOLDER = Path(__file__).parent
ENVIRONMENT = {"CASE_TEXT": "hello", "CASE_NUMBER": "0.5", "CASE_SECRET": "s3cret", "CASE_TRUE": "true"}
EXPECT = re.compile(
    r"# expect: (?:(?P<file>[^:]+):)?(?P<line>\d+):(?P<column>\d+) (?P<message>.*?) \|(?: (?P<hint>.*))?"
)


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    """The cases are read in their own folder, so that the files in their messages are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(FOLDER)
        yield Catalog(Path())


def cases(kind: str) -> list[Path]:
    return sorted(Path(path.name) for path in FOLDER.glob(f"{kind}-*.yaml"))


def expected(path: Path) -> list[re.Match[str]]:
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    found = [EXPECT.fullmatch(line) for line in lines if line.startswith("# expect:")]
    assert None not in found, f"{path.name}: an expectation that can't be read"
    return [each for each in found if each]


def check(path: Path, diagnostics: list[Diagnostic]) -> None:
    """Problems and expectations, one by one, in the order of the file."""
    wanted = expected(path)
    said = [str(diagnostic) for diagnostic in diagnostics]
    assert len(diagnostics) == len(wanted), "\n".join(said)
    for diagnostic, want in zip(diagnostics, wanted, strict=True):
        file = want["file"] or path.name
        assert (diagnostic.file, diagnostic.line, diagnostic.column) == (
            file,
            int(want["line"]),
            int(want["column"]),
        ), str(diagnostic)
        message = (
            f"{diagnostic.severity}: {diagnostic.message}" if diagnostic.severity == "warning" else diagnostic.message
        )
        assert message.startswith(want["message"])
        assert (want["hint"] or "") in diagnostic.hint
        assert diagnostic.hint or not want["hint"]


def test_there_are_enough_cases() -> None:
    assert len(cases("invalid")) >= 60


@pytest.mark.parametrize("path", cases("invalid"), ids=lambda path: path.stem)
def test_invalid(path: Path, catalog: Catalog) -> None:
    assert expected(path), f"{path.name} expects nothing"
    flow, diagnostics = read(path, catalog=catalog, environment=ENVIRONMENT)
    assert flow is None
    check(path, diagnostics)


@pytest.mark.parametrize("path", cases("valid"), ids=lambda path: path.stem)
def test_valid(path: Path, catalog: Catalog) -> None:
    flow, diagnostics = read(path, catalog=catalog, environment=ENVIRONMENT)
    check(path, diagnostics)
    assert flow is not None
    assert flow.order()
