"""What a release is made of: pinned versions, licences, files that say who, how and what changed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tools.licences import PERMITTED, licence_of, pinned

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def lock(name: str) -> dict[str, list[Requirement]]:
    """What a lock pins, by name; a package may stand there once for each range of Pythons."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^([a-z0-9][^\n]*?) \\$", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE):
        each = Requirement(line)
        found.setdefault(each.name, []).append(each)
    return found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run.txt", PROJECT["dependencies"]),
        ("test.txt", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]),
    ],
)
def test_the_lock_pins_what_the_project_asks_for(name: str, wanted: list[str]) -> None:
    pins = lock(name)
    for requirement in map(Requirement, wanted):
        found = pins.get(requirement.name.lower().replace("_", "-"))
        assert found, f"{requirement.name} is not in requirements/{name}: run `tools/lock UV`"
        for pin in found:
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert requirement.specifier.contains(specifier.version), f"{pin} does not fit {requirement}"


def test_both_locks_have_the_same_versions() -> None:
    run, test = lock("run.txt"), lock("test.txt")
    assert {name: list(map(str, test.get(name, []))) for name in run} == {
        name: list(map(str, run[name])) for name in run
    }


@pytest.mark.parametrize("name", ["run.txt", "test.txt"])
def test_each_pin_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert "://" not in text
    for block in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_one_opencv() -> None:
    for name in ("run.txt", "test.txt"):
        assert [package for package in lock(name) if package.startswith("opencv")] == ["opencv-python"]


def test_licences_of_what_is_installed_permit_it() -> None:
    refused = {each.name: licence for each in pinned() if not PERMITTED.search(licence := licence_of(each.name))}
    assert refused == {}


def test_the_version_is_the_same_everywhere() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_each_package_is_typed() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for package in build["packages"]:
        assert (ROOT / package / "py.typed").is_file(), package
