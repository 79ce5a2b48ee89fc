"""The shipped flows: valid, their own tests green, their scenes as the simulation has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowrt.cli import main
from flowrt.flowtest import read_suite, run_case
from flowrt.load import read
from tools.scenes import TARGET, text

FLOWS = Path(__file__).parent.parent.parent / "flows"
SUITES = sorted(FLOWS.glob("*.test.yaml"))


@pytest.mark.parametrize("file", sorted(set(FLOWS.glob("*.yaml")) - set(SUITES)), ids=lambda file: str(file.name))
def test_shipped_flows_have_no_problem(file: Path) -> None:
    flow, problems = read(file)
    assert flow is not None
    assert problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"), [(file, case.name) for file in SUITES for case in read_suite(file).tests], ids=str
)
def test_their_own_tests_pass(file: Path, name: str) -> None:
    suite = read_suite(file)
    case = next(case for case in suite.tests if case.name == name)
    outcome = run_case(file, suite, case)
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
        "  - {from: out, topic: system/health, where: {status: sleepy}}\n"
        "  - {from: out, topic: system/health, where: {uptime_seconds: {min: 0}}, at_least: 3}\n",
    )
    assert main(["test", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "FAIL too much" in shown
    assert "expected exactly 40 of system/health at out" in shown
    assert "expected at least 1 of system/health at out where status: sleepy" in shown
    assert "status: healthy" in shown or "status: degraded" in shown
    assert "0 passed, 1 failed" in shown
    assert main(["test", str(path), "--format", "json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert len(answer["tests"][0]["failures"]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flow: tiny.yaml\ntests: []\n", "length >= 1"),
        ("flow: tiny.yaml\ntests:\n- name: a\n  expct: []\n", "expct"),
        ("flow: tiny.yaml\ntests:\n- {name: a, expect: [{from: uot, topic: t}]}\n", "did you mean 'out'?"),
        ("flow: tiny.yaml\ntests:\n- {name: a, expect: [{from: out}]}\n", "`topic` or a `measurement`"),
        ("flow: tiny.yaml\ntests:\n- {name: a, input: {sgnals: []}, expect: [{from: out, topic: t}]}\n", "'signals'"),
        ("flow: none.yaml\ntests:\n- {name: a, expect: [{from: out, topic: t}]}\n", "none.yaml"),
    ],
)
def test_a_test_file_that_makes_no_sense(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suite(tmp_path, text)
    assert main(["test", str(path)]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


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
