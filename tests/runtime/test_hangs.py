"""Hooks that hang: named with node, hook and place, in log and readiness; a reload gives up, and later edits are taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from flowrt.runtime import ReloadFailed, Runtime, hangs, lifecycle, reload, runtime
from tests.runtime.conftest import Bench
from tests.runtime.test_faults import node, on_another_thread, started, until
from tests.runtime.test_watch import Watched

HANGS = '''
"""hangs: waits in a hook until a file is there."""

import time
from pathlib import Path
from typing import Annotated

from flowrt import Record, SideInput, Transform, setting


class Hangs(Transform):
    """Hang in a hook."""

    hook: str = ""
    label: str = ""
    place: Annotated[str, setting("Where.", restart=True)] = ""
    more: list[SideInput] = []

    def open(self, context) -> None:
        self.calls = []
        self._maybe("open")

    def reconfigured(self, changed) -> None:
        self.calls.append(self.label)
        self._maybe("reconfigured")

    def process(self, record: Record) -> Record:
        return self._made(record) if self.hook == "process" else record

    def _made(self, record):
        yield record
        self._maybe("process")

    def on_more(self, record: Record) -> None:
        self._maybe("on_more")

    def export_state(self):
        self._maybe("export_state")
        return None

    def finish(self):
        self._maybe("finish")
        yield from ()

    def close(self) -> None:
        self._maybe("close")

    def status(self):
        self._maybe("status")
        return {}

    def _maybe(self, hook: str) -> None:
        if hook == self.hook:
            while not (Path(__file__).parent / "go").exists():
                time.sleep(0.01)
'''
FLOW = """
    count: {type: numbers, n: 1000000, every_s: 0.005}
    odd: {type: hangs, from: count, SETTINGS}
    end: {type: keep, from: odd}
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds in place of half minutes."""
    monkeypatch.setattr(hangs, "SLOW_S", 0.2)
    monkeypatch.setattr(hangs, "TICK_S", 0.02)
    monkeypatch.setattr(reload, "SLOW_S", 0.2)
    monkeypatch.setattr(reload, "OPEN_S", 1.0)
    for name in ("FINISH_S", "CLOSE_S", "RECONFIGURE_S", "LEAST_S"):
        monkeypatch.setattr(lifecycle, name, 0.5)
    for name in ("FINISH_S", "RECONFIGURE_S", "LEAST_S"):
        monkeypatch.setattr(reload, name, 0.5)
    for name in ("FINISH_S", "RECONFIGURE_S"):
        monkeypatch.setattr(runtime, name, 0.5)


@pytest.fixture
def at_work(bench: Bench) -> Iterator[Bench]:
    """A bench whose nodes go on at the end."""
    node(bench, "hangs", HANGS)
    yield bench
    go(bench)


def go(bench: Bench) -> None:
    (bench.folder / "nodes" / "go").touch()


def flow(settings: str) -> str:
    return FLOW.replace("SETTINGS", settings)


def processes(running: Runtime) -> None:
    before = running.runners["end"].n_in
    until(lambda: running.runners["end"].n_in > before + 3)


def is_named(running: Runtime, hook: str) -> bool:
    return any("odd" in text and f"'{hook}'" in text and "nodes/hangs.py:" in text for text in running.trouble())


@pytest.mark.parametrize("hook", ["open", "reconfigured", "export_state"])
def test_fault_04_a_reload_gives_up_a_hook_that_hangs_and_later_edits_are_taken(
    at_work: Bench, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    old = "label: a" if hook != "export_state" else "label: a, hook: export_state"
    new = {"open": "label: a, hook: open, place: b", "reconfigured": "label: b, hook: reconfigured"}
    running = started(at_work, flow(old))
    edit = at_work.flow(flow(new.get(hook, "label: a, hook: export_state, place: b")))
    failure: list[BaseException | None] = []
    editing = threading.Thread(target=lambda: failure.append(on_another_thread(lambda: at_work.edit_to(running, edit))))
    editing.start()
    until(lambda: is_named(running, hook))
    editing.join(10)
    assert isinstance(failure[0], ReloadFailed)
    assert failure[0].node == "odd"
    assert f"'{hook}' did not come back within" in str(failure[0])
    processes(running)
    assert any(f"odd has been in '{hook}'" in text for text in caplog.messages)
    at_work.edit(running, flow(old) + "more: {type: keep, from: odd}")
    processes(running)
    assert is_named(running, hook), "as long as it hangs"
    go(at_work)
    until(lambda: not running.trouble())
    until(lambda: any(f"odd: '{hook}' came back after" in text for text in caplog.messages))


def test_fault_04_a_node_whose_reconfigured_came_back_late_is_as_the_flow_says(at_work: Bench) -> None:
    running = started(at_work, flow("label: a"))
    with pytest.raises(ReloadFailed, match="did not come back"):
        at_work.edit(running, flow("label: b, hook: reconfigured"))
    odd = running.runners["odd"].node
    assert (odd.label, odd.hook) == ("a", "")  # type: ignore[attr-defined]  # its own settings
    with pytest.raises(ReloadFailed, match="an earlier 'reconfigured' has not come back"):
        at_work.edit(running, flow("label: c"))
    go(at_work)
    until(lambda: odd.calls == ["b", "a"])  # type: ignore[attr-defined]  # called again, with the settings of the running flow
    at_work.edit(running, flow("label: c"))
    assert odd.calls == ["b", "a", "c"]  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize("hook", ["finish", "close"])
def test_fault_04_a_node_that_hangs_as_it_leaves_is_left_behind(at_work: Bench, hook: str) -> None:
    running = started(at_work, flow(f"hook: {hook}"))
    rest = "count: {type: numbers, n: 1000000, every_s: 0.005}\nend: {type: keep, from: count}"
    began = time.monotonic()
    at_work.edit(running, rest)
    assert time.monotonic() - began < 5
    assert is_named(running, hook)
    processes(running)
    assert running.ledger()["balanced"]
    go(at_work)
    until(lambda: not running.trouble())


@pytest.mark.parametrize("hook", ["finish", "close"])
def test_fault_04_a_stop_goes_on_without_a_node_that_hangs_and_names_it(at_work: Bench, hook: str) -> None:
    running = started(at_work, flow(f"hook: {hook}") + "out: {type: letters, from: odd}")
    processes(running)
    assert on_another_thread(running.stop) is None
    (left,) = running.left_behind(0.1)
    assert left.startswith(f"odd has been in '{hook}'")
    assert "(at nodes/hangs.py:" in left
    assert at_work.journal.pending("out") == 0


@pytest.mark.parametrize("hook", ["process", "on_more"])
def test_fault_04_the_node_that_hangs_is_named_and_not_the_source_alone(
    at_work: Bench, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    running = started(at_work, flow(f"hook: {hook}, more: [count]"))
    until(lambda: any(f"odd is in '{hook}' (at nodes/hangs.py:" in text for text in running.trouble()))
    until(lambda: any("count has been busy with one message" in text for text in caplog.messages))
    go(at_work)
    until(lambda: not running.trouble())
    until(lambda: any(text.startswith("count goes on after") for text in caplog.messages))


def test_fault_04_a_status_that_hangs_is_named(at_work: Bench) -> None:
    running = started(at_work, flow("hook: status"))
    running.status()
    until(lambda: is_named(running, "status"))


def test_fault_04_a_result_of_inference_that_never_comes_is_named(bench: Bench) -> None:
    running = started(
        bench,
        "count: {type: numbers, n: 9}\nslow: {type: think, from: count, takes_s: 1.5}\nend: {type: keep, from: slow}",
    )
    until(lambda: any("slow is in 'collect' (at nodes/think.py:" in text for text in running.trouble()))
    assert not any("slow is in 'submit'" in text for text in running.trouble())
    running.workers["count"].stop()


def test_fault_04_a_source_that_hangs_as_it_opens_again_keeps_no_edit_waiting(bench: Bench) -> None:
    node(
        bench,
        "flaky",
        '"""flaky: fails, and hangs when it opens again."""\n\nimport time\nfrom collections.abc import Iterator\nfrom pathlib import Path\n\n'
        "from flowrt import Record, Source\n\n\nclass Flaky(Source):\n"
        '    """Fail once."""\n\n    label: str = ""\n\n    def open(self, context):\n        here = Path(__file__).parent\n'
        '        while (here / "failed").exists() and not (here / "go").exists():\n            time.sleep(0.01)\n\n'
        "    def produce(self) -> Iterator[Record]:\n        here = Path(__file__).parent\n"
        '        if not (here / "failed").exists():\n            (here / "failed").touch()\n            raise RuntimeError("once")\n'
        '        yield Record(time_s=1.0, data={"number": self.label})\n',
    )
    lines = "flaky: {type: flaky, label: a, restart: {backoff_s: 0.01}}\nend: {type: keep, from: flaky}"
    running = started(bench, lines)
    until(lambda: any("flaky has been in 'open'" in text for text in running.trouble()))
    bench.edit(running, lines.replace("label: a", "label: b"))
    go(bench)
    assert running.wait(10)
    (record,) = running.runners["end"].node.seen  # type: ignore[attr-defined]  # of the test's node
    assert record.data["number"] == "b", "with the settings of the edit, and not those that it began with"


def test_fault_04_an_edit_takes_the_place_of_one_whose_node_hangs_in_open(
    at_work: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "OPEN_S", 60.0)
    watched = Watched(at_work, "auto")
    try:
        text = at_work.path.read_text()
        at_work.path.write_text(text + "  odd: {type: hangs, from: sum, hook: open}\n  last: {type: keep, from: odd}\n")
        until(lambda: any("odd has been in 'open'" in said for said in watched.runtime.trouble()))
        at_work.path.write_text(text.replace("type: total", "type: total, factor: 3"))
        until(lambda: [report.ok for report in watched.reports] == [False, True], 10)
        assert "'open' did not come back" in watched.reports[0].message
    finally:
        watched.watcher.stop()


def test_fault_04_an_edit_takes_the_place_of_one_whose_module_hangs_at_import(
    at_work: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowrt.watch.reloader.SLOW_S", 0.2)
    node(
        at_work,
        "endless",
        '"""endless: never ends to be imported."""\n\nimport time\nfrom pathlib import Path\n\n'
        'while not (Path(__file__).parent / "go").exists():\n    time.sleep(0.01)\n',
    )
    watched = Watched(at_work, "auto")
    try:
        text = at_work.path.read_text()
        at_work.path.write_text(text + "  odd: {type: endless, from: sum}\n  last: {type: keep, from: odd}\n")
        until(lambda: any("'load'" in said and "nodes/endless.py:" in said for said in watched.runtime.trouble()))
        at_work.path.write_text(text.replace("type: total", "type: total, factor: 3"))
        until(lambda: [report.ok for report in watched.reports] == [False, True], 10)
    finally:
        watched.watcher.stop()
