"""`flowrt new node` writes a node, a flow and a test that work as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowrt import cli
from flowrt.commands.new._node import KINDS
from flowrt.config import load


def test_every_kind_passes_its_test_and_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        assert cli.main(["new", "node", f"my_{kind}", "--kind", kind]) == 0
        flow = load(f"my_{kind}.yaml")
        [made] = [spec for spec in flow.nodes.values() if spec.type.origin == "folder"]
        assert made.type.name == f"my_{kind}"
    capsys.readouterr()
    assert cli.main(["test", "nodes", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["tests"]
    assert {Path(row["file"]).name for row in rows} == {f"test_my_{kind}.py" for kind in KINDS}
    assert all(row["passed"] for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["node", "Fast"], 2, "is no name for a node type"),
        (["node", "class"], 2, "is no name for a node type"),
        (["node", "test_it"], 2, "is no name for a node type"),
        (["node", "timer"], 2, "already"),
        (["one", "two"], 2, "expected NAME or `node NAME`"),
        (["one", "--kind", "rule"], 2, "--kind is for nodes"),
    ],
)
def test_what_is_refused(
    words: list[str], code: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", *words]) == code
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_one_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("flow: mine\n")
    assert cli.main(["new", "node", "mine"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_failing_test_of_a_node_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "node", "old"]) == 0
    test = Path("nodes/test_old.py")
    test.write_text(test.read_text().replace("== [2]", "== [1]"))
    capsys.readouterr()
    assert cli.main(["test", "."]) == 1
    shown = capsys.readouterr().out
    assert "FAIL test_old.py: test_only_those_seen_for_a_while_pass" in shown
    assert "assert [2] == [1]" in shown
    assert shown.endswith("0 passed, 1 failed\n")
