"""The shipped flows: valid, their own tests green, their scenes as the simulation has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowrt.cli import main
from flowrt.config import read
from flowrt.testing.suite import read_suite
from flowrt.testing.suite_checks import prepare
from flowrt.testing.suite_run import run_case
from tools.scenes import TARGET, text

FLOWS = Path(__file__).parent.parent.parent / "flows"
SUITES = sorted(FLOWS.glob("*.test.yaml"))


@pytest.mark.parametrize("file", sorted(set(FLOWS.glob("*.yaml")) - set(SUITES)), ids=lambda file: str(file.name))
def test_shipped_flows_have_no_problem(file: Path) -> None:
    flow, diagnostics = read(file)
    assert flow is not None
    assert diagnostics == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"), [(file, case.name) for file in SUITES for case in read_suite(file).tests], ids=str
)
def test_their_own_tests_pass(file: Path, name: str) -> None:
    outcome = run_case(next(ready for ready in prepare(read_suite(file)) if ready.case.name == name))
    assert outcome.failures == []


def test_the_scenes_are_those_of_the_simulation() -> None:
    assert TARGET.read_text() == text(), "run `python -m tools.scenes`"


def suite(tmp_path: Path, text: str) -> Path:
    flow = (
        "flow: tiny\nsite: s\nnodes:\n"
        "  signals: {type: signal.fixed, plan: [{duration_s: 10, green: [a]}]}\n"
        "  clip: {type: timer, every_s: 1}\n"
        "  health: {type: health_probe, every_s: 5}\n"
        "  out: {type: mqtt_out, from: health}\n"
        "  seen: {type: debug, from: [signals, clip]}\n"
    )
    (tmp_path / "tiny.yaml").write_text(flow)
    path = tmp_path / "tiny.test.yaml"
    path.write_text(text)
    return path


def test_a_failing_test_says_what_was_expected_and_what_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(
        tmp_path,
        "flow: tiny.yaml\ntests:\n- name: too much\n  until_s: 21\n  expect:\n"
        "  - {from: out, topic: system/health, count: 40}\n"
        "  - {from: out, topic: system/health, where: {status: critical}}\n"
        "  - {from: out, topic: system/health, where: {uptime_seconds: {min: 0}}, at_least: 3}\n",
    )
    assert main(["test", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "FAIL too much" in shown
    assert "expected exactly 40 of system/health at out" in shown
    assert "expected at least 1 of system/health at out where status: critical" in shown
    assert "status: healthy" in shown or "status: degraded" in shown
    assert "0 passed, 1 failed" in shown
    assert main(["test", str(path), "--format", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert len(answer["tests"][0]["failures"]) == 2


def one_test(body: str) -> str:
    return f"flow: tiny.yaml\ntests:\n- name: a\n  {body}\n"


EXPECT = "expect: [{from: out, topic: system/health}]"


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("flow: tiny.yaml\ntests: []\n", "2:8", "length >= 1", ""),
        ("flow: tiny.yaml\nflow: tiny.yaml\ntests: []\n", "2:1", "'flow' appears twice", ""),
        (one_test("expct: []"), "4:3", "unknown key 'expct'", "did you mean 'expect'?"),
        (one_test("expect: [{from: out, topc: x}]"), "4:24", "unknown key 'topc'", "did you mean 'topic'?"),
        (one_test("expect: [{from: uot, topic: system/health}]"), "4:19", "'uot' is no outbox", "'out'?"),
        (one_test("expect: [{from: out}]"), "4:12", "a `topic` or a `measurement`", "name one"),
        (one_test("expect: [{from: out, topic: system/helth, at_most: 0}]"), "4:31", "no topic", "'system/health'?"),
        (one_test("expect: [{from: out, measurement: sytem_health}]"), "4:37", "no measurement", "'system_health'?"),
        (
            one_test("expect: [{from: out, topic: system/health, where: {sttus: healthy}, at_most: 0}]"),
            "4:54",
            "a payload of system/health has no field 'sttus'",
            "did you mean 'status'?",
        ),
        (
            one_test("expect: [{from: out, topic: system/health, where: {status: [healthy, ill]}, at_most: 0}]"),
            "4:62",
            "'status' of system/health is never ill",
            "healthy",
        ),
        (
            one_test("expect: [{from: out, topic: violations, where: {location.lane: in_1}, at_most: 0}]"),
            "4:51",
            "a payload of violations has no field 'location.lane'",
            "did you mean 'lane_id'?",
        ),
        (
            one_test("expect: [{from: out, measurement: system_health, where: {disc: 1}, at_most: 0}]"),
            "4:60",
            "system_health has no tag or field 'disc'",
            "",
        ),
        (one_test(f"set: {{clip.every: 2}}\n  {EXPECT}"), "4:9", "unknown setting 'every'", "'every_s'?"),
        (one_test(f"set: {{clp.every_s: 2}}\n  {EXPECT}"), "4:9", "no node 'clp'", "'clip'?"),
        (one_test(f"input: {{sgnals: []}}\n  {EXPECT}"), "4:11", "'sgnals' is no source", "'signals'?"),
        (one_test(f"input: {{seen: []}}\n  {EXPECT}"), "4:11", "'seen' is no source", ""),
        (one_test(f"input: {{signals: [{{time_s: soon}}]}}\n  {EXPECT}"), "4:21", "none of its messages", "time_s"),
        (one_test(f"input: {{signals: {{recorded: no}}}}\n  {EXPECT}"), "4:31", "can't be read", "flowrt record"),
        (one_test(f"until_s: 0\n  {EXPECT}"), "4:12", "> 0", ""),
    ],
)
@pytest.mark.parametrize("command", ["test", "check"])
def test_a_test_file_that_makes_no_sense(
    command: str, tmp_path: Path, text: str, place: str, message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(tmp_path, text)
    assert main([command, str(path)]) == 1
    shown = "".join(capsys.readouterr())
    assert message in shown
    assert hint in shown
    assert f"{path}:{place}\n" in shown
    assert "Traceback" not in shown


def test_a_test_file_for_no_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = suite(tmp_path, f"flow: none.yaml\ntests:\n- name: a\n  {EXPECT}\n")
    assert main(["test", str(path)]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_everything_wrong_with_the_tests_is_said_at_once_and_none_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = one_test(EXPECT)
    path = suite(
        tmp_path, f"{good}- name: b\n  input: {{sgnals: []}}\n  expect: [{{from: uot, topic: sytem/health}}]\n"
    )
    assert main(["test", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "3 errors" in err
    assert out == "0 passed, 0 failed\n"


def test_a_record_may_go_to_any_topic(tmp_path: Path) -> None:
    (tmp_path / "any.yaml").write_text(
        "flow: any\nsite: s\nnodes:\n  heard: {type: mqtt_in, topic: a/b}\n  out: {type: mqtt_out, from: heard}\n"
    )
    path = tmp_path / "any.test.yaml"
    path.write_text(
        "flow: any.yaml\ntests:\n- name: it is handed on\n"
        "  input: {heard: [{time_s: 1, topic: a/b, data: {x: 1}}]}\n"
        "  expect:\n  - {from: out, topic: a/b, where: {x: 1}, count: 1}\n"
        "  - {from: out, measurement: system_health, at_most: 0}\n"
    )
    assert main(["test", str(path)]) == 0


def test_a_payload_that_breaks_its_schema_fails_the_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = {
        "title": "Noise",
        "description": "A loud vehicle.",
        "x-mqtt": {"topic": "noise", "qos": 1},
        "type": "object",
        "properties": {"level_db": {"type": "number", "description": "Decibel."}},
    }
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "noise.schema.json").write_text(json.dumps(schema))
    (tmp_path / "loud.yaml").write_text(
        "flow: loud\nsite: s\nnodes:\n  meter: {type: mqtt_in, topic: noise}\n  out: {type: mqtt_out, from: meter}\n"
    )
    path = tmp_path / "loud.test.yaml"
    for level, code in (("81.5", 0), ("loud", 1)):
        path.write_text(
            "flow: loud.yaml\ntests:\n- name: noise\n"
            f"  input: {{meter: [{{time_s: 1, topic: noise, data: {{level_db: {level}}}}}]}}\n"
            "  expect: [{from: out, topic: noise, count: 1}]\n"
        )
        assert main(["test", str(path)]) == code
    shown = capsys.readouterr().out
    assert "every payload of noise at out keeps to its schema" in shown
    assert "noise.schema.json#/properties/level_db/type" in shown
