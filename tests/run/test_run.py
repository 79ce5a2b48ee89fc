"""`flowrt run` as a user has it: a process, signals, HTTP, a report, an edit of the file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowrt.commands.run import _say_goodbye
from tests.runtime.node_types import write_nodes

FLOW = """\
flow: bench
site: here
nodes:
  count: {type: numbers, n: 10000000, every_s: 0.002}
  sum: {type: total, from: count, factor: 2}
  out: {type: letters, from: sum}
"""


class Run:
    """A `flowrt run` process in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flow = folder / "flow.yaml"
        self.report = folder / "report.json"
        self.log = folder / "log.txt"
        self.process: subprocess.Popen[bytes] | None = None
        write_nodes(folder)
        self.flow.write_text(FLOW)

    def start(self, *arguments: str, environment: dict[str, str] | None = None, http: str = "127.0.0.1:0") -> None:
        command = [
            sys.executable,
            "-m",
            "flowrt.cli",
            "run",
            str(self.flow),
            "--report",
            str(self.report),
            *(["--http", http] if http else []),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "FLOWRT_DATA": str(self.folder / "data"), **(environment or {})},
            )

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], Any], within_s: float = 30.0) -> Any:
        end = time.monotonic() + within_s
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return str(self.wait_for(lambda: re.search(r"status at (http://\S+)/api/status", self.text())).group(1))

    def get(self, path: str, method: str = "GET", token: str = "") -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert time.monotonic() - started < 10
        return code

    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self.report.read_text()))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    if run.process and run.process.poll() is None:
        run.process.kill()
        run.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_report_that_adds_up(run: Run, number: int) -> None:
    run.start()
    run.wait_for(lambda: "bench runs" in run.text())
    time.sleep(0.5)
    assert run.end(number) == 0, run.text()
    facts = run.facts()
    for name, row in facts["nodes"].items():
        assert row["in"] == row["out"] + row["dropped"] + row["errors"] + row["held"], name
        assert row["held"] == 0
    assert facts["nodes"]["sum"]["errors"] == 1, "the 13"
    assert facts["ledger"]["balanced"]
    delivery = facts["delivery"]["out"]
    assert delivery["accepted"] == facts["nodes"]["out"]["out"] > 0
    assert delivery["accepted"] == delivery["delivered"]
    assert delivery["pending"] == delivery["dead_letters"] == 0
    for key in ("frames", "fps", "events", "cpu_s", "wall_s", "rss_peak_mb", "reloads", "queues", "latency_ms"):
        assert key in facts
    assert run.text().count("Traceback") == 1, "of the 13"
    assert re.search(
        r"sum: RuntimeError: thirteen \(\S+total\.py:\d+\)\nTraceback [^\n]*\n  File \"\S+total\.py\"", run.text()
    ), run.text()


def test_duration_and_set(run: Run) -> None:
    run.start("--duration", "1", "--set", "sum.factor=7", http="off")
    assert run.process is not None
    assert run.process.wait(30) == 0, run.text()
    assert 0.9 < run.facts()["wall_s"] < 10


def test_http(run: Run) -> None:
    run.start()
    assert run.get("/healthz") == (200, "ok\n")
    code, ready = run.get("/readyz")
    assert code == 200
    assert json.loads(ready)["nodes"]["sum"]["ready"] is True
    code, text = run.get("/metrics")
    assert code == 200
    assert re.search(r'flowrt_node_in_total\{node="sum",site="here",type="total"\} \d+', text)
    assert re.search(r'flowrt_outbox_accepted_total\{node="out",site="here"\} \d+', text)
    status = json.loads(run.get("/api/status")[1])
    assert status["nodes"]["sum"]["in"] > 0
    assert status["sinks"]["out"]["accepted"] > 0
    assert run.get("/nothing")[0] == 404


def test_fault_01_trouble_of_the_journal_makes_the_run_unready(run: Run) -> None:
    run.start()
    run.wait_for(lambda: json.loads(run.get("/api/status")[1])["sinks"]["out"]["accepted"] > 0)
    (journal,) = (run.folder / "data").glob("*.journal")
    aside = journal.parent.with_name("aside")
    journal.parent.rename(aside)
    journal.parent.write_text("a file where the data folder was")
    run.wait_for(lambda: run.get("/readyz")[0] == 503)
    ready = json.loads(run.get("/readyz")[1])
    assert any("journal" in trouble and "removed" in trouble for trouble in ready["trouble"])
    assert json.loads(run.get("/api/status")[1])["trouble"]
    journal.parent.unlink()
    run.wait_for(lambda: run.get("/readyz")[0] == 200)
    assert journal.exists()


