"""The examples of `docs/flow-tests.md` do what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from flowrt.cli import main
from flowrt.testing.suite import Case, Expectation

PAGE = (Path(__file__).parents[2] / "docs" / "flow-tests.md").read_text("utf-8")
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
CONSOLE = re.findall(r"```console\n\$ flowrt (\w+) (\S+)\n(.*?)```", PAGE, re.DOTALL)
MISSPELT = """flow: night-trucks.yaml
tests:
  - name: nobody is accused
    expect: [{from: to_broker, topic: violations, where: {violation_typ: red_light}, at_most: 0}]
"""


def test_every_block_was_found() -> None:
    assert len(FILES) == PAGE.count("```yaml") == 2
    assert len(CONSOLE) == PAGE.count("```console") == 2


@pytest.mark.parametrize(("command", "name", "shown"), CONSOLE)
def test_the_commands_print_what_is_shown(
    command: str,
    name: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in {**FILES, "misspelt.test.yaml": MISSPELT}.items():
        Path(file).write_text(text, "utf-8")
    assert main([command, name]) == 1
    took = re.compile(r"\(\d+\.\d s\)")
    assert took.sub("(… s)", capsys.readouterr().out) == took.sub("(… s)", shown)


def test_the_page_names_every_key() -> None:
    for kind in (Case, Expectation):
        for field in msgspec.structs.fields(kind):
            assert f"`{field.encode_name}`" in PAGE, field.encode_name
