"""What the live view of a run shows."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flowrt.clock import VirtualClock
from flowrt.commands.run._live import LiveView, _services
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
    console = Console(file=StringIO(), width=120)
    console.print(view.picture())
    said = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
    assert "health_probe" in said
    assert "services, asked by health:  mqtt unknown" in said


def test_a_service_that_is_down_stands_out() -> None:
    (line,) = _services({"north": {}, "health": {"status": {"services": {"mqtt": "up", "influxdb": "down"}}}})
    assert line.plain == " services, asked by health:  mqtt up  influxdb down"
    styles = {line.plain[span.start : span.end]: span.style for span in line.spans}
    assert (styles["up"], styles["down"]) == ("green", "bold red")
    assert _services({"north": {"status": {"status": "online"}}}) == []