def test_fault_04_a_disk_that_hangs_stops_neither_status_nor_the_end(run: Run) -> None:
    (run.folder / "sitecustomize.py").write_text(
        "import os, time\n"
        "flush = os.fdatasync\n"
        "def slow(fd):\n"
        "    while os.path.exists(os.environ['HANG']):\n"
        "        time.sleep(0.05)\n"
        "    flush(fd)\n"
        "os.fdatasync = slow\n"
    )
    hang = run.folder / "hang"
    run.start(environment={"PYTHONPATH": str(run.folder), "HANG": str(hang)})
    run.wait_for(lambda: json.loads(run.get("/api/status")[1])["sinks"]["out"]["accepted"] > 0)
    hang.touch()
    run.wait_for(lambda: run.get("/readyz")[0] == 503)
    assert "has not finished a write" in run.get("/readyz")[1]
    for path in ("/healthz", "/metrics", "/api/status"):
        began = time.monotonic()
        assert run.get(path)[0] == 200
        assert time.monotonic() - began < 2.0
    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    run.process.wait(25.0)
    assert "the disk does not answer" in run.text()


def test_an_edit_takes_effect_and_a_broken_one_is_refused(run: Run) -> None:
    run.start()
    run.wait_for(lambda: json.loads(run.get("/api/status")[1])["nodes"]["sum"]["in"] > 20)
    run.flow.write_text(FLOW.replace("factor: 2", "factor: 3"))
    reload = run.wait_for(lambda: json.loads(run.get("/api/reloads")[1])["reloads"])[0]
    assert reload["ok"]
    assert reload["plan"]["reconfigured"] == ["sum"]
    assert reload["ledger"]["balanced"]
    run.flow.write_text(FLOW.replace("from: sum", "from: sun"))
    diagnostic = run.wait_for(lambda: json.loads(run.get("/api/reloads")[1])["problems"])[0]
    assert (diagnostic["line"], diagnostic["hint"]) == (6, "did you mean 'sum'?")
    before = json.loads(run.get("/api/status")[1])["nodes"]["out"]["in"]
    run.wait_for(lambda: json.loads(run.get("/api/status")[1])["nodes"]["out"]["in"] > before)
    run.flow.write_text(FLOW)
    run.wait_for(lambda: not json.loads(run.get("/api/reloads")[1])["problems"])


def test_sighup_and_post_reload_too(run: Run) -> None:
    run.start("--watch", "off")
    run.wait_for(lambda: "bench runs" in run.text())
    run.flow.write_text(FLOW.replace("factor: 2", "factor: 3"))
    assert run.process is not None
    run.process.send_signal(signal.SIGHUP)
    run.wait_for(lambda: json.loads(run.get("/api/reloads")[1])["reloads"])
    run.flow.write_text(FLOW.replace("factor: 2", "factor: x"))
    code, answer = run.get("/api/reload", "POST")
    assert code == 409
    assert json.loads(answer)["problems"][0]["line"] == 5
    run.flow.write_text(FLOW)
    assert run.get("/api/reload", "POST")[0] == 200


def test_a_flow_with_problems_exits_1_without_a_traceback(run: Run) -> None:
    run.flow.write_text(FLOW.replace("type: total", "type: totl"))
    run.start()
    assert run.process is not None
    assert run.process.wait(30) == 1
    assert f"{run.flow}:5:15" in run.text()
    assert "did you mean 'total'?" in run.text()
    assert "Traceback" not in run.text()


def test_a_node_that_does_not_open_exits_1(run: Run) -> None:
    run.flow.write_text(
        FLOW + "  fussy: {type: fussy, from: count, place: attic}\n  out2: {type: letters, from: fussy}\n"
    )
    run.start()
    assert run.process is not None
    assert run.process.wait(30) == 1
    assert "fussy can't start: attic is no place to open" in run.text()
    assert "Traceback" not in run.text()


def test_a_source_that_fails_for_good_exits_3(run: Run) -> None:
    source = "count: {type: numbers, n: 10, fail_at: 3, restart: {max: 1, window_s: 60, backoff_s: 0.01}}"
    run.flow.write_text(re.sub(r"count: \{.*\}", source, FLOW))
    run.start()
    assert run.process is not None
    assert run.process.wait(30) == 3, run.text()
    assert run.facts()["nodes"]["count"]["errors"] == 2


def test_a_second_flow_gets_the_next_free_port_and_says_so(run: Run) -> None:
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # another flow has it already
            other.bind(("127.0.0.1", 8480))
            other.listen()
        run.start(http="")
        assert run.get("/healthz") == (200, "ok\n")
        port = run.url.rpartition(":")[2]
        assert port != "8480"
        assert f"port 8480 is taken, perhaps by another flow: this one uses {port}" in run.text()


