"""flowrt outbox, dead-letters and events, on a journal that a run holds open and on one at rest."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowrt.cli import main
from flowrt.clock import SystemClock
from flowrt.commands.events import run
from flowrt.delivery import Delivery
from flowrt.journal import EventRow, Journal, journal_path
from tests.delivery.outside import Outside, eventually, records
from tests.delivery.world import violation


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv("FLOWRT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return Journal(journal_path("main-and-5th"), clock=SystemClock())


def rejecting(journal: Journal) -> Outside:
    """Three records, of which the second is refused."""
    from flowrt.sink import Reject

    def refuse(batch: object) -> None:
        for record in batch:  # type: ignore[attr-defined]
            if record.id == "n-1" and not allowed:
                raise Reject("not welcome \x1b[31m")

    allowed: list[bool] = []
    node = Outside().prepare(refuse)
    node.__dict__["allowed"] = allowed
    return node


def test_outbox_and_dead_letters_while_running(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    delivery = Delivery(journal, SystemClock())
    node = rejecting(journal)
    delivery.add("to_broker", node)
    delivery.accept("to_broker", records(3))
    eventually(lambda: delivery.statistics()["to_broker"].dead_letters == 1)
    eventually(lambda: delivery.statistics()["to_broker"].delivered == 2)
    assert main(["outbox", "main-and-5th", "--format", "json"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)
    assert (seen["name"], seen["accepted"], seen["delivered"], seen["pending"], seen["dead_letters"]) == (
        "to_broker", 3, 2, 0, 1,
    )  # fmt: skip
    eventually(lambda: main(["outbox"]) == 0 and " up " in capsys.readouterr().out)  # written within a second
    assert main(["outbox"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["sink", "state", "accepted", "delivered", "pending"]
    assert line.split()[:5] == ["to_broker", "up", "3", "2", "0"]

    assert main(["dead-letters", "list", "main-and-5th"]) == 0
    out = capsys.readouterr().out
    assert "not welcome" in out
    assert "\x1b" not in out
    assert main(["dead-letters", "show", "main-and-5th", "2", "--format", "json"]) == 0
    (dead,) = json.loads(capsys.readouterr().out)
    assert (dead["number"], dead["id"], dead["body"].strip()) == (2, "n-1", "1")
    node.__dict__["allowed"].append(True)
    assert main(["dead-letters", "retry", "main-and-5th", "2"]) == 0
    eventually(lambda: "n-1" in node.ids)
    delivery.close(2.0)
    journal.close()


def test_outbox_tells_how_long_the_backlog_will_take(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    journal.append("to_broker", records(600), wait=True)
    journal.note("to_broker", "up", "", 5.0)

    def seen() -> dict[str, Any]:
        assert main(["outbox", "main-and-5th", "--format", "json"]) == 0
        (outbox,) = json.loads(capsys.readouterr().out)
        return dict(outbox)

    eventually(lambda: seen()["rate_per_s"] == 5.0)
    assert (seen()["pending"], seen()["drain_s"]) == (600, 120.0)
    assert seen()["oldest_s"] >= 0.0
    assert main(["outbox", "main-and-5th"]) == 0
    assert "2m" in capsys.readouterr().out.splitlines()[1].split()
    journal.close()


def test_dead_letters_are_dropped_only_when_named(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    journal.append("out", records(4), wait=True)
    for number in (1, 2, 3):
        journal.rejected("out", number, "no")
    eventually(lambda: journal.counters("out").dead_letters == 3)
    journal.close()
    assert main(["dead-letters", "drop", "main-and-5th"]) == 2
    assert "which ones" in capsys.readouterr().err
    assert main(["dead-letters", "drop", "main-and-5th", "9"]) == 2
    assert "no dead letter 9" in capsys.readouterr().err
    assert main(["dead-letters", "list"]) == 0, "there is one journal only"
    assert main(["dead-letters", "show", "2"]) == 0, "a number is no flow"
    capsys.readouterr()
    assert main(["dead-letters", "drop", "main-and-5th", "1"]) == 0
    assert main(["dead-letters", "drop", "main-and-5th", "--all"]) == 0
    assert capsys.readouterr().out == "1 dropped\n2 dropped\n"
    assert main(["dead-letters", "list", "main-and-5th"]) == 0
    assert capsys.readouterr().out == "there are no dead letters\n"


def test_events(journal: Journal, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = []
    for i, kind in enumerate(("speeding", "red_light", "speeding")):
        payload = {"id": f"v-{i}", "violation_type": kind, "camera_id": "north", "phase": "new", "severity": "high"}
        rows.append(EventRow(f"v-{i}", violation(i * 100).time_s, "violations", "rule", json.dumps(payload).encode()))
    rows.append(EventRow("z-0", violation(50).time_s, "zone_events", "roi", b'{"event_type": "entry"}'))
    journal.append("out", [], events=rows, wait=True)
    flow = tmp_path / "flow.yaml"
    flow.write_text("flow: main-and-5th\nnodes: {}\n")

    def ids(*words: str) -> list[str]:
        assert main(["events", *words, "--format", "json"]) == 0
        return [row.get("id", "z") for row in json.loads(capsys.readouterr().out)]

    assert ids(str(flow)) == ["v-0", "z", "v-1", "v-2"]
    assert ids("--type", "violations") == ["v-0", "v-1", "v-2"]
    assert ids("--type", "speeding") == ["v-0", "v-2"]
    assert ids("--since", str(violation(150).time_s)) == ["v-2"]
    assert main(["events"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "2023-11-14T22:13:20.000Z", "violations", "north", "speeding", "high", "new", "v-0",
    ]  # fmt: skip
    assert main(["events", "--format", "csv"]) == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[1]
        .startswith("v-0,2023-11-14T22:13:20.000Z,violations,rule,north,speeding")
    )
    journal.append("out", [], events=[EventRow("z-1", 1.0, "zone_events", "roi", b'{"event_type": \xff')], wait=True)
    for form in ("table", "json", "csv"):  # a byte of the file was flipped
        assert main(["events", "--format", form]) == 0
    capsys.readouterr()
    assert main(["events", "--type", "speding"]) == 2
    assert "did you mean 'speeding'?" in capsys.readouterr().err
    assert main(["events", "--since", "yesterday"]) == 2
    assert "expected 90s" in capsys.readouterr().err
    journal.close()


def test_events_are_followed(journal: Journal, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flowrt", "events", "main-and-5th", "--follow", "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None  # it is a pipe
        try:
            for n in range(3):
                row = EventRow(f"v-{n}", 1e9 + n, "violations", "rule", f'{{"id": "v-{n}"}}'.encode())
                journal.append("out", [], events=[row], wait=True)
                assert json.loads(follower.stdout.readline())["id"] == f"v-{n}"
        finally:
            follower.kill()
    journal.close()


def test_no_journal_is_said_plainly(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    journal.close()
    assert main(["outbox", "main-and-6th"]) == 2
    assert "did you mean 'main-and-5th'?" in capsys.readouterr().err
    assert main(["events", "missing.yaml"]) == 2
    assert "there is no file missing.yaml" in capsys.readouterr().err
    journal_path("main-and-5th").write_bytes(b"no database at all" * 500)
    assert main(["outbox", "main-and-5th"]) == 3
    assert "can't be read" in capsys.readouterr().err


def test_what_comes_while_events_are_listed_is_followed(
    journal: Journal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that is recorded between the list and the following is neither missed nor told twice."""

    def listed(events: list[Any], *args: Any, **options: Any) -> None:
        shown.append([event.id for event in events])
        if len(shown) == 1:
            append("v-1")

    def append(name: str) -> None:
        row = EventRow(name, 1e9, "violations", "rule", f'{{"id": "{name}"}}'.encode())
        journal.append("out", [], events=[row], wait=True)

    def polled(seconds: float) -> None:
        if len(shown) > 1:
            raise KeyboardInterrupt

    shown: list[list[str]] = []
    append("v-0")
    monkeypatch.setattr("flowrt.commands.events._print", listed)
    monkeypatch.setattr("flowrt.commands.events.time.sleep", polled)
    with pytest.raises(KeyboardInterrupt):
        run(argparse.Namespace(flow="main-and-5th", type="", since="", format="json", follow=True))
    assert shown == [["v-0"], ["v-1"]]
    journal.close()
