"""Events and services in a browser: what was recorded is looked at and judged; what is configured is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.web.conftest import LiveRun, Watched

Take = Callable[[Page, str], Path]


def test_a_violation_is_looked_at_and_judged(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    page.goto(live.url + "#/events")
    page.locator(".rows tbody tr").first.wait_for(timeout=90_000)
    page.locator(".rows tbody a").first.click()
    details = page.get_by_role("complementary")
    expect(details).to_contain_text("track_id")
    details.get_by_label("Reason").fill("a police car")
    details.get_by_role("button", name="Dismiss").click()
    expect(details).to_contain_text("dismissed, ")
    picture(page, "events")
    row = page.locator(".rows tr.selected")
    expect(row).to_contain_text("dismissed")
    details.get_by_role("button", name="Confirm").click()
    expect(row).to_contain_text("confirmed")
    identity = page.evaluate("decodeURIComponent(location.hash.split('/')[2])")
    told = subprocess.run(
        [sys.executable, "-m", "flowrt", "events", "intersection", "--format", "json"],
        env={**os.environ, "FLOWRT_DATA": str(live.folder / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    (event,) = [event for event in json.loads(told.stdout) if event["id"] == identity]
    assert event["review"]["verdict"] == "confirmed"
    assert event["review"]["reason"] == "a police car"
    page.get_by_label("Type").select_option(label="all")
    expect(page.locator(".rows tbody tr").first).to_be_visible()


def test_services_say_what_is_there_and_what_to_do(live: LiveRun, desktop: Watched, picture: Take) -> None:
    page = desktop.page
    page.goto(live.url + "#/services")
    expect(page.get_by_role("main")).to_contain_text("The journal is the only store")
    expect(page.get_by_role("main")).to_contain_text("to_history")
    expect(page.get_by_role("main")).to_contain_text(re.compile(r"\d+ waiting"))
    for board in ("Performance", "Real-time monitoring", "ROI analytics", "Traffic flow", "Violations"):
        expect(page.get_by_text(board, exact=True)).to_be_visible()
    picture(page, "services")
    flow = live.flow.read_text()
    live.flow.write_text(flow + "services:\n  boards: {kind: grafana, url: 'http://127.0.0.1:9'}\n")
    expect(page.get_by_role("main")).to_contain_text("nothing listens on 127.0.0.1:9", timeout=20_000)
    expect(page.get_by_role("link", name="Violations")).to_have_attribute(
        "href", "http://127.0.0.1:9/d/flowrt-violations"
    )
    live.flow.write_text(flow)
