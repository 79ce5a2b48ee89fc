"""Fault 14: secrets of every awkward form, planted, and looked for in every channel that people or machines read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.addresses import passwords, without_passwords
from flowrt.commands.check import print_diagnostics
from flowrt.config import read
from flowrt.secrets import Secrets, mask
from tests.harness import case_copy
from tests.run.test_run import FLOW, Run, run

__all__ = ["run"]

AWKWARD = [
    'quo"ted-Sesame26',
    "back\\slash-Sesame26",
    "at@sl/as?qu#ha-Sesame26",
    "per%cent%41-Sesame26",
    "sp ace&am+pl=us-Sesame26",
    "ümläut-Sesame26",
    "brack[e]ts{}<>$^*(.)|-Sesame26",
    "%s %d %(x)s-Sesame26",
    "*** -Sesame26",
]
VAULT = '''
import json
from typing import Annotated, Any
from urllib.parse import quote, quote_plus
from flowrt import M, Transform, setting


class Vault(Transform):
    """Tells its secret in every form."""

    code: Annotated[str, setting("Code.", secret=True)]

    def process(self, message: M) -> M:
        self.context.log.warning("percent: " + self.code)
        self.context.log.warning("argument: %s", {"code": self.code})
        raise RuntimeError(f"{self.code} {json.dumps(self.code)} {self.code!r} {quote(self.code)} {quote_plus(self.code)}")

    def status(self) -> dict[str, Any]:
        return {"code": self.code, "nested": [{"code": self.code}, json.dumps({"a": self.code})], "one": 1, "yes": True}
'''


def forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }


def vaults(run: Run, count: int) -> None:
    (run.folder / "nodes" / "vault.py").write_text(VAULT)
    nodes = "".join(
        f"  vault_{i}: {{type: vault, from: count, code: '${{env:CODE_{i}}}'}}\n  out_{i}: {{type: letters, from: vault_{i}}}\n"
        for i in range(count)
    )
    run.flow.write_text(FLOW + nodes)


def status_of(run: Run, count: int) -> str:
    def told() -> str:
        text = run.get("/api/status")[1]
        nodes = json.loads(text)["nodes"]
        return text if all(nodes[f"vault_{i}"]["errors"] for i in range(count)) else ""

    return str(run.wait_for(told))


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_fault_14_no_channel_of_a_run_shows_a_secret(run: Run, log_format: str) -> None:
    vaults(run, len(AWKWARD))
    run.start("--log-format", log_format, environment={f"CODE_{i}": code + "\n" for i, code in enumerate(AWKWARD)})
    channels = {"status": status_of(run, len(AWKWARD))}
    channels |= {path: run.get(path)[1] for path in ("/readyz", "/metrics", "/api/graph", "/api/reloads")}
    run.flow.write_text(run.flow.read_text().replace("factor: 2", "factor: 3"))
    channels["reload"] = run.get("/api/reload", "POST")[1]
    assert run.end() == 0
    channels |= {"log": run.text(), "report": run.report.read_text()}
    files = [file for file in (run.folder / "data").rglob("*") if file.is_file()]
    channels |= {str(file): file.read_bytes().decode("utf-8", "replace") for file in files}
    assert "***" in channels["log"]
    assert "***" in channels["status"]
    for channel, text in channels.items():
        shown = [secret for secret in AWKWARD if any(form in text for form in forms(secret))]
        assert not shown, f"{channel} shows {shown}"
        assert "Sesame26" not in text, channel


def test_fault_14_a_token_that_is_a_word_of_json_leaves_json_valid(run: Run) -> None:
    codes = ["1", "true", "null", "count", '"', "errors", "0"]
    vaults(run, len(codes))
    run.start("--log-format", "json", environment={f"CODE_{i}": code for i, code in enumerate(codes)})
    nodes = json.loads(status_of(run, len(codes)))["nodes"]
    assert {"count", "sum", "out", "vault_0"} <= nodes.keys()
    assert nodes["count"]["errors"] == 0
    assert [nodes[f"vault_{i}"]["status"]["code"] for i in (0, 1, 2)] == ["***", "***", "***"]
    assert nodes["vault_0"]["status"]["one"] == 1
    assert nodes["vault_1"]["status"]["yes"] is True
    graph = json.loads(run.get("/api/graph")[1])
    assert "count" in graph["nodes"]
    assert any(edge["source"] == "count" for edge in graph["edges"])
    assert run.end() == 0
    assert "count" in run.facts()["nodes"]
    for line in run.text().splitlines():
        json.loads(line)


def command(*words: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flowrt", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "FLOWRT_DATA": str(folder / "data"), **environment},
    )
    assert "cli.py" not in done.stderr, done.stderr  # a traceback of the command; those of nodes are in the log
    return done.stdout + done.stderr


PLANTED = """\
flow: planted
include: more.yaml
services:
  mqtt: {{url: "mqtt://user:Sesame26@127.0.0.1:1", password: Sesame26}}
  influx: {{token: "${{env:TOKEN:-Sesame26}}", url: "${{env:ADDRESS}}", tokenn: "Sesame26"}}
