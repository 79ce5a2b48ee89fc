"""A file or package that has a type of the library's name never takes its place without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowrt.cli import main
from flowrt.config import read

FLOW = "flow: a\nnodes:\n  tick: {type: timer, every_s: 1}\n  print: {type: debug, from: tick}\n"
NODE = '''\
from flowrt import Tick, Transform


class Debug(Transform):
    """Print."""

    def process(self, tick: Tick) -> None:
        print(tick)
'''


def test_a_file_in_nodes_that_has_the_name_of_a_type(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "debug.py").write_text(NODE)
    (tmp_path / "a.yaml").write_text(FLOW)
    flow, [problem] = read(tmp_path / "a.yaml")
    assert flow is None
    assert (problem.line, problem.column) == (4, 17)
    own = tmp_path / "nodes" / "debug.py"
    assert problem.message == (
        f"node type 'debug' can't be used: it is there twice, as flowrt_nodes.debug and as {own}: rename one of them"
    )
    (tmp_path / "a.yaml").write_text(FLOW.replace("type: debug", "type: show"))
    own.rename(tmp_path / "nodes" / "show.py")
    assert read(tmp_path / "a.yaml")[0] is not None


def test_an_installed_package_that_has_the_name_of_a_type(tmp_path: Path) -> None:
    """In a process of its own: what is installed is looked at once."""
    for name in ("acme", "builtin"):  # also one that calls itself as the library does
        place = tmp_path / name
        (place / f"{name}_nodes").mkdir(parents=True)
        (place / f"{name}_nodes" / "__init__.py").touch()
        (place / f"{name}_nodes" / "debug.py").write_text(NODE)
        (place / f"{name}-1.dist-info").mkdir()
        (place / f"{name}-1.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (place / f"{name}-1.dist-info" / "entry_points.txt").write_text(f"[flowrt.nodes]\n{name} = {name}_nodes\n")
        (tmp_path / "a.yaml").write_text(FLOW)
        code = f"import sys; sys.path.insert(0, {str(place)!r}); from flowrt.cli import main; sys.exit(main(['check', 'a.yaml']))"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "it is there twice, as" in done.stdout
        assert "flowrt_nodes.debug" in done.stdout
        assert f"{name}_nodes.debug" in done.stdout


def test_the_list_of_types_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "debug.py").write_text(NODE)
    (tmp_path / "a.yaml").write_text(FLOW)
    assert main(["nodes", "debug", "--flow", str(tmp_path / "a.yaml")]) == 3
    assert main(["nodes", "--flow", str(tmp_path / "a.yaml")]) == 0
    assert capsys.readouterr().out.count("it is there twice, as flowrt_nodes.debug and as") == 2
