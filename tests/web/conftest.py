"""A run of the shipped flow, and browsers on its page: a desktop and a phone. An error in the browser's console fails the test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.harness import PROJECT

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "color_scheme": "dark",
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}


class LiveRun:
    """`flowrt run` of a copy of the shipped flow."""

    def __init__(self, folder: Path, flow: str) -> None:
        self.folder = folder
        shutil.copytree(PROJECT / "flows", folder / "flows")
        self.flow = folder / "flows" / flow
        self.scenes = folder / "flows" / "scenes" / "four-way.yaml"
        self.log = folder / "log.txt"
        command = [sys.executable, "-m", "flowrt", "run", str(self.flow), "--http", "127.0.0.1:0", "--plain"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "FLOWRT_DATA": str(folder / "data")},
            )
        end = time.monotonic() + 60
        while not (found := re.search(r"page at (http://\S+?/);", self.log.read_text())):
            assert time.monotonic() < end, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        self.url = found[1]

    @property
    def nodes(self) -> int:
        with urlopen(self.url + "api/graph", timeout=10) as answer:
            return len(json.load(answer)["nodes"])

    def wait_for(self, condition: Callable[[], object], within_s: float = 20.0) -> None:
        end = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        for traceback in re.findall(r"Traceback.*?\n(?=\S)", self.log.read_text(), re.DOTALL):
            assert "flowrt_web" not in traceback, traceback
            assert "flowrt/http" not in traceback, traceback


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    run = LiveRun(tmp_path_factory.mktemp("live"), "intersection.yaml")
    yield run
    run.end()


@pytest.fixture(scope="package")  # its event loop must not be there for the tests of other folders
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield chromium
        chromium.close()


class Watched:
    """A tab whose every complaint is kept. allowed: what a test provokes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.allowed: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("requestfailed", self._failed)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        if "ERR_ABORTED" not in (request.failure or ""):
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def bad(self) -> list[str]:
        return [each for each in self.complaints if not any(known in each for known in self.allowed)]


def opened(browser: Browser, kind: dict[str, Any]) -> Iterator[Watched]:
    context = browser.new_context(**kind)
    tab = Watched(context.new_page())
    yield tab
    bad = tab.bad()
    context.close()
    assert not bad, bad


@pytest.fixture
def desktop(browser: Browser) -> Iterator[Watched]:
    yield from opened(browser, DESKTOP)


@pytest.fixture
def phone(browser: Browser) -> Iterator[Watched]:
    yield from opened(browser, PHONE)


@pytest.fixture
def picture(tmp_path: Path) -> Any:
    """Takes a picture of a tab: `picture(page, "flow")`. With FLOWRT_PICTURES set they go into docs/pictures."""
    folder = PROJECT / "docs" / "pictures" if os.environ.get("FLOWRT_PICTURES") else tmp_path

    def take(page: Page, name: str) -> Path:
        file = folder / f"page-{name}.jpg"
        page.screenshot(path=file, type="jpeg", quality=84)
        assert file.stat().st_size > 10_000, "something is drawn"
        return file

    return take
