"""Faults found in the field that are the process's to contain: hanging nodes, signals, HTTP from elsewhere, file handles."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from flowrt.http.guard import Rules
from flowrt.http.host import Host
from flowrt.http.server import application
from flowrt.secrets import Secrets
from tests.run.test_run import FLOW, Run

HANGS = '''
"""hangs: never comes back from a hook."""

import threading

from flowrt import Record, Transform


class Hangs(Transform):
    """Hang in a hook."""

    hook: str = ""

    def open(self, context) -> None:
        self._maybe("open")

    def process(self, record: Record) -> Record:
        self._maybe("process")
        return record

    def finish(self):
        self._maybe("finish")
        return ()

    def close(self) -> None:
        self._maybe("close")

    def status(self):
        self._maybe("status")
        return {}

    def _maybe(self, hook: str) -> None:
        if hook == self.hook:
            threading.Event().wait()
'''


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process is not None and run.process.poll() is None:
        run.process.kill()
        run.process.wait()


def hanging(folder: Path, hook: str) -> Run:
    folder.mkdir(exist_ok=True)
    run = Run(folder)
    (folder / "nodes" / "hangs.py").write_text(HANGS)
    run.flow.write_text(
        FLOW + f"  hangs: {{type: hangs, from: count, hook: {hook}}}\n  out2: {{type: letters, from: hangs}}\n"
    )
    return run


def ask(run: Run, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """A request with headers of one's own."""
    connection = http.client.HTTPConnection(urlsplit(run.url).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.slow
def test_fault_04_sigterm_ends_the_run_in_bounded_time_whatever_hangs(tmp_path: Path) -> None:
    runs = {hook: hanging(tmp_path / hook, hook) for hook in ("open", "process", "finish", "close")}
    try:
        for run in runs.values():
            run.start()
        for hook, run in runs.items():
            if hook != "open":
                run.wait_for(lambda run=run: "bench runs" in run.text(), 60)
        opened = runs["open"]
        opened.wait_for(lambda: (opened.folder / "data").exists())
        time.sleep(0.5)  # its signals are heard just after that
        asked = time.monotonic()
        for run in runs.values():
            assert run.process is not None
            run.process.send_signal(signal.SIGTERM)
        for hook, run in runs.items():
            assert run.process is not None
            assert run.process.wait(25) == 3, (hook, run.text())
        assert time.monotonic() - asked < 20
    finally:
        for run in runs.values():
            if run.process is not None and run.process.poll() is None:
                run.process.kill()
                run.process.wait()


def test_fault_04_no_page_waits_for_a_node_that_hangs(tmp_path: Path) -> None:
    run = hanging(tmp_path, "status")
    run.start()
    try:
        assert run.url
        for path in ("/healthz", "/readyz", "/metrics", "/api/status"):
            began = time.monotonic()
            assert run.get(path)[0] == 200, path
            assert time.monotonic() - began < 4, path
    finally:
        assert run.process is not None
        run.process.kill()
        run.process.wait()


def test_fault_02_sighup_with_a_number_of_100000_digits_is_refused(run: Run) -> None:
    run.start("--watch", "off")
    assert run.process is not None
    run.wait_for(lambda: "bench runs" in run.text())
    run.flow.write_text(FLOW.replace("factor: 2", "factor: 0x" + "f" * 100_000))
    run.process.send_signal(signal.SIGHUP)
    reload = run.wait_for(lambda: json.loads(run.get("/api/reloads")[1])["reloads"])[0]
    assert not reload["ok"]
    run.flow.write_text(FLOW.replace("factor: 2", "factor: 5"))
    run.process.send_signal(signal.SIGHUP)
    run.wait_for(lambda: [r["ok"] for r in json.loads(run.get("/api/reloads")[1])["reloads"]] == [False, True])
    assert run.get("/readyz")[0] == 200


def test_fault_15_only_its_own_names_and_pages_reach_a_run_on_loopback(run: Run) -> None:
    run.start("--watch", "off", environment={"FLOWRT_HTTP_HOSTS": "status.example,other.example"})
    port = urlsplit(run.url).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "status.example", "OTHER.example:80"):
        assert ask(run, "/api/status", Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::"):
        code, said = ask(run, "/api/status", Host=host)
        assert code == 403, host
        assert "FLOWRT_HTTP_HOSTS" in said
    assert ask(run, "/healthz", Host="evil.example")[0] == 200, "probes come by any name"
    own = f"http://127.0.0.1:{port}"
    assert ask(run, "/api/reload", "POST", Origin=own)[0] == 200
    assert ask(run, "/api/reload", "POST")[0] == 200, "no browser"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{(port or 0) + 1}", "file://"):
        assert ask(run, "/api/reload", "POST", Origin=origin)[0] == 403, origin
    assert ask(run, "/api/reload", "POST", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert len(json.loads(run.get("/api/reloads")[1])["reloads"]) == 2


def closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_fault_15_idle_connections_are_few_and_do_not_last(run: Run) -> None:
    run.start("--watch", "off")
    address = ("127.0.0.1", urlsplit(run.url).port or 0)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(100)]
        run.wait_for(lambda: sum(map(closed, idle)) >= 60)
        assert run.get("/readyz")[0] == 200, "and others are served meanwhile"
        drips = stack.enter_context(socket.create_connection(address, 10))
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while not closed(drips):
                drips.setblocking(True)
                drips.send(b"G" if time.monotonic() == began else b"E")
                assert time.monotonic() - began < 30, "a request that never ends"
                time.sleep(0.3)
        run.wait_for(lambda: all(map(closed, idle)))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the limit of another process is set as Linux does it")
def test_fault_15_without_file_handles_the_log_stays_quiet(run: Run) -> None:
    run.start("--watch", "off")
    assert run.process is not None
    address = ("127.0.0.1", urlsplit(run.url).port or 0)
    files = len(list(Path(f"/proc/{run.process.pid}/fd").iterdir()))
    soft, hard = resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (files + 5, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(address, 10))
        time.sleep(3)
        assert len(run.text().splitlines()) < 100
        assert "out of system resource" in run.text()
    resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    run.wait_for(lambda: run.get("/readyz")[0] == 200)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd's protocol needs unix sockets")
def test_fault_04_a_long_reload_does_not_starve_the_watchdog(run: Run) -> None:
    (run.folder / "nodes" / "heavy.py").write_text(
        '"""heavy: opens slowly."""\n\nimport time\n\nfrom flowrt import M, Transform\n\n\nclass Heavy(Transform):\n'
        '    """Slow."""\n\n    def open(self, context):\n        time.sleep(4)\n\n'
        "    def process(self, message: M) -> M:\n        return message\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        path = run.folder / "notify"
        listening.bind(str(path))
        listening.settimeout(30)
        run.start("--watch", "off", environment={"NOTIFY_SOCKET": str(path)})
        assert listening.recv(100) == b"READY=1"
        run.flow.write_text(FLOW + "  heavy: {type: heavy, from: count}\n  out2: {type: letters, from: heavy}\n")
        assert run.process is not None
        run.process.send_signal(signal.SIGHUP)
        longest, last = 0.0, time.monotonic()
        while "in force" not in run.text():
            assert listening.recv(100) == b"WATCHDOG=1"
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert longest < 2.0


def test_fault_04_a_reload_that_hangs_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.http.api.RELOAD_WAIT_S", 0.5)
    hangs = threading.Event()
    runtime = SimpleNamespace(status=dict, diagnostics=[], reloads=[], flow=SimpleNamespace(site="s"))
    reloader = SimpleNamespace(reload=lambda reason: hangs.wait(30), history=[])
    host = Host(runtime, reloader, Secrets(), frozenset())  # type: ignore[arg-type]  # all that is asked
    app = application(host, Rules(hosts=frozenset({"here"}), edit=frozenset(), sessions=None), page=False)
    sent: list[dict[str, Any]] = []

    async def post() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/reload",
            "headers": [(b"host", b"here")],
            "query_string": b"",
        }
        await app(scope, receive, send)

    asyncio.run(post())
    hangs.set()
    assert sent[0]["status"] == 504
    assert b"the reload goes on" in sent[1]["body"]


@pytest.mark.slow
def test_fault_04_a_node_that_hangs_as_it_opens_is_named_before_anything_runs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    run = hanging(tmp_path, "open")
    run.start(http=address)
    assert run.process is not None
    try:

        def answer() -> dict[str, Any]:
            with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection(address, timeout=5)) as to:
                to.request("GET", "/readyz")
                answered = to.getresponse()
                assert answered.status == 503
                facts: dict[str, Any] = json.load(answered)
                return facts
            return {}

        facts = run.wait_for(lambda: (facts := answer()) and facts["trouble"] and facts)
        assert facts["state"] == "starting"
        assert "hangs has been in 'open' for 10 s (at nodes/hangs.py:" in facts["trouble"][0]
        run.wait_for(lambda: "hangs has been in 'open'" in run.text())
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(20) == 3
        assert "hangs can't start: 'open' did not come back" in run.text()
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def test_fault_17_half_a_character_makes_no_page_fail() -> None:
    host = Host(None, None, Secrets(["Sesame26"]), frozenset())  # type: ignore[arg-type]  # only its answers
    answer = host.json({"caf\ud83d": ["\udfff Sesame26", 1, float("nan"), None]})
    assert json.loads(bytes(answer.body)) == {"caf?": ["? ***", 1, None, None]}
