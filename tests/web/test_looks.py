"""What people with poor sight, large flows and installed packages need."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from flowrt_web.static_files import FOLDER
from tests.harness import PROJECT
from tests.run.test_run import Run, run
from tests.web.conftest import Watched

__all__ = ["run"]


def colours(scheme: int) -> dict[str, str]:
    """The colours of the dark scheme (0), which the light one (1) overrides."""
    blocks = re.findall(r":root \{(.*?)\}", (FOLDER / "css" / "base.css").read_text(), re.DOTALL)
    found: dict[str, str] = {}
    for block in blocks[: scheme + 1]:
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    return found


def brightness(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_text_stands_out_from_its_ground(scheme: int) -> None:
    named = colours(scheme)
    for ink in ("text", "quiet", "accent", "good", "warn", "bad", "focus"):
        for ground in ("ground", "panel", "raised"):
            light, dark = sorted((brightness(named[ink]), brightness(named[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)
    light, dark = sorted((brightness(named["accent"]), brightness(named["accent-ink"])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_nothing_moves_for_those_who_asked_for_that() -> None:
    for file in (FOLDER / "css").glob("*.css"):
        text = file.read_text()
        quiet = re.sub(r"@media \(prefers-reduced-motion: no-preference\) \{.*?\n\}", "", text, flags=re.DOTALL)
        assert "transition" not in quiet, file
        assert "animation" not in quiet, file


def test_two_hundred_nodes_stay_usable(run: Run, desktop: Watched) -> None:
    names = [f"n{i}" for i in range(199)]
    nodes = [
        f"  {name}: {{type: total, from: {names[(i - 1) // 3] if i else 'count'}}}" for i, name in enumerate(names)
    ]
    run.flow.write_text(
        "flow: large\nnodes:\n  count: {type: numbers, n: 10000000, every_s: 0.05}\n" + "\n".join(nodes)
    )
    run.start("--watch", "off")
    page = desktop.page
    page.goto(run.url)
    expect(page.locator(".box")).to_have_count(200)
    began = time.monotonic()
    node = page.get_by_role("button", name=re.compile("^n198, "))
    node.focus()
    node.press("Enter")
    expect(page.get_by_role("complementary", name="n198")).to_be_visible()
    assert time.monotonic() - began < 3


@pytest.mark.slow
def test_a_built_package_has_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in FOLDER.rglob("*"):
        if file.is_file():
            assert f"flowrt_web/static/{file.relative_to(FOLDER).as_posix()}" in names
