"""The examples, and the three ways in which nodes of one's own come into a flow."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from flowrt import Tracks, ZoneEvent
from flowrt.catalog import Catalog
from flowrt.clock import SystemClock, VirtualClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.flow import Flow
from flowrt.journal import Journal
from flowrt.runtime import Runtime
from flowrt.traffic import Location, Objects, RoadUser
from tests import harness

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_example_flow_is_valid() -> None:
    flow = load(EXAMPLES / "custom-nodes.yaml")
    assert flow.nodes["fast"].type.origin == "folder"
    assert flow.nodes["fast"].type.summary == "Pass on only the vehicles faster than a limit."


def tracks(*speeds_kmh: float) -> Tracks:
    n = len(speeds_kmh)
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (n, 1))
    seen = Objects(
        time_s=1.0, boxes_px=boxes, confidence=np.ones(n, np.float32), class_id=np.zeros(n, np.int64),
        labels=("car",), picture_px=(100, 100),
    )  # fmt: skip
    ids = np.arange(1, n + 1)
    still = np.zeros((n, 2), np.float32)
    found = Tracks.of(seen, np.arange(n), track_id=ids, age_s=np.ones(n, np.float32), velocity_px_s=still)
    return found.replace(speed_kmh=np.array(speeds_kmh, np.float32))


def test_a_rule_of_ones_own_takes_twenty_lines_at_most() -> None:
    """`tests/test_testing_page.py` runs it, and docs/rules.md shows it."""
    file = EXAMPLES / "nodes" / "violation" / "bus_lane.py"
    assert len(file.read_text().splitlines()) <= 20
    assert Catalog(EXAMPLES).get("violation.bus_lane").role == "transform"


def test_speed_gate() -> None:
    node = Catalog(EXAMPLES).get("speed_gate").cls(faster_than_kmh=50)  # type: ignore[call-arg]
    fast = node.process(tracks(30.0, 51.0, 50.0, 90.0))  # type: ignore[attr-defined]
    assert fast.track_id.tolist() == [2, 4]


def test_school_hours_under_virtual_time(tmp_path: Path) -> None:
    node = Catalog(EXAMPLES).get("school_hours").cls()
    node.attach(harness.context(tmp_path, clock=VirtualClock(6 * 3600.0 + 59 * 60)))
    records = node.produce()  # type: ignore[attr-defined]
    assert [next(records).data["school"] for _ in range(3)] == [False, True, True]


def event(n: int) -> ZoneEvent:
    user = RoadUser(track_id=n, label="car", confidence=0.9, box_px=(0.0, 0.0, 1.0, 1.0))
    return ZoneEvent(
        time_s=float(n), id=f"e{n}", roi_id="zone", roi_type="lane", event_type="entry", object=user,
        location=Location(x_px=0.0, y_px=0.0),
    )  # fmt: skip


def test_to_folder_waits_until_the_folder_is_there(tmp_path: Path) -> None:
    log = logging.getLogger("test")
    journal = Journal(None, clock=SystemClock(), log=log)
    delivery = Delivery(journal, SystemClock(), log)
    node = Catalog(EXAMPLES).get("to_folder").cls(folder="office")  # type: ignore[call-arg]
    node.attach(harness.context(tmp_path, contract=Contract.load()))
    delivery.add("out", node)  # type: ignore[arg-type]
    for n in range(5):
        delivery.accept("out", list(node.encode(event(n))))  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert delivery.statistics()["out"].delivered == 0
    (tmp_path / "office").mkdir()
    end = time.monotonic() + 20
    while delivery.statistics()["out"].delivered < 5 and time.monotonic() < end:
        time.sleep(0.05)
    delivery.close(2)
    journal.close()
    assert sorted(path.name for path in (tmp_path / "office").iterdir()) == [f"zone_events-e{n}.json" for n in range(5)]


def test_an_installed_package_adds_nodes_by_entry_point(tmp_path: Path) -> None:
    package = tmp_path / "acme_nodes"
    package.mkdir()
    (package / "__init__.py").write_text('"""Nodes of another company."""\n')
    (package / "acme_gate.py").write_text((EXAMPLES / "nodes" / "speed_gate.py").read_text())
    info = tmp_path / "acme_nodes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-nodes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[flowrt.nodes]\nacme = acme_nodes\n")
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from flowrt.catalog import Catalog
        catalog = Catalog()
        assert "camera" in catalog.names()
        found = catalog.get("acme_gate")
        print(found.origin, found.summary)
    """)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.stdout.strip() == "acme Pass on only the vehicles faster than a limit.", shown.stderr


def test_flow_is_frozen() -> None:
    flow: Flow = load(EXAMPLES / "custom-nodes.yaml")
    with pytest.raises(AttributeError):
        flow.name = "other"  # type: ignore[misc]


def test_a_runtime_either_delivers_or_records() -> None:
    flow = load(EXAMPLES / "custom-nodes.yaml")
    with pytest.raises(AssertionError):
        Runtime(flow, contract=Contract.load(), clock=VirtualClock(), data=Path(), threads=False)
