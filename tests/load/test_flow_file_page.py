"""The examples of `docs/flow-file.md`: each flow loads, and the check prints what the page shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from harness import TINY_MODEL

from flowrt import cli
from flowrt.config import read

PAGE = (Path(__file__).parents[2] / "docs" / "flow-file.md").read_text("utf-8")
FLOWS = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
CONSOLE = re.findall(r"```console\n\$ flowrt check (\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(TINY_MODEL, "yolox_nano.onnx")
    for name, text in FLOWS.items():
        Path(name).write_text(f"# {name}\n{text}", "utf-8")


def test_every_block_was_found() -> None:
    assert len(FLOWS) == PAGE.count("```yaml") == 4
    assert len(CONSOLE) == PAGE.count("```console") == 1


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "wrong.yaml"])
def test_flows_load(name: str) -> None:
    flow, diagnostics = read(name, environment={})
    assert not diagnostics
    assert flow is not None


@pytest.mark.parametrize(("name", "shown"), CONSOLE)
def test_check_prints_what_is_shown(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", name]) == 1
    assert capsys.readouterr().out == shown


def test_the_page_names_every_key() -> None:
    from flowrt.services import KINDS
    from flowrt.traffic.scene_section import SceneBlock

    for name in [*SceneBlock.__struct_fields__, *(f for kind in KINDS.values() for f in kind.__struct_fields__)]:
        assert f"`{name}`" in PAGE, name