def test_a_port_that_is_taken_exits_2_and_says_so(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run.start(http=f"127.0.0.1:{taken.getsockname()[1]}")
        assert run.process is not None
        assert run.process.wait(30) == 2
    assert "choose another port" in run.text()
    assert "Traceback" not in run.text()


def test_bound_elsewhere_a_token_is_needed(run: Run) -> None:
    run.start(http="0.0.0.0:0")
    assert run.process is not None
    assert run.process.wait(30) == 2
    assert "FLOWRT_HTTP_TOKEN" in run.text()
    run.start(http="0.0.0.0:0", environment={"FLOWRT_HTTP_TOKEN": "open-sesame"})
    assert run.get("/healthz")[0] == 200
    assert run.get("/api/status")[0] == 401
    assert run.get("/api/status", token="wrong")[0] == 401
    assert run.get("/api/status", token="open-sesame")[0] == 200


def test_json_logs_are_json_and_hide_secrets(run: Run) -> None:
    (run.folder / "nodes" / "vault.py").write_text(
        "from typing import Annotated\nfrom flowrt import M, Transform, setting\n\n\n"
        'class Vault(Transform):\n    """Says its secret."""\n    code: Annotated[str, setting("Code.", secret=True)]\n\n'
        "    def process(self, message: M) -> M:\n        raise RuntimeError(f'the code is {self.code}')\n"
    )
    run.flow.write_text(
        FLOW + "  vault: {type: vault, from: count, code: '${env:CODE}'}\n  out2: {type: letters, from: vault}\n"
    )
    run.start("--log-format", "json", environment={"CODE": "xyzzy-plugh"})
    run.wait_for(lambda: "the code is" in run.text())
    status = run.wait_for(lambda: run.get("/api/status")[1] if "the code is" in run.get("/api/status")[1] else "")
    assert run.end() == 0
    for line in run.text().splitlines():
        assert {"time", "level", "message"} <= json.loads(line).keys()
    assert "xyzzy" not in run.text() + status + run.report.read_text()


def test_a_secret_that_a_reload_brings_is_hidden_from_its_first_word_on(run: Run) -> None:
    (run.folder / "nodes" / "vault.py").write_text(
        "from typing import Annotated\nfrom flowrt import Context, M, Transform, setting\n\n\n"
        'class Vault(Transform):\n    """Says its secret."""\n    code: Annotated[str, setting("Code.", secret=True)]\n\n'
        "    def open(self, context: Context) -> None:\n"
        "        context.log.info('opened with %s', self.code)\n"
        "        if self.code.startswith('bad'):\n"
        "            raise ValueError(f'{self.code} opens nothing')\n\n"
        "    def process(self, message: M) -> M:\n        raise RuntimeError(f'the code is {self.code}')\n"
    )
    vault = "  vault: {type: vault, from: count, code: '${file:code.txt}'}\n  out2: {type: letters, from: vault}\n"
    secrets = ["bad-shibboleth", "xyzzy-plugh"]
    run.start("--watch", "off")
    run.wait_for(lambda: "bench runs" in run.text())
    said = ""
    for secret, code in zip(secrets, (409, 200), strict=True):  # refused as it opens; then taken
        (run.folder / "code.txt").write_text(secret)
        run.flow.write_text(FLOW + vault)
        answered, answer = run.get("/api/reload", "POST")
        assert answered == code, answer
        said += answer
    assert run.text().count("opened with ***") == 2
    said += run.wait_for(lambda: run.get("/api/status")[1] if "the code is" in run.get("/api/status")[1] else "")
    said += run.get("/api/reloads")[1] + run.get("/metrics")[1]
    assert run.end() == 0
    said += run.text() + run.report.read_text()
    assert "the code is ***" in said
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd's protocol needs unix sockets")
def test_systemd_is_told(run: Run) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        path = run.folder / "notify"
        listening.bind(str(path))
        listening.settimeout(30)
        run.start(environment={"NOTIFY_SOCKET": str(path)})
        said = [listening.recv(100).decode() for _ in range(3)]
        assert said == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        run.end()
        listening.settimeout(1)
        while said[-1] != "STOPPING=1":
            said.append(listening.recv(100).decode())


def test_fault_17_the_closing_lines_count_everything(caplog: pytest.LogCaptureFixture) -> None:
    row = {"accepted": 9, "resumed": 3, "delivered": 4, "pending": 2, "dead_letters": 1, "dropped": {"telemetry": 5}}
    nodes = {"sum": {"errors": 2, "unsendable": 1}, "fine": {"errors": 0, "unsendable": 0}}
    facts = {"wall_s": 1.0, "frames": 2, "fps": 2.0, "delivery": {"out": row}, "parked": {"old": 7}, "nodes": nodes}
    with caplog.at_level("INFO"):
        _say_goodbye(facts)
    assert [text.strip() for text in caplog.messages[1:]] == [
        "out: 9 accepted, 3 resumed, 4 delivered, 2 pending, 1 dead letters, 5 dropped (5 telemetry)",
        "old: 7 pending, and no node that delivers them",
        "sum: 2 errors, 1 messages that no sink can encode",
    ]
