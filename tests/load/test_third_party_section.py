"""A section of the flow file, with a node that uses it, that an installed package brings: as its author and its users have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECTION = '''
"""The `pumps` section."""
from typing import Annotated

import msgspec

from flowrt import setting
from flowrt.config.sections import Section


class Pump(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pump."""

    flow_lps: Annotated[float, setting("What it moves.", gt=0)]
    valves: Annotated[dict[str, int], setting("Valves by name.")] = {}

    what = "curve"


class PumpSection(Section):
    """The `pumps` section."""

    key = "pumps"
    description = "The pumps, by name."
    struct = Pump
    parts = {"valve": "A valve of the pump."}

    def names(self, entry, part):
        return entry.valves


SECTION = PumpSection()
'''
NODE = '''
"""A node that names a pump."""
from typing import Annotated

from flowrt import M, Transform, reference, setting


class Drain(Transform):
    """Drain with a pump."""

    pumps: Annotated[str, reference("pumps")]
    valve: Annotated[str, reference("valve"), setting("Which valve.")] = ""

    def process(self, message: M) -> M:
        return message
'''
FLOW = """\
flow: works
pumps:
  big: {{flow_lps: {litres}, valves: {{inlet: 1}}}}
nodes:
  tick: {{type: timer, every_s: 0.05}}
  drain: {{type: drain, from: tick{settings}}}
  show: {{type: debug, from: drain}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on Python's path with the package and what an installer leaves of it."""
    package = tmp_path / "site" / "acme_pumps"
    (package / "nodes").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "section.py").write_text(SECTION)
    (package / "nodes" / "__init__.py").touch()
    (package / "nodes" / "drain.py").write_text(NODE)
    info = tmp_path / "site" / "acme_pumps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-pumps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[flowrt.sections]\npumps = acme_pumps.section\n\n[flowrt.nodes]\nacme = acme_pumps.nodes\n"
    )
    return tmp_path / "site"


def flowrt(site: Path, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "FLOWRT_DATA": str(site.parent / "data")}
    command = [sys.executable, "-m", "flowrt", *words]
    done = subprocess.run(command, cwd=site.parent, capture_output=True, text=True, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def write(site: Path, name: str = "flow.yaml", *, litres: str = "3", settings: str = "") -> None:
    (site.parent / name).write_text(FLOW.format(litres=litres, settings=settings))


def test_a_flow_uses_it_and_need_not_name_the_only_entry(site: Path) -> None:
    write(site)
    assert flowrt(site, "check", "flow.yaml")[0] == 0
    code, said = flowrt(site, "run", "flow.yaml", "--duration", "0.5", "--http", "off", "--report", "report.json")
    assert code == 0, said
    assert json.loads((site.parent / "report.json").read_text())["nodes"]["drain"]["out"] > 0


@pytest.mark.parametrize(
    ("litres", "settings", "place", "message", "hint"),
    [
        ("none", "", "3:19", "expected a number above 0, found the string 'none'", "What it moves."),
        ("3, colour: red", "", "3:22", "unknown setting 'colour' of pumps 'big'", "known: flow_lps, valves"),
        ("3", ", pumps: bigg", "6:43", "there is no pumps 'bigg'", "did you mean 'big'?"),
        ("3", ", valve: inlett", "6:43", "pumps 'big' has no valve 'inlett'", "did you mean 'inlet'?"),
    ],
)
def test_what_is_wrong_with_it_has_line_and_hint(
    site: Path, litres: str, settings: str, place: str, message: str, hint: str
) -> None:
    write(site, litres=litres, settings=settings)
    code, said = flowrt(site, "check", "flow.yaml")
    assert code == 1
    assert f"error: {message}" in said
    assert f"flow.yaml:{place}" in said
    assert hint in said


def test_the_schema_for_editors_has_it(site: Path) -> None:
    code, said = flowrt(site, "schema")
    assert code == 0
    schema = json.loads(said)
    assert schema["properties"]["pumps"]["description"] == "The pumps, by name."
    entry = schema["properties"]["pumps"]["additionalProperties"]
    assert entry["properties"]["flow_lps"]["description"] == "What it moves."
    drain = schema["$defs"]["node.drain"]
    assert drain["properties"]["pumps"]["description"].startswith("The pumps of the")
    assert "pumps" not in drain["required"], "the only entry need not be named"


def test_an_edit_of_an_entry_reconfigures_the_nodes_that_name_it(site: Path) -> None:
    write(site)
    write(site, "new.yaml", litres="4")
    code, said = flowrt(site, "plan", "flow.yaml", "new.yaml")
    assert code == 0
    assert said.splitlines() == ["~ drain: reconfigured; the curve of big", "= 2 kept"]


def test_an_entry_may_come_from_an_included_file(site: Path) -> None:
    (site.parent / "pumps.yaml").write_text("pumps:\n  small: {flow_lps: 1}\n")
    write(site, settings=", pumps: small")
    flow = site.parent / "flow.yaml"
    flow.write_text("include: pumps.yaml\n" + flow.read_text())
    assert flowrt(site, "check", "flow.yaml")[0] == 0


def test_a_package_whose_section_is_broken_is_named(site: Path) -> None:
    (site / "acme_pumps" / "section.py").write_text("import nothing_of_this_name\n")
    write(site)
    code, said = flowrt(site, "check", "flow.yaml")
    assert code == 1
    assert "the section 'pumps' can't be used: acme_pumps.section: ModuleNotFoundError" in said
    assert "uninstall the package" in said
