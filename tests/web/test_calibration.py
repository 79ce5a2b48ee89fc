"""Calibration in a browser: eight points, one of them bad, found, mended and saved; a distance held out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.web.conftest import LiveRun, Watched
from tests.web.test_scene_editor import changed, drag

Take = Callable[[Page, str], Path]


def test_a_bad_point_of_eight_is_named_mended_and_saved(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    before = live.scenes.read_text()
    page.goto(live.url + "#/calibrate/north")
    worth = page.get_by_role("region", name="What it is worth")
    expect(worth).to_contain_text("camera height")
    page.get_by_role("button", name="New still").wait_for(timeout=30_000)
    page.get_by_label("Y 8").fill("9")
    page.get_by_label("Y 8").press("Tab")
    expect(page.locator(".pair.outlier")).to_have_count(1)
    expect(worth).to_contain_text("8")
    picture(page, "calibrate-outlier")
    page.get_by_label("Y 8").fill("2")
    page.get_by_label("Y 8").press("Tab")
    expect(page.locator(".pair.outlier")).to_have_count(0)
    drag(page, page.locator("[data-test=pair-7]"), 3, 0)
    expect(page.locator("table.pairs tr").nth(8)).to_contain_text(re.compile(r"[12]\.\d px"))
    page.get_by_label("Error map").check()
    expect(page.locator(".share").first).to_be_attached()
    page.get_by_label("Top view").check()
    expect(page.get_by_alt_text("The road from above")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Check a distance").click()
    frame = page.locator(".drawing .frame").bounding_box()
    assert frame
    for x, y in ((467.3, 337.9), (751.1, 322)):  # 14 m apart, says the scene
        page.mouse.click(frame["x"] + x / 1280 * frame["width"], frame["y"] + (y + 22) / 720 * frame["height"])
    page.get_by_label("Measured distance").fill("14")
    expect(page.locator("[data-test=held]")).to_contain_text("The fit says")
    picture(page, "calibrate")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="In force")).to_be_visible()
    ((old, new),) = changed(before, live.scenes.read_text())
    assert old.lstrip().startswith("image_px:")
    assert len(re.findall(r"\[[-\d.]+, [-\d.]+\]", new)) == 8
    live.scenes.write_text(before)


def test_points_that_determine_nothing_are_refused_with_a_word(live: LiveRun, desktop: Watched) -> None:
    page = desktop.page
    page.goto(live.url + "#/calibrate/north")
    expect(page.get_by_role("region", name="What it is worth")).to_contain_text("camera height")
    for _ in range(5):
        page.get_by_role("button", name="Remove point 1").click()
    expect(page.get_by_role("alert")).to_contain_text("at least 4")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
