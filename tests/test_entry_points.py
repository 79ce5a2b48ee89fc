"""Entry points read from the files are those that `importlib.metadata` tells."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import pytest

from flowrt.system.resources import entry_points


@pytest.mark.parametrize("group", ["flowrt.nodes", "flowrt.commands", "console_scripts", "pytest11", "nobody.has.this"])
def test_the_same_as_the_standard_library(group: str) -> None:
    assert entry_points(group) == {
        entry.name: entry.value for entry in reversed([*importlib.metadata.entry_points(group=group)])
    }


def offer(place: Path, package: str, text: str) -> None:
    info = place / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(text)


def test_the_first_on_the_path_keeps_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "a", "acme", "# ours\n[other]\ngate = no.thing\n\n[flowrt.nodes]\ngate = acme.nodes\n")
    offer(tmp_path / "b", "bcme", "[flowrt.nodes]\ngate=bcme.nodes\n; more\n lamp = bcme.lamps \n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "gone"), str(tmp_path / "b")])
    assert entry_points("flowrt.nodes") == {"gate": "acme.nodes", "lamp": "bcme.lamps"}


def test_packages_in_an_archive_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "a", "acme", "[flowrt.nodes]\ngate = acme.nodes\n")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "a").rglob("*"):
            if file.is_file():
                archive.write(file, file.relative_to(tmp_path / "a"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a.zip")])
    assert entry_points("flowrt.nodes") == {"gate": "acme.nodes"}
