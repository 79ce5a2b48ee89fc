"""The scene editor in a browser: a point dragged is one line of the file, and nothing that an editor wrote is overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import LiveRun, Watched

Take = Callable[[Page, str], Path]


@pytest.fixture(autouse=True)
def file_as_it_was(live: LiveRun) -> Iterator[None]:
    before = live.scenes.read_bytes()
    yield
    live.scenes.write_bytes(before)


def open_editor(page: Page, live: LiveRun, shape: str = "") -> None:
    page.goto(live.url + "#/scene/north")
    page.get_by_label("Freeze").check()
    expect(page.locator(".shape").first).to_be_visible()
    page.wait_for_function("() => Number(document.querySelector('.backdrop')?.dataset.number ?? 0) > 0")
    if shape:
        page.get_by_role("button", name=re.compile(rf"^{shape} (zone|line|lane)")).click()
        expect(page.get_by_role("region", name="Properties")).to_contain_text(shape)


def drag(page: Page, point: Locator, dx: float, dy: float) -> None:
    box = point.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2, steps=3)
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up()


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()


def changed(before: str, after: str) -> list[tuple[str, str]]:
    return [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]


def test_a_dragged_point_changes_one_line_and_the_save_can_be_undone(
    live: LiveRun, desktop: Watched, picture: Take
) -> None:
    page = desktop.page
    before = live.scenes.read_text()
    open_editor(page, live, "box")
    picture(page, "scene")
    drag(page, page.locator("[data-test=point-2]"), 40, -30)
    expect(page.locator("[data-test=problems]")).to_contain_text("Nothing is wrong")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog").locator(".added")).to_have_count(2)  # the file's name and the line
    picture(page, "save")
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="In force")).to_contain_text("north")
    ((old, new),) = changed(before, live.scenes.read_text())
    assert "box:" in old
    assert new.split("zone:")[0] == old.split("zone:")[0]
    assert len(re.findall(r"\[[-\d.]+, [-\d.]+\]", new)) == 5
    page.get_by_role("button", name="Undo", exact=True).click()
    save(page)
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    assert live.scenes.read_text() == before, "undo goes on across a save"
    page.get_by_role("button", name="Undo the last save").click()
    live.wait_for(lambda: len(changed(before, live.scenes.read_text())) == 1)  # the save before is in force again


def test_a_zone_is_drawn_named_and_checked_while_it_is_drawn(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    before = live.scenes.read_text()
    open_editor(page, live)
    page.get_by_role("button", name="Zone", exact=True).click()
    frame = page.locator(".drawing .frame").bounding_box()
    assert frame

    def click(x: float, y: float) -> None:
        page.mouse.click(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])

    for x, y in ((0.1, 0.75), (0.2, 0.75), (0.1, 0.85), (0.2, 0.85)):
        click(x, y)
    page.keyboard.press("Enter")
    properties = page.get_by_role("region", name="Properties")
    expect(properties).to_contain_text("zone_1")
    expect(page.locator("[data-test=problems]")).to_contain_text("crosses itself")
    expect(page.locator(".shape.wrong")).to_have_count(1)
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    picture(page, "scene-problem")
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.locator("[data-test=problems]")).to_contain_text("Nothing is wrong")
    page.get_by_role("button", name="Redo", exact=True).click()
    page.get_by_role("button", name="zone_1 zone").click()
    page.locator("[data-test=point-3]").click()
    expect(page.locator("[data-test=problems]")).to_contain_text("crosses itself")
    page.keyboard.press("Delete")
    expect(page.locator("[data-test=problems]")).to_contain_text("Nothing is wrong")
    properties.get_by_label("Name").fill("parking")
    properties.get_by_label("Kind").select_option("no_stopping")
    properties.get_by_label("Name").press("Tab")
    save(page)
    expect(page.get_by_role("status").filter(has_text="In force")).to_be_visible()
    after = live.scenes.read_text()
    (line,) = set(after.splitlines()) - set(before.splitlines())
    assert re.fullmatch(r"      parking: \{zone: (\[.*\]), kind: no_stopping\}", line)
    assert after.replace(line + "\n", "") == before


def test_a_file_changed_by_an_editor_is_a_conflict_and_never_overwritten(
    live: LiveRun, desktop: Watched, picture: Take
) -> None:
    page = desktop.page
    desktop.allowed = ["409"]
    before = live.scenes.read_text()
    open_editor(page, live, "box")
    drag(page, page.locator("[data-test=point-3]"), 30, 10)
    expect(page.locator("[data-test=problems]")).to_contain_text("Nothing is wrong")
    theirs = before.replace(
        "limit_kmh: 50, signal: phase_2, direction: inbound}", "limit_kmh: 40, signal: phase_2, direction: inbound}", 1
    )
    assert theirs != before
    live.scenes.write_text(theirs)
    alert = page.get_by_role("alert").filter(has_text="was changed by an editor")
    expect(alert).to_be_visible()
    picture(page, "conflict")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    assert live.scenes.read_text() == theirs
    alert.get_by_role("button", name="Put my changes on top of it").click()
    expect(alert).to_have_count(0)
    save(page)
    expect(page.get_by_role("status").filter(has_text="In force")).to_be_visible()
    after = live.scenes.read_text()
    assert len(changed(theirs, after)) == 1, "theirs is kept, mine is on top"
    assert len(changed(before, after)) == 2


def test_a_name_in_use_is_refused_by_the_check_of_the_flow(live: LiveRun, desktop: Watched) -> None:
    page = desktop.page
    open_editor(page, live, "no_stopping")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="no_stopping zone").click()
    page.get_by_role("region", name="Properties").get_by_role("button", name="Remove", exact=True).first.click()
    problems = page.locator("[data-test=problems]")
    expect(problems).to_contain_text("no_stopping")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    page.keyboard.press("Control+z")
    expect(problems).to_contain_text("Nothing is wrong")


def test_keyboard_alone_moves_a_point(live: LiveRun, desktop: Watched) -> None:
    page = desktop.page
    before = live.scenes.read_text()
    open_editor(page, live)
    page.get_by_role("button", name=re.compile("^exit_east line")).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("n")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("[data-test=problems]")).to_contain_text("Nothing is wrong")
    save(page)
    expect(page.get_by_role("status").filter(has_text="In force")).to_be_visible()
    ((old, new),) = changed(before, live.scenes.read_text())
    assert new == old.replace("[944, 415.6]", "[945, 425.6]")


def test_a_finger_drags_a_point_with_a_loupe(live: LiveRun, phone: Watched, picture: Take) -> None:
    page = phone.page
    before = live.scenes.read_text()
    open_editor(page, live, "box")
    point = page.locator("[data-test=point-2]")
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def send(kind: str, dx: float = 0, dy: float = 0) -> None:
        points = [] if kind == "touchEnd" else [{"x": x + dx, "y": y + dy}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart")
    for step in range(1, 6):
        send("touchMove", 6 * step, -4 * step)
    expect(page.locator(".loupe")).to_be_visible()
    picture(page, "phone-scene")
    send("touchEnd")
    expect(page.locator(".loupe")).to_have_count(0)
    expect(page.locator("[data-test=problems]")).to_contain_text("Nothing is wrong")
    save(page)
    expect(page.get_by_role("status").filter(has_text="In force")).to_be_visible()
    assert len(changed(before, live.scenes.read_text())) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_preview_runs_the_last_minutes_through_the_draft(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    desktop.allowed = ["422"]  # while nothing was seen yet
    before = live.scenes.read_text()
    open_editor(page, live, "in_1")
    limit = page.get_by_role("region", name="Properties").get_by_label("Limit, km/h")
    limit.fill("3")
    limit.press("Tab")
    preview = page.get_by_role("region", name="Preview")
    found = preview.locator("[data-test=preview]")

    def seen() -> bool:
        preview.get_by_role("button", name="Run the last minutes").click()
        preview.get_by_role("button", name="Run the last minutes").wait_for(timeout=60_000)
        return found.count() > 0 and "speeding" in found.inner_text()

    live.wait_for(seen, 100)
    assert re.search(r"\+\d+ speeding", found.inner_text())
    expect(preview.locator(".found image").first).to_have_attribute("href", re.compile("^/api/page/seen/north"))
    assert (
        page.evaluate("fetch(document.querySelector('.found image').getAttribute('href')).then((r) => r.status)") == 200
    )
    preview.scroll_into_view_if_needed()
    picture(page, "preview")
    assert live.scenes.read_text() == before, "nothing was saved"
    page.get_by_role("button", name="By the traffic seen").click()
    expect(page.get_by_role("region", name="Properties").get_by_role("status")).to_contain_text("tracks")
