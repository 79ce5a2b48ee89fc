"""What a node raises is shown with file and line always, with its traceback the first time, and counted after that."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from runtime.conftest import Bench

from flowrt import Fault
from flowrt.commands.terminal.logs import JsonFormatter

BROKEN = '''\
from flowrt import Record, Transform


class Broken(Transform):
    """Fails at every tick, at one of two lines."""

    def process(self, tick: Record) -> Record:
        if tick.data["number"] % 3 == 0:
            return self.help(tick)
        raise ValueError(f"tick {tick.data['number']}")

    def help(self, tick: Record) -> Record:
        return [][tick.data["number"]]
'''
WRONG = '''\
import json

from flowrt import Record, Transform


class Broken(Transform):
    """Returns no message, or fails in a library."""

    def process(self, tick: Record) -> Record:
        return json.loads("{") if tick.data["number"] % 2 else 42
'''


def run(bench: Bench, text: str, ticks: int) -> list[Fault]:
    (bench.folder / "nodes" / "broken.py").write_text(text)
    runtime = bench.runtime(
        f"one: {{type: numbers, n: {ticks}}}\nbroken: {{type: broken, from: one}}\nf: {{type: caught, from: broken}}"
    )
    runtime.start()
    assert runtime.wait(15)
    runtime.stop()
    bench.row = runtime.status()["nodes"]["broken"]  # type: ignore[attr-defined]
    return runtime.runners["f"].node.seen  # type: ignore[attr-defined,no-any-return]


def test_each_fault_has_its_line_and_the_first_of_a_kind_its_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    file = str(bench.folder / "nodes" / "broken.py")
    with caplog.at_level(logging.ERROR, "flowrt"):
        faults = run(bench, BROKEN, 9)
    assert [(fault.error_type, fault.file, fault.line, fault.count) for fault in faults[:4]] == [
        ("IndexError", file, 13, 1),
        ("ValueError", file, 10, 1),
        ("ValueError", file, 10, 2),
        ("IndexError", file, 13, 2),
    ]
    assert [bool(fault.traceback) for fault in faults] == [True, True] + [False] * 7
    assert "in process\n    return self.help(tick)" in faults[0].traceback
    rows = bench.row["faults"]  # type: ignore[attr-defined]
    assert [(row["line"], row["count"], row["error"]) for row in rows] == [
        (10, 6, "ValueError: tick 8"),
        (13, 3, "IndexError: list index out of range"),
    ]
    assert all(row["traceback"].startswith("Traceback") for row in rows)
    assert bench.row["last_error"] == f"ValueError: tick 8 ({file}:10)"  # type: ignore[attr-defined]
    records = [record for record in caplog.records if getattr(record, "node", "") == "broken"]
    assert all(f"broken.py:{line})" in record.getMessage() for record, line in zip(records, (13, 10), strict=False))
    assert [bool(record.exc_info) for record in records[:4]] == [True, True, False, False]
    assert "IndexError" in json.loads(JsonFormatter().format(records[0]))["traceback"]


def test_the_line_is_the_nodes_own_also_for_a_library_and_for_a_wrong_result(bench: Bench) -> None:
    file = str(bench.folder / "nodes" / "broken.py")
    faults = run(bench, WRONG, 4)
    assert [(fault.error_type, fault.file, fault.line) for fault in faults[:2]] == [
        ("TypeError", file, 9),
        ("JSONDecodeError", file, 10),
    ]


def test_input_that_does_not_fit_is_told_without_line_and_traceback(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    text = "from flowrt.node import BadInput\n" + BROKEN.replace("ValueError(", "BadInput(").replace("% 3 == 0", "< 0")
    with caplog.at_level(logging.ERROR, "flowrt"):
        faults = run(bench, text, 3)
    assert [(fault.error, fault.file, fault.traceback) for fault in faults[:1]] == [("tick 0", "", "")]
    assert [fault.count for fault in faults] == [1, 2, 3]
    said = [record for record in caplog.records if getattr(record, "node", "") == "broken"]
    assert said[0].getMessage() == "broken: BadInput: tick 0"
    assert not said[0].exc_info


def test_few_kinds_are_kept(bench: Bench) -> None:
    lines = "\n".join(f"        if tick.data['number'] == {n}:\n            raise ValueError('{n}')" for n in range(8))
    text = BROKEN.partition("        if tick")[0] + lines + "\n        return tick\n"
    run(bench, text, 8)
    assert [row["error"] for row in bench.row["faults"]] == [f"ValueError: {n}" for n in (7, 6, 5, 4, 3)]  # type: ignore[attr-defined]


def test_a_secret_in_a_traceback_is_masked(bench: Bench) -> None:
    assert Path(bench.folder).is_dir()
    from flowrt.secrets import Secrets

    (bench.folder / "nodes" / "broken.py").write_text(BROKEN.replace("tick {tick.data['number']}", "hunter-secret-22"))
    runtime = bench.runtime(
        "one: {type: numbers, n: 2}\nbroken: {type: broken, from: one}\nf: {type: caught, from: broken}"
    )
    secrets = Secrets()
    secrets.learn(["hunter-secret-22"], {})
    runtime._secrets = secrets
    runtime.start()
    assert runtime.wait(15)
    runtime.stop()
    [_, fault] = runtime.runners["f"].node.seen  # type: ignore[attr-defined]
    assert "hunter-secret-22" not in fault.error + fault.traceback
    assert "***" in fault.traceback
