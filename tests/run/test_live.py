"""What the live view of a run shows."""

from __future__ import annotations

import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flowrt.clock import VirtualClock
from flowrt.commands.run import _live_parts as parts
from flowrt.commands.run._live import LiveView
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.runtime import Runtime

FLOW = """\
flow: small
site: here
services: {mqtt: {url: "mqtt://127.0.0.1:9"}}
nodes:
  health: {type: health_probe}
  out: {type: file_out, from: health, path: out.ndjson}
"""


@pytest.fixture
def view(tmp_path: Path) -> LiveView:
    (tmp_path / "flow.yaml").write_text(FLOW)
    runtime = Runtime(
        load(tmp_path / "flow.yaml"),
        contract=Contract.load(),
        clock=VirtualClock(),
        data=tmp_path,
        threads=False,
        record=lambda name, message: None,
    )
    runtime.start()
    return LiveView(runtime, Console(file=StringIO()), "about")


def test_nodes_and_the_services_that_a_probe_asks_are_shown(view: LiveView) -> None:
    said = "\n".join(line.plain for line in view.lines(120, 39))
    assert "health_probe" in said
    assert "services, asked by health:  mqtt unknown" in said


def test_a_service_that_is_down_stands_out() -> None:
    (line,) = parts.services({"north": {}, "health": {"status": {"services": {"mqtt": "up", "influxdb": "down"}}}}, 80)
    assert line.plain == " services, asked by health:  mqtt up  influxdb down"
    styles = {line.plain[span.start : span.end]: span.style for span in line.spans}
    assert (styles["up"], styles["down"]) == ("green", "bold red")
    assert parts.services({"north": {"status": {"status": "online"}}}, 80) == []


def test_no_line_is_longer_than_the_window_and_none_is_lost(view: LiveView) -> None:
    for width, height in ((80, 24), (60, 16), (120, 40), (200, 60)):
        lines = view.lines(width, height - 1)
        assert max(line.cell_len for line in lines) <= width
        assert len(lines) < height


def row(**facts: Any) -> dict[str, Any]:
    times = {"p50": None, "p99": None}
    return {
        "type": "total",
        "faults": [],
        "in": 5,
        "out": 5,
        "dropped": 0,
        "errors": 0,
        "rate_per_s": 1.0,
        "process_ms": times,
    } | facts


def test_the_nodes_that_matter_are_kept_in_the_order_of_the_file() -> None:
    rows = {f"node_{n:02}": row(rate_per_s=0.1 * n) for n in range(30)}
    rows["node_03"] = row(errors=2, last_error="boom")
    rows["node_05"] = row(dropped=7)
    lines = [line.plain for line in parts.nodes(rows, {"node_09": {"depth": 2, "size": 3}}, 80, most=7)]
    assert [line.split()[0] for line in lines] == ["node", "node_03", "node_05", "node_09", "node_28", "node_29", "…"]
    assert lines[-1].strip() == "… and 25 nodes more, with less to show: a larger window has them"


def test_problems_are_what_was_refused_what_hangs_and_what_fails() -> None:
    found = {"file": "a.yaml", "line": 3, "column": 9, "message": "no such thing " * 8, "hint": "try another"}
    status = {
        "problems": [found],
        "trouble": ["objects: process has taken 12 s"],
        "nodes": {
            "a": row(errors=3, last_error="ValueError: x (a.py:3)", faults=[{"time_s": time.time()}]),
            "b": row(failed=True, last_error="gone"),
        },
    }
    said = [line.plain for line in parts.problems(status, 80, most=12)]
    assert said[0] == " the edit was refused, the flow goes on as it was:"
    assert said[1].startswith("   a.yaml:3:9: no such thing")
    assert "   objects: process has taken 12 s" in said
    assert "   a: 3 errors, the last: ValueError: x (a.py:3)" in said
    assert "   b was given up: gone" in said
    assert max(map(len, said)) <= 80
    few = [line.plain for line in parts.problems(status, 80, most=3)]
    assert len(few) == 3
    assert few[0] == said[0], "a refused edit always stands there"


def test_names_give_way_in_a_narrow_window_and_numbers_stay() -> None:
    rows = {
        "a_name_that_is_longer_than_anyone_would_wish_it_to_be_in_a_table": row(
            **{"in": 10**9}, out=1_234_567, dropped=45_678
        )
    }
    [_, line] = parts.nodes(rows, {}, 70, most=9)
    assert "1.2M" in line.plain
    assert "46k" in line.plain
    name = line.plain.split()[0]
    assert name.endswith("…")
    assert len(name) >= parts.NAME_LEAST
    [_, line] = parts.nodes(rows, {}, 160, most=9)
    assert "1,234,567" in line.plain
