"""Flow and cameras in a browser: figures move, edges are tapped, pictures come, problems of the file are shown and go."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from flowrt_web.static_files import FOLDER, read_all
from tests.web.conftest import LiveRun, Watched

Take = Callable[[Page, str], Path]


def test_the_graph_shows_what_runs_and_a_node_tells_all(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    page.goto(live.url)
    expect(page.locator(".box")).to_have_count(live.nodes)
    expect(page.locator(".wire.flows").first).to_be_visible()
    page.locator(".wire.flows .rate").filter(has_text=re.compile(r"^\d")).first.wait_for()
    page.get_by_role("button", name=re.compile("^red_light, violation.red_light")).click()
    details = page.get_by_role("complementary", name="red_light")
    expect(details).to_contain_text("grace_s")
    expect(details).to_contain_text("No faults.")
    details.get_by_text("Documentation of").click()
    expect(details).to_contain_text("turn_on_red")
    picture(page, "flow")
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)


def test_an_edge_is_tapped_filtered_paused_and_copied(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(live.url)
    edge = page.get_by_role("button", name=re.compile("^speeds to zones"))
    edge.focus()
    edge.press("Enter")
    tap = page.get_by_role("complementary", name="speeds → zones")
    shown = tap.locator("[data-test=shown]")
    expect(shown).to_have_text(re.compile(r"^12 of \d\d+ shown"), timeout=30_000)
    picture(page, "tap")
    tap.get_by_role("button", name="Copy as JSON").click()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied[0]["type"] == "tracks"
    assert copied[0]["objects"] is not None
    tap.get_by_role("button", name="Pause").click()
    count = shown.inner_text()
    page.wait_for_function("() => performance.now() > 1500")
    expect(shown).to_have_text(count)
    tap.get_by_role("button", name="Resume").click()
    tap.get_by_label("Filter").fill("= message.")
    expect(tap.get_by_role("alert")).to_contain_text("CEL")
    tap.get_by_label("Filter").fill('= message.type == "frames"')
    expect(tap).to_contain_text("No message matches")
    tap.get_by_label("Filter").fill('= track.label == "car"')
    expect(tap.locator("li pre").first).to_contain_text('"class":"car"')
    assert '"class":"bus"' not in tap.locator("ol").inner_text()
    tap.get_by_role("button", name="Close").click()


def test_pictures_come_with_their_boxes(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    page.goto(live.url + "#/cameras")
    canvas = page.get_by_role("img", name="Live picture of north")
    page.wait_for_function("() => Number(document.querySelector('.camera canvas')?.dataset.number ?? 0) > 3")
    expect(page.locator("[data-test=facts]")).to_have_text(re.compile(r"\d+ fps · \d+ ms"))
    assert canvas.evaluate("c => c.width") >= 960
    lit = (
        "c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; "
        "for (let i = 0; i < d.length; i += 4000) n += d[i] > 40; return n; }"
    )
    assert canvas.evaluate(lit) > 100, "a picture is drawn"
    picture(page, "cameras")
    page.get_by_label("Zones").uncheck()
    page.reload()
    expect(page.get_by_label("Zones")).not_to_be_checked()
    page.get_by_label("Zones").check()


def test_a_phone_shows_the_same(live: LiveRun, phone: Watched, picture: Take) -> None:
    page = phone.page
    page.goto(live.url)
    expect(page.locator(".box")).to_have_count(live.nodes)
    picture(page, "phone-flow")
    page.get_by_role("link", name="Cameras").tap()
    page.wait_for_function("() => Number(document.querySelector('.camera canvas')?.dataset.number ?? 0) > 1")
    picture(page, "phone-cameras")
    for name in ("Flow", "Cameras", "Events", "Services"):
        page.get_by_role("link", name=name, exact=True).tap()
        page.wait_for_function(f"() => document.querySelector('main h1')?.textContent === '{name}'")
        assert page.evaluate("document.querySelector('main').scrollWidth") <= 390, f"{name} sticks out"


def test_problems_of_the_file_are_shown_and_go_when_they_are_mended(
    live: LiveRun, desktop: Watched, picture: Take
) -> None:
    page = desktop.page
    page.goto(live.url)
    expect(page.locator("#problems")).to_contain_text("no problems")
    good = live.flow.read_text()
    live.flow.write_text(good.replace("grace_s: 0.3", "grace: 0.3"))
    expect(page.locator("#problems")).to_contain_text("unknown setting 'grace'")
    expect(page.locator("#problems")).to_contain_text("^^^^^")
    expect(page.locator("#problems")).to_contain_text("did you mean 'grace_s'")
    expect(page.get_by_role("link", name="1 problem in the file")).to_be_visible()
    page.locator("#problems").scroll_into_view_if_needed()
    picture(page, "problems")
    live.flow.write_text(good.replace("grace_s: 0.3", "grace_s: 0.4"))
    expect(page.locator("#problems")).to_contain_text("no problems")
    page.get_by_text("in force").first.click()
    live.flow.write_text(good)


def test_the_page_says_when_the_run_is_away_and_comes_back(live: LiveRun, desktop: Watched) -> None:
    page = desktop.page
    page.goto(live.url)
    expect(page.get_by_role("status")).to_have_text("running")
    desktop.allowed = ["WebSocket", "ERR_INTERNET_DISCONNECTED"]
    page.context.set_offline(True)
    page.evaluate("import('/page/js/live.js').then((m) => m.live.socket.close())")
    expect(page.get_by_role("status")).to_have_text("no connection")
    page.context.set_offline(False)
    expect(page.get_by_role("status")).to_have_text("running", timeout=30_000)


def test_first_paint_is_quick(live: LiveRun, desktop: Watched) -> None:
    page = desktop.page
    times = []
    for _ in range(3):
        page.goto("about:blank")
        page.goto(live.url)
        expect(page.locator(".box").first).to_be_visible()
        times.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(times) <= 500, times


def test_everything_can_be_reached_by_keyboard(live: LiveRun, desktop: Watched) -> None:
    page = desktop.page
    page.goto(live.url)
    expect(page.locator(".box")).to_have_count(live.nodes)
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
        )
    assert {"Flow", "Cameras", "Scene"} <= reached
    assert any(" to " in each for each in reached), reached


def test_scripts_are_small_and_no_other_place_is_asked(live: LiveRun, desktop: Watched) -> None:
    scripts = [file.packed for name, file in read_all().items() if name.endswith(".js")]
    assert sum(map(len, scripts)) <= 80_000
    page = desktop.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(live.url + "#/cameras")
    page.wait_for_function("() => document.querySelector('.camera canvas')")
    assert all(url.startswith((live.url, "data:", "blob:")) for url in asked), asked
    for file in FOLDER.rglob("*.js"):
        if "vendor" not in file.parts:
            text = file.read_text()
            assert "innerHTML" not in text, file
            assert "http://" not in text, file
            assert len(text.splitlines()) <= 450, file
    assert gzip.decompress(read_all()["js/app.js"].packed) == (FOLDER / "js" / "app.js").read_bytes()
