"""What README and docs show is true: flows pass the check, commands exist, examples are the examples, links lead somewhere."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import re
import shutil
from pathlib import Path

import pytest

from flowrt.commands import BUILT_IN, GROUP
from flowrt.config import read

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(ROOT)}", text)
        for page in PAGES
        for kind, text in BLOCK.findall(page.read_text())
        if kind == language
    ]


@pytest.mark.parametrize(("page", "text"), [b for b in blocks("yaml") if re.search(r"^flow:", b[1], re.MULTILINE)])
def test_flows_shown_are_valid(page: str, text: str, tmp_path: Path) -> None:
    if page.endswith(("flow-file.md", "flow-tests.md")):
        pytest.skip("that page has a test of its own, with the files it speaks of")
    shutil.copytree(ROOT / "flows" / "scenes", tmp_path / "scenes")
    (tmp_path / "flow.yaml").write_text(text)
    _, diagnostics = read(tmp_path / "flow.yaml")
    assert [str(diagnostic) for diagnostic in diagnostics if diagnostic.severity == "error"] == []


@pytest.mark.parametrize(("page", "text"), [b for b in blocks("python") if b[1].startswith("# examples/")])
def test_examples_shown_are_the_examples(page: str, text: str) -> None:
    name, _, code = text.partition("\n")
    assert (ROOT / name.removeprefix("# ")).read_text() == code


def commands() -> list[tuple[str, str]]:
    shown = []
    for page in PAGES:
        text = page.read_text()
        for line in [*re.findall(r"^(?:\.venv/bin/)?flowrt [^\n#]*", "\n".join(t for _, t in BLOCK.findall(text)), re.MULTILINE),
                     *re.findall(r"`(flowrt [^`]*)`", text)]:  # fmt: skip
            shown.append((str(page.relative_to(ROOT)), line.removeprefix(".venv/bin/").strip()))
    return sorted(set(shown))


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_shown_exist(page: str, line: str) -> None:
    words = line.split()
    if len(words) < 2 or not re.fullmatch(r"[a-z][a-z-]*", words[1]):
        return
    entries = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}
    module = BUILT_IN[words[1]].module if words[1] in BUILT_IN else entries.get(words[1], "")
    assert module, f"{page}: there is no command {words[1]}"
    parser = argparse.ArgumentParser()
    importlib.import_module(module).configure(parser)
    known = set(all_options(parser))
    for option in re.findall(r"(--[a-z-]+)", line):
        assert option in known, f"{page}: {line}: {option}"


def all_options(parser: argparse.ArgumentParser) -> list[str]:
    options = []
    for action in parser._actions:
        options += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                options += all_options(sub)
    return options


LESSONS = ["flow-file.md", "nodes.md", "rules.md", "testing.md"]


@pytest.mark.parametrize("page", LESSONS)
def test_flows_nodes_rules_and_tests_are_taught_in_that_order(page: str) -> None:
    """By the pages themselves, by the README, and by the site."""
    way = (ROOT / "docs" / page).read_text().splitlines()[2]
    shown = re.findall(r"\[(\d) \w+\]\(([\w.-]+)\)|\*\*(\d) \w+\*\*", way)
    assert [(number or own, target or page) for number, target, own in shown] == [
        (str(n), lesson) for n, lesson in enumerate(LESSONS, 1)
    ]
    for other in (ROOT / "README.md", ROOT / "mkdocs.yml"):
        text = other.read_text().partition("## Read on")[2] or other.read_text()
        places = [text.index(lesson) for lesson in LESSONS]
        assert places == sorted(places), other


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_house_stands_as_the_page_draws_it() -> None:
    """Every file and folder that docs/architecture.md names is there; names within a folder's row count from that folder."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    roots = [
        ROOT,
        *(
            ROOT / each
            for each in ("flowrt", "flowrt/runtime", "nodes/flowrt_nodes", "nodes/flowrt_nodes/violation", "docs")
        ),
    ]
    named = [name for name in re.findall(r"`([\w./-]+(?:/|\.py|\.md))`", page) if "NAME" not in name]
    assert len(named) > 40
    missing = [name for name in named if not any((root / name).exists() for root in roots)]
    assert not missing
