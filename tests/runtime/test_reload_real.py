"""Reload of a real flow: simulated camera, bundled model, tracker, rules. What must stay, stays."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowrt.clock import SystemClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.plan import Plan
from flowrt.runtime import Runtime
from flowrt.system.resources import share
from flowrt.watch import Reload, Reloader
from tools.scenes import TARGET

FLOW = """\
flow: real
site: here
include: scene.yaml
nodes:
  north: {type: camera, uri: "sim://four-way?seed=7&camera=north&fps=10&size=640x360"}
  signals: {type: signal.sim, uri: "sim://four-way?seed=7"}
  objects: {type: detect, from: north, model: flowrt-traffic-fp16.xml, min_confidence: 0.3}
  tracks: {type: track, from: objects}
  speeds: {type: speed, from: tracks, scene: north}
  zones: {type: roi, from: speeds, scene: north}
  red_light: {type: violation.red_light, from: zones, scene: north, signal: signals}
  lanes: {type: traffic_flow, from: zones, scene: north, interval_s: 3600}
  events: {type: file_out, from: [zones.zone_events, red_light, lanes], path: events.ndjson}
"""


class Running:
    """The flow at work in a folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "flow.yaml"
        self.scene = folder / "scene.yaml"
        self.scene.write_text(TARGET.read_text())
        self.path.write_text(FLOW)
        clock, log = SystemClock(), logging.getLogger("test")
        self.journal = Journal(None, clock=clock, log=log)
        delivery = Delivery(self.journal, clock, log)
        self.runtime = Runtime(load(self.path), delivery=delivery, contract=Contract.load(), clock=clock, data=folder)
        self.reloader = Reloader(self.runtime)
        self.runtime.start()

    def frames(self, more: int) -> None:
        """Wait until so many more pictures went through the tracker."""
        wanted = self.runtime.runners["tracks"].n_out + more
        end = time.monotonic() + 60
        while self.runtime.runners["tracks"].n_out < wanted:
            assert time.monotonic() < end
            time.sleep(0.02)

    def edit(self, change: Callable[[str], str]) -> Reload:
        self.path.write_text(change(self.path.read_text()))
        return self.reloader.reload("test")

    def node(self, name: str) -> Any:
        return self.runtime.runners[name].node


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.runtime.stop()
    running.journal.close()


def test_thresholds_zones_rules_and_model_settings_change_in_place(running: Running) -> None:
    running.frames(20)
    nodes = {name: runner.node for name, runner in running.runtime.runners.items()}
    numbers = set(running.node("tracks").status().items())
    report = running.edit(lambda text: text.replace("min_confidence: 0.3", "min_confidence: 0.35"))
    assert report.plan["reconfigured"] == ["objects"], "the model stays compiled"
    report = running.edit(lambda text: text.replace("signal: signals}", "signal: signals, grace_s: 0.6}"))
    assert report.plan["reconfigured"] == ["red_light"]
    running.scene.write_text(
        running.scene.read_text().replace("no_stopping: {zone: [[619,", "no_stopping: {zone: [[611,")
    )
    report = running.reloader.reload("test")
    assert set(report.plan["reconfigured"]) == {"speeds", "zones", "red_light", "lanes"}, "all users of the scene"
    assert "the geometry of north" in report.lines[0]
    for name, node in nodes.items():
        assert running.node(name) is node, name
    assert running.node("zones").context.entries["scene"].zones["no_stopping"].points[0][0] == 611
    running.frames(10)
    assert all(report.ledger["balanced"] for report in running.reloader.history)
    assert all(running.runtime.runners[name].errors == 0 for name in running.runtime.runners)
    assert numbers is not None


def test_a_changed_model_setting_that_needs_a_new_one_keeps_tracks_and_camera(running: Running) -> None:
    running.frames(30)
    camera, tracker = running.node("north"), running.node("tracks")
    report = running.edit(lambda text: text.replace("from: north, model", "from: north, hint: latency, model"))
    assert report.ok, report.message
    assert "objects" in report.plan["replaced"] + report.plan["reconfigured"]
    running.frames(10)
    assert running.node("north") is camera
    assert running.node("tracks") is tracker
    assert running.runtime.runners["north"].errors == running.runtime.runners["objects"].errors == 0


def test_a_rule_is_added_and_removed_while_it_runs(running: Running) -> None:
    running.frames(5)
    rule = "  slow: {type: violation, from: zones, scene: north, when: 'track.speed_kmh < 5.0', hold_s: 1}\n"
    report = running.edit(
        lambda text: text.replace("  lanes:", rule + "  lanes:").replace("red_light, lanes]", "red_light, slow, lanes]")
    )
    assert report.plan["added"] == ["slow"]
    assert report.plan["rewired"] == ["events"]
    running.frames(5)
    assert running.runtime.runners["slow"].n_in > 0
    report = running.edit(lambda text: FLOW)
    assert report.plan["removed"] == ["slow"]


@pytest.mark.parametrize(
    ("other", "said"),
    [("broken.onnx", "broken.onnx: not a model"), ("flowrt-traffic-fp16.xml, device: NPU", "no device")],
)
def test_a_model_that_cannot_be_used_rolls_back_and_the_old_one_goes_on(
    running: Running, other: str, said: str
) -> None:
    running.frames(5)
    broken = running.path.parent / "broken.onnx"
    broken.write_bytes(b"no model at all")
    detector = running.node("objects")
    report = running.edit(lambda text: text.replace("flowrt-traffic-fp16.xml", other))
    assert not report.ok
    assert said in "; ".join([report.message, *(each.message for each in report.diagnostics)])
    assert running.node("objects") is detector
    running.frames(5)
    report = running.edit(lambda text: FLOW)
    assert report.ok


def test_a_model_file_replaced_under_its_name_is_compiled_beside_the_old_one(running: Running) -> None:
    folder = running.path.parent

    def put(precision: str, kinds: str = "xml bin") -> None:
        for kind in kinds.split():
            fresh = folder / "fresh"
            shutil.copyfile(share("models") / "flowrt-traffic" / f"flowrt-traffic-{precision}.{kind}", fresh)
            fresh.replace(folder / f"model.{kind}")

    put("fp16")
    assert running.edit(lambda text: text.replace("flowrt-traffic-fp16.xml", "model.xml")).ok
    camera, tracker = running.node("north"), running.node("tracks")
    assert {folder / "model.xml", folder / "model.bin"} <= set(running.runtime.flow.files)
    put("fp16")
    assert running.reloader.reload("the same content again").message == "nothing changes"
    put("int8")
    old = running.node("objects")
    report = running.reloader.follow("test")
    assert report is not None
    assert report.ok, report.message
    assert report.plan["replaced"] == ["objects"]
    assert "model.xml, model.bin changed" in report.lines[0]
    assert running.node("objects") is not old
    running.frames(5)
    assert running.node("north") is camera
    assert running.node("tracks") is tracker
    assert running.runtime.runners["objects"].errors == 0


def test_a_camera_that_reconnects_is_replaced(running: Running) -> None:
    dead = 'uri: "rtsp://127.0.0.1:9/none", simulated: true'
    report = running.edit(
        lambda text: text.replace('uri: "sim://four-way?seed=7&camera=north&fps=10&size=640x360"', dead)
    )
    assert report.ok
    assert report.plan["replaced"] == ["north"]
    time.sleep(1.0)
    report = running.edit(lambda text: FLOW)
    assert report.ok
    running.frames(5)


def test_the_shipped_plan_is_pure(running: Running) -> None:
    other = load(running.path)
    assert Plan.between(running.runtime.flow, other).empty