nodes:
  north: {{type: camera, uri: "rtsp://admin:{password}@127.0.0.1:9/1", pasword: Sesame26, fps: fast}}
  tick: {{type: timer, every_s: "${{env:ADDRESS}}"}}
  tock: {{type: "${{file:secret.txt}}", from: ["${{file:secret.txt}}", tick.no]}}
  vault: {{type: mqtt_out, from: tick, service: "${{file:secret.txt}}", prefix: "${{env:ADDRESS}}", qos: "${{env:ADDRESS}}"}}
  old: {{type: debug, from: tick, renamed_from: "${{file:secret.txt}}"}}
"""


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_fault_14_check_shows_no_secret_and_no_file(tmp_path: Path, form: str) -> None:
    (tmp_path / "more.yaml").write_text("x-a: 1\n")
    (tmp_path / "secret.txt").write_text("Sesame26 in a longer text of a file\nthat has two lines\n")
    (tmp_path / "flow.yaml").write_text(PLANTED.format(password="Sesame26"))
    address = "http://user:Sesame26@127.0.0.1:99999/?x=Sesame26"
    said = command("check", "flow.yaml", "--format", form, folder=tmp_path, ADDRESS=address)
    assert "error" in said
    assert "Sesame26" not in said
    assert "two lines" not in said
    assert "${env:ADDRESS}" in said


def test_fault_14_a_broken_line_with_a_password_is_not_printed(tmp_path: Path) -> None:
    for line in (
        'mqtt: {password: "Sesame26',
        "mqtt: {password: Sesame26: b}",
        "mqtt: [url: mqtt://u:Sesame26@h: x]",
        "api_token: Sesame26\t: x",
    ):
        (tmp_path / "flow.yaml").write_text(f"flow: a\nservices:\n  {line}\n")
        said = command("check", "flow.yaml", folder=tmp_path)
        assert "error" in said
        assert "Sesame26" not in said, said


def test_fault_14_include_of_something_else_shows_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:$6$Sesame26:19000:0:99999:7:::\n")
    (tmp_path / "flow.yaml").write_text("flow: a\ninclude: shadow\nnodes:\n  t: {type: timer}\n")
    said = command("check", "flow.yaml", folder=tmp_path)
    assert "not a YAML file" in said
    assert "Sesame26" not in said


@pytest.mark.parametrize("password", ["Alfa26", "Bra%40vo26", "Charlie:Delta26", "x"])
def test_fault_14_plan_shows_no_password_old_or_new(tmp_path: Path, password: str) -> None:
    text = (
        'flow: a\nnodes:\n  n: {{type: camera, uri: "rtsp://admin:{}@127.0.0.1:9/1"}}\n  d: {{type: debug, from: n}}\n'
    )
    (tmp_path / "old.yaml").write_text(text.format(password))
    (tmp_path / "new.yaml").write_text(text.format("Foxtrot26"))
    said = command("plan", "old.yaml", "new.yaml", folder=tmp_path)
    assert "n: replaced" in said
    assert "Foxtrot26" not in said
    assert f":{password}@" not in said


def test_fault_14_case_04_no_part_of_a_cameras_password(tmp_path: Path) -> None:
    folder = case_copy("04", tmp_path)
    said = command("check", "flow.yaml", folder=folder)
    said += command("run", "flow.yaml", "--duration", "1", "--http", "off", folder=folder)
    assert not re.findall("Alfa|Bravo26|Charlie|Delta26|Echo|Foxtrot26|Golf26", said)
    assert "percent-encoded" in said
    assert "%40" in said


def test_fault_14_case_11_a_token_that_ends_in_a_line_break(tmp_path: Path) -> None:
    folder = case_copy("11", tmp_path)
    variables = {"INFLUX_URL": "http://127.0.0.1:9", "INFLUX_TOKEN": "Sesame26\n"}
    said = command("run", "flow.yaml", "--duration", "2", "--http", "off", folder=folder, **variables)
    said += command("outbox", "history", folder=folder)
    said += command("dead-letters", "list", "history", folder=folder)
    assert "Sesame26" not in said
    journals = [file for file in (folder / "data").rglob("*") if file.is_file()]
    assert journals
    assert not [file for file in journals if b"Sesame26" in file.read_bytes()]
    inside = command("check", "flow.yaml", folder=folder, **{**variables, "INFLUX_TOKEN": "Ses\name26"})
    assert "$INFLUX_TOKEN has a line break (\\n) in its text" in inside
    assert "ame26" not in inside


def test_fault_14_a_recording_shows_no_secret_in_its_log(run: Run) -> None:
    vaults(run, 1)
    words = ("record", "flow.yaml", "--node", "sum", "--node", "vault_0", "--out", "r.rec", "--duration", "1")
    said = command(*words, folder=run.folder, CODE_0=AWKWARD[0])
    assert "percent: ***" in said
    assert "Sesame26" not in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_fault_14_a_flow_test_shows_no_secret(run: Run, form: str) -> None:
    vaults(run, 1)
    (run.folder / "flow.test.yaml").write_text(
        "flow: flow.yaml\ntests:\n  - name: one\n    until_s: 3\n    expect: [{from: out_0, topic: violations, count: 99}]\n"
    )
    said = command("test", "flow.test.yaml", "--format", form, folder=run.folder, CODE_0=AWKWARD[0])
    assert "***" in said, said
    assert "Sesame26" not in said


@given(st.text(min_size=1, max_size=12), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left_in_text_or_data(secret: str, before: str, after: str) -> None:
    text = f"{before} {secret} {after}"
    secrets = Secrets([secret])
    if secret.strip() and secret.strip("*"):
        assert secret not in mask(text, [secret]).replace("***", " ") or len(secret) < 6
    shown = secrets.data({secret: [secret, {"n": 1, "ok": True}]})
    assert list(shown) == [secret]
    assert shown[secret][1] == {"n": 1, "ok": True}
    json.loads(json.dumps(shown))


@given(st.text(alphabet="aZ9@/?#:%&=+ é", min_size=1, max_size=16))
def test_no_password_is_left_in_an_address(password: str) -> None:
    for written in {password.replace(" ", ""), quote(password, safe="")} - {""}:
        address = f"rtsp://admin:{written}x7Q@10.0.0.1:554/stream"
        assert "x7Q" not in without_passwords(address)
        assert "x7Q" not in mask(f"can't open {address}: port {written}x7Q is bad", passwords(address))


@pytest.mark.parametrize("text", ["a", "://", "://a@", "pass", "token=", "password: ", "x://u:p@h "], ids=repr)
def test_long_texts_are_masked_in_time_that_grows_with_their_length(text: str, tmp_path: Path) -> None:
    long = text * (1_000_000 // len(text))
    started = time.perf_counter()
    without_passwords(long)
    passwords(long)
    (tmp_path / "flow.yaml").write_text(f"flow: a\nx-a: {long}: x\n")
    print_diagnostics(read(tmp_path / "flow.yaml")[1])
    assert time.perf_counter() - started < 20, "quadratic time would be hours"


STRAYS = '''
"""strays: says its code where nobody listens."""

import threading
import warnings
from typing import Annotated

from flowrt import M, Transform, setting


class Gone:
    def __init__(self, code):
        self.code = code

    def __del__(self):
        raise ValueError(f"finalizer {self.code}")


class Strays(Transform):
    """Raise in a thread, in a finalizer, and warn."""

    code: Annotated[str, setting("Secret.", secret=True)]

    def process(self, message: M) -> M:
        def fail():
            raise ValueError(f"thread {self.code}")

        threading.Thread(target=fail).start()
        Gone(self.code)
        warnings.warn(f"warning {self.code}", stacklevel=1)
        return message
'''


def test_fault_14_what_python_itself_prints_is_masked(run: Run) -> None:
    (run.folder / "nodes" / "strays.py").write_text(STRAYS)
    run.flow.write_text(
        FLOW + "  strays: {type: strays, from: count, code: '${env:CODE}'}\n  more: {type: letters, from: strays}\n"
    )
    run.start("--watch", "off", "--duration", "3", environment={"CODE": 'quo"ted-Sesame26'})
    assert run.process is not None
    assert run.process.wait(30) == 0
    said = run.text()
    assert "Sesame26" not in said
    for channel in ("thread", "finalizer", "warning"):
        assert f"{channel} ***" in said, channel
    assert len(said) < 20_000, "and told once a minute"


def test_a_log_that_can_not_be_written_ends_no_run(run: Run) -> None:
    text = STRAYS.replace("        def fail", "        import sys\n\n        sys.stderr.close()\n\n        def fail")
    (run.folder / "nodes" / "strays.py").write_text(text)
    run.flow.write_text(
        FLOW + "  strays: {type: strays, from: count, code: '${env:CODE}'}\n  more: {type: letters, from: strays}\n"
    )
    run.start("--watch", "off", "--duration", "3", environment={"CODE": "Sesame26"})
    assert run.process is not None
    code = run.process.wait(30)
    assert run.report.exists(), (code, run.text())
    facts = json.loads(run.report.read_text())
    assert facts["exit_code"] == 0
    assert facts["wall_s"] > 2.5
