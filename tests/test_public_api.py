"""What is public: it is listed, documented and shown by pydoc, and a change of it stands in the changelog."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tools.api import MODULES, RELEASED, changed_names, listing, unreleased

ROOT = Path(__file__).parent.parent
PAGES = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
NAMES = [f"{module}.{name}" for module in MODULES for name in import_module(module).__all__]


def said(name: str, text: str) -> bool:
    """Whether a changelog names it in backticks: `Rule`, `flowrt.Rule`; for a member `Rule.find`, `find`, or the whole of its class."""
    owner, _, member = name.partition(".")
    return any(
        re.search(rf"`(?:[\w.]*\.)?{re.escape(each)}(?:\([^`]*\))?`", text) for each in {name, owner, member} - {""}
    )


def test_a_change_of_the_public_api_stands_in_the_changelog() -> None:
    missing = {
        name for name in changed_names(RELEASED.read_text().splitlines(), listing()) if not said(name, unreleased())
    }
    assert not missing, f"name in CHANGELOG.md, under Unreleased, what became of: {', '.join(sorted(missing))}"


@pytest.mark.parametrize(
    ("line", "other", "name"),
    [
        ("flowrt.Rule#find(self, tracks, view)", "flowrt.Rule#find(self, tracks)", "Rule.find"),
        ("flowrt.Rule#prepare(self, view)", "", "Rule.prepare"),
        ("flowrt.event_id(*parts)", "flowrt.event_id(*parts, site)", "event_id"),
        ("flowrt.Tick: Message", "", "Tick"),
        ("flowrt.testing.run(", "flowrt.testing.run(other, ", "run"),
    ],
)
def test_every_kind_of_change_is_noticed(line: str, other: str, name: str) -> None:
    now = listing()
    [found] = [each for each in now if each.startswith(line)]
    before = [found.replace(line, other) if each == found else each for each in now if each != found or other]
    assert changed_names(before, now) == {name}
    assert not said(name, "### Added\n- Something else.\n")
    assert said(name, f"- `{name}` is another.")


def test_a_new_name_counts_once_with_all_its_members() -> None:
    now = listing()
    before = [line for line in now if not line.startswith("flowrt.Rule")]
    assert changed_names(before, now) == {"Rule"}
    assert changed_names([*now, "flowrt.Old", "flowrt.Old#thing"], now) == {"Old"}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_its_place_and_its_words(name: str) -> None:
    module, _, own = name.rpartition(".")
    thing = getattr(import_module(module), own)
    assert PAGES.count(f"::: {name}\n") == 1
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing), name


@pytest.mark.parametrize(
    ("name", "words"), [("flowrt.Context", "What a node is given when it opens"), ("flowrt.Rule", "find")]
)
def test_pydoc_shows_it(name: str, words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pydoc", name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert words in done.stdout
    assert "No Python documentation found" not in done.stdout


def test_the_reference_is_made_of_the_docstrings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "site" / "api" / "nodes" / "index.html").read_text()
    assert "What a node is given when it opens" in shown
    assert "on_close" in shown
    rules = (tmp_path / "site" / "api" / "rules" / "index.html").read_text()
    assert "The tracks that offend in this picture" in rules
