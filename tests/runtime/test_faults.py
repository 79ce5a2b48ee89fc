"""Faults found in the field that are the runtime's to contain: of nodes' hooks, of wrong results, of sources, of reloads."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowrt.config import load
from flowrt.diagnostics import FlowError
from flowrt.runtime import ReloadFailed, Runtime
from flowrt.system.threads import text_of
from flowrt.watch import Reloader
from tests.runtime.conftest import Bench
from tests.runtime.test_watch import Watched, with_factor

QUITS = '''
"""quits: raises what ends a program, in the hook that it is told to."""

from flowrt import Record, SideInput, Transform


class Bad(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


RAISED = {"exit": SystemExit(0), "keyboard": KeyboardInterrupt(), "generator": GeneratorExit(), "text": Bad(), "long": RuntimeError("x" * 10_000_000)}


class Quits(Transform):
    """Raises in a hook."""

    hook: str = ""
    what: str = "exit"
    more: list[SideInput] = []

    def process(self, record: Record) -> Record:
        self._maybe("process")
        return record

    def on_more(self, record: Record) -> None:
        self._maybe("on_more")

    def finish(self):
        self._maybe("finish")
        return ()

    def close(self) -> None:
        self._maybe("close")

    def status(self):
        self._maybe("status")
        return {"fine": True}

    def open(self, context) -> None:
        self._maybe("open")

    def reconfigured(self, changed) -> None:
        self._maybe("reconfigured")

    def export_state(self):
        self._maybe("export_state")
        return None

    def _maybe(self, hook: str) -> None:
        if hook == self.hook:
            raise RAISED[self.what]
'''
FLOW = """
    count: {type: numbers, n: 1000000, every_s: 0.001}
    quits: {type: quits, from: count, more: [count], SETTINGS}
    end: {type: keep, from: quits}
"""
ENDINGS = ["exit", "keyboard", "generator", "text", "long"]


def node(bench: Bench, name: str, text: str) -> None:
    (bench.folder / "nodes" / f"{name}.py").write_text(text)


def until(condition: Callable[[], object], within_s: float = 15.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def started(bench: Bench, nodes: str) -> Runtime:
    runtime = bench.runtime(nodes)
    runtime.start()
    return runtime


def on_another_thread(action: Callable[[], object]) -> BaseException | None:
    """As `flowrt run` calls it: on the main thread a KeyboardInterrupt would be somebody's Ctrl-C."""
    raised: list[BaseException] = []

    def act() -> None:
        try:
            action()
        except BaseException as error:  # whatever it is, the test looks at it
            raised.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    return raised[0] if raised else None


@pytest.mark.parametrize("what", ENDINGS)
@pytest.mark.parametrize("hook", ["process", "on_more", "finish", "close", "status"])
def test_fault_02_what_ends_a_program_is_the_fault_of_the_node_that_raises_it(
    bench: Bench, hook: str, what: str
) -> None:
    node(bench, "quits", QUITS)
    runtime = started(bench, FLOW.replace("SETTINGS", f"hook: {hook}, what: {what}"))
    until(lambda: runtime.runners["count"].n_out > 20)
    status = runtime.status()
    assert len(msgspec.json.encode(status)) < 100_000
    assert on_another_thread(runtime.stop) is None
    quits, count = runtime.runners["quits"], runtime.runners["count"]
    assert (quits.errors > 0) == (hook in ("process", "on_more", "finish")), "counted where a message was concerned"
    assert count.errors == 0
    assert runtime.ledger()["balanced"], runtime.ledger()
    assert len(quits.last_error) < 600
    if hook == "status":
        assert "can't be shown" in status["nodes"]["quits"]["status"]["error"]


@pytest.mark.parametrize("what", ENDINGS)
@pytest.mark.parametrize("hook", ["open", "reconfigured", "export_state"])
def test_fault_02_it_refuses_a_reload_and_the_flow_goes_on(bench: Bench, hook: str, what: str) -> None:
    node(bench, "quits", QUITS)
    runtime = started(bench, FLOW.replace("SETTINGS", "hook: '', what: exit"))
    if hook == "open":
        runtime = started(
            bench, FLOW.replace("quits: {type: quits", "quits: {type: relay").replace(", more: [count], SETTINGS", "")
        )
    if hook == "export_state":
        bench.edit(runtime, FLOW.replace("SETTINGS", f"hook: {hook}, what: {what}"))
        node(bench, "quits", QUITS + "\n# edited\n")
    flow = bench.flow(FLOW.replace("SETTINGS", f"hook: {hook}, what: {what}"))
    error = on_another_thread(lambda: bench.edit_to(runtime, flow))
    assert isinstance(error, ReloadFailed)
    assert error.node == "quits"
    assert len(str(error)) < 700
    before = runtime.runners["end"].n_in
    until(lambda: runtime.runners["end"].n_in > before + 5)


LEAVES = '''
"""leaves: a source that raises what ends a program."""

from collections.abc import Iterator
from typing import ClassVar

from flowrt import Record, Source


class Leaves(Source):
    """Count, then leave."""

    endless: ClassVar[bool] = True
    what: str = "exit"

    def produce(self) -> Iterator[Record]:
        for number in range(3):
            yield Record(time_s=float(number), data={"number": number})
        raise {"exit": SystemExit(0), "keyboard": KeyboardInterrupt(), "generator": GeneratorExit()}[self.what]
'''


@pytest.mark.parametrize("what", ["exit", "keyboard", "generator"])
def test_fault_05_a_source_that_is_given_up_ends_the_run_where_nothing_is_left_to_do(bench: Bench, what: str) -> None:
    node(bench, "leaves", LEAVES)
    runtime = started(
        bench,
        f"count: {{type: leaves, what: {what}, restart: {{max: 1, backoff_s: 0.01}}}}\nend: {{type: keep, from: count}}",
    )
    assert runtime.wait(15), "although the source is one without an end"
    assert runtime.failed_sources == ["count"]
    assert runtime.status()["nodes"]["count"]["failed"]
    assert len(runtime.runners["end"].node.seen) == 6
    runtime.stop()
    assert runtime.ledger()["balanced"]


@pytest.mark.parametrize("backoff_s", ["1e18", "61", "-1", ".nan", ".inf"])
def test_fault_05_the_back_off_of_a_source_is_bounded(bench: Bench, backoff_s: str) -> None:
    with pytest.raises(FlowError):
        bench.flow(f"count: {{type: numbers, restart: {{backoff_s: {backoff_s}}}}}\nend: {{type: keep, from: count}}")


WRONG = '''
"""wrong: gives what is no message."""

from flowrt import Record, Transform


class Bad(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class Endless:
    def __iter__(self):
        raise ValueError("not to be gone through")


class Wrong(Transform):
    """Gives what is no message for every third, and the message for the others."""

    what: str

    def process(self, record: Record) -> Record | None:
        if record.data["number"] % 3:
            return record
        if self.what == "raise":
            raise Bad
        return {"number": 42, "text": "abc", "bytes": b"abc", "none": [None], "second": [record, 42],
                "dict": {"a": 1}, "class": Record, "endless": Endless()}[self.what]
'''
KINDS = {
    "number": "TypeError: returned int 42 in place of a message", "text": "str 'abc'", "bytes": "bytes b'abc'",
    "none": "returned None at [0]", "second": "int 42 at [1]", "dict": "str 'a' at [0]", "class": "<class 'flowrt.message.Record'>",
    "endless": "ValueError: not to be gone through", "raise": "Bad: (its text raises RuntimeError)",
}  # fmt: skip


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize("what", KINDS)
def test_fault_12_a_result_that_is_no_message_is_charged_to_the_node(bench: Bench, what: str, shared: bool) -> None:
    node(bench, "wrong", WRONG)
    sources = (
        "one: {type: numbers, n: 90}\ntwo: {type: numbers, n: 90}\n" if shared else "one: {type: numbers, n: 90}\n"
    )
    inputs = "[one, two]" if shared else "one"
    runtime = started(
        bench,
        f"{sources}wrong: {{type: wrong, from: {inputs}, what: {what}}}\nend: {{type: keep, from: wrong}}\nf: {{type: caught, from: wrong}}",
    )
    assert runtime.wait(15)
    runtime.stop()
    messages = 180 if shared else 90
    row = runtime.status()["nodes"]["wrong"]
    assert (row["in"], row["out"], row["errors"]) == (messages, messages * 2 // 3, messages // 3)
    assert KINDS[what] in row["last_error"]
    assert runtime.runners["one"].errors == 0, "not the source's"
    assert len(runtime.runners["end"].node.seen) == messages * 2 // 3, "nothing of a wrong list goes on"
    assert len(runtime.runners["f"].node.seen) == messages // 3
    assert runtime.ledger()["balanced"], runtime.ledger()


def test_fault_12_a_result_of_inference_too(bench: Bench) -> None:
    text = (bench.folder / "nodes" / "think.py").read_text()
    node(bench, "think", text.replace("return pending.result()", "return [pending.result(), 42]"))
    runtime = started(
        bench, "count: {type: numbers, n: 20}\nthink: {type: think, from: count}\nend: {type: keep, from: think}"
    )
    assert runtime.wait(15)
    runtime.stop()
    assert runtime.runners["think"].errors == 20
    assert "int 42 at [1]" in runtime.runners["think"].last_error
    assert runtime.ledger()["balanced"], runtime.ledger()


def test_fault_13_what_a_source_dropped_by_itself_is_in_the_ledger(bench: Bench) -> None:
    text = (bench.folder / "nodes" / "pictures.py").read_text()
    own = "            @property\n            def dropped(self) -> int:\n                return self.__dict__.get('lost', 0)\n\n"
    text = text.replace(
        "    def produce(self)",
        own.replace("            @", "    @")
        .replace("            def", "    def")
        .replace("                return", "        return")
        + "    def produce(self)",
    )
    node(bench, "pictures", text.replace("yield Frame(", "self.lost = 2 * number\n            yield Frame("))
    runtime = started(bench, "camera: {type: pictures, n: 50, every_s: 0.002}\nend: {type: keep, from: camera}")
    assert runtime.wait(15)
    runtime.stop()
    row = runtime.status()["nodes"]["camera"]
    assert row["in"] == 52 + 98
    assert row["dropped"] >= 98
    assert row["in"] == row["out"] + row["dropped"]
    assert runtime.ledger()["balanced"]


ODD = '''
"""odd: a status that can't be shown."""

import threading

from flowrt import M, Transform


class Odd(Transform):
    """Says something odd of itself."""

    what: str

    def status(self):
        circle = {}
        circle["circle"] = circle
        if self.what == "hangs":
            threading.Event().wait()
        return {"object": {"thing": object()}, "circle": circle, "long": {"text": "x" * 10_000_000}, "keys": {(1, 2): 3},
                "none": None, "nan": {"x": float("nan")}}[self.what]

    def process(self, message: M) -> M:
        return message
'''


@pytest.mark.parametrize("what", ["object", "circle", "long", "keys", "none", "nan", "hangs"])
def test_fault_17_a_status_that_cannot_be_shown_breaks_nobody_elses(bench: Bench, what: str) -> None:
    node(bench, "odd", ODD)
    runtime = started(
        bench,
        f"count: {{type: numbers, n: 1000000, every_s: 0.01}}\nodd: {{type: odd, from: count, what: {what}}}\nend: {{type: keep, from: odd}}",
    )
    for _ in range(3):
        began = time.monotonic()
        status = runtime.status()
        assert time.monotonic() - began < 5
        assert len(msgspec.json.encode(msgspec.to_builtins(status, str_keys=True))) < 50_000
    assert status["nodes"]["odd"]["in"] >= 0


def test_fault_21_a_flow_renamed_while_it_runs_is_refused_and_said(bench: Bench) -> None:
    nodes = "count: {type: numbers, n: 1000000, every_s: 0.01}\nend: {type: keep, from: count}"
    runtime = started(bench, nodes)
    reloader = Reloader(runtime)
    bench.flow(nodes, head="flow: other\nsite: here\n")
    report = reloader.reload("renamed")
    assert not report.ok
    assert "the name of a running flow can't change (bench → other)" in report.message
    assert runtime.diagnostics
    bench.flow(nodes)
    assert reloader.reload("named as before").message == "nothing changes"
    assert not runtime.diagnostics


def test_fault_21_fps_is_that_of_the_last_seconds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.runtime.source.FPS_S", 0.3)
    runtime = started(
        bench,
        "camera: {type: pictures, n: 60, every_s: 0.01}\nclock: {type: timer, every_s: 100}\nend: {type: keep, from: [camera, clock]}",
    )

    def fps() -> Any:
        return runtime.status()["nodes"]["camera"].get("fps", 0)

    until(lambda: fps() > 10)
    until(lambda: fps() == 0, within_s=5)


# -- reloads ----------------------------------------------------------------------------------------------------------


HUGE = "0x" + "f" * 100_000


@pytest.fixture
def watched(bench: Bench) -> Any:
    watched = Watched(bench, "auto")
    yield watched
    watched.watcher.stop()


def follows(watched: Watched, factor: int) -> None:
    watched.path.write_text(with_factor(watched, factor))
    watched.expect(lambda: watched.factor() == factor, within_s=20)


def test_fault_02_a_number_of_100000_digits_refuses_the_edit_and_the_next_is_followed(watched: Watched) -> None:
    watched.path.write_text(with_factor(watched, 2).replace("factor: 2", f"factor: {HUGE}"))
    watched.expect(lambda: watched.reports and not watched.reports[-1].ok, within_s=20)
    follows(watched, 3)


def test_fault_02_whatever_a_nodes_file_raises_refuses_the_edit(watched: Watched) -> None:
    file = watched.bench.folder / "nodes" / "total.py"
    good = file.read_text()
    for bad in ("import sys\nsys.exit(0)\n", "raise KeyboardInterrupt\n"):
        file.write_text(bad + good)
        watched.expect(lambda: watched.reports and not watched.reports[-1].ok, within_s=20)
    file.write_text(good)
    follows(watched, 4)


def test_fault_02_a_folder_that_is_removed_and_put_back_ends_no_watching(watched: Watched) -> None:
    nodes, aside = watched.bench.folder / "nodes", watched.bench.folder.parent / "aside"
    shutil.copytree(nodes, aside)
    shutil.rmtree(nodes)
    watched.expect(lambda: watched.reports and not watched.reports[-1].ok, within_s=20)
    shutil.copytree(aside, nodes)
    follows(watched, 5)
    file = nodes / "total.py"
    node = watched.runtime.runners["sum"].node
    file.write_text(file.read_text() + "\n# edited\n")
    watched.expect(lambda: watched.runtime.runners["sum"].node is not node, within_s=20)


STUBBORN = '''
"""stubborn: refuses other schemas."""

import time

from flowrt import M, Transform


class Stubborn(Transform):
    """Raises when the contract changes, or is busy."""

    what: str

    def reconfigured(self, changed) -> None:
        if "contract" in changed and self.what == "raises":
            raise SystemExit("no")

    def process(self, message: M) -> M:
        if self.what == "busy":
            time.sleep(30)
        return message
'''


@pytest.mark.parametrize("what", ["raises", "busy"])
def test_fault_02_edited_schemas_that_a_node_refuses_or_is_too_busy_for(
    bench: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node(bench, "stubborn", STUBBORN)
    schemas = bench.folder / "schemas"
    schemas.mkdir()
    shipped = Path(__file__).parents[2] / "schemas" / "measurements" / "system_health.schema.json"
    text = shipped.read_text().replace("system_health", "own_health")
    (schemas / "own_health.schema.json").write_text(text)
    nodes = f"count: {{type: numbers, n: 2, every_s: 0.01}}\nslow: {{type: stubborn, from: count, what: {what}}}\nend: {{type: keep, from: slow}}\nhealth: {{type: health_probe, every_s: 60}}\nout: {{type: influx_out, from: health}}"
    runtime = bench.runtime(nodes)
    if what == "raises":
        runtime.start()
    else:
        original = Runtime.paused
        monkeypatch.setattr(Runtime, "paused", lambda self, timeout_s=0.3: original(self, timeout_s))
        runtime.start()
        until(lambda: runtime.runners["count"].n_in > 0)
    before = runtime.contract
    reloader = Reloader(runtime)
    (schemas / "own_health.schema.json").write_text(text.replace("own_health", "our_health"))
    report: list[Any] = []
    assert on_another_thread(lambda: report.append(reloader.reload("schemas edited"))) is None
    assert not report[0].ok
    assert ("slow refuses the edited schemas" if what == "raises" else "has been busy") in report[0].message
    assert runtime.contract is before
    assert runtime.runners["end"].context.contract is before
    assert load(bench.path).name == "bench"


LEAVES_AT_LOAD = {
    "module": "import sys\n\nsys.exit(0)\n",
    "keyboard": "raise KeyboardInterrupt\n",
    "keyboard in check": "    def check(self, view):\n        raise KeyboardInterrupt\n",
    "check": "    def check(self, view):\n        raise SystemExit(0)\n",
    "files": "    def files(self, folder):\n        raise SystemExit(0)\n",
    "post_init": "    def __post_init__(self):\n        raise SystemExit(0)\n",
}


@pytest.mark.parametrize("where", LEAVES_AT_LOAD)
def test_fault_02_what_ends_a_program_is_a_problem_of_the_flow_file_at_load(bench: Bench, where: str) -> None:
    head = '"""early: leaves early."""\n\nfrom flowrt import M, Transform\n\n'
    body = '\nclass Early(Transform):\n    """Leave."""\n\n    def process(self, message: M) -> M:\n        return message\n\n'
    text = LEAVES_AT_LOAD[where]
    node(bench, "early", head + text + body if where in ("module", "keyboard") else head + body + text)
    with pytest.raises(FlowError, match="early"):
        bench.flow("count: {type: numbers}\nearly: {type: early, from: count}\nend: {type: keep, from: early}")


# -- threads ----------------------------------------------------------------------------------------------------------


def test_fault_02_a_thread_that_a_fault_ended_is_in_status_health_and_watchdog(bench: Bench) -> None:
    runtime = started(
        bench,
        "count: {type: numbers, n: 1000000, every_s: 0.01}\nhealth: {type: health_probe, every_s: 0.05}\nend: {type: keep, from: [count, health]}",
    )
    assert runtime.progresses()
    assert not runtime.trouble()

    def fail() -> None:
        raise SystemExit("gone")

    runtime.supervisor.thread("lamplighter", fail).start()
    until(lambda: not runtime.progresses())
    status = runtime.status()
    assert status["trouble"] == ["the thread 'lamplighter' ended: SystemExit: gone"]
    assert "SystemExit" in next(row for row in status["threads"] if row["name"] == "lamplighter")["traceback"]
    said: list[Any] = runtime.runners["end"].node.seen  # type: ignore[attr-defined]
    until(lambda: any("lamplighter" in str(getattr(message, "reasons", "")) for message in list(said)))


def test_fault_04_a_worker_that_is_stuck_stops_the_watchdog_and_readiness(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowrt.runtime.hangs.SLOW_S", 0.1)
    monkeypatch.setattr("flowrt.runtime.hangs.STANDSTILL_S", 0.2)
    node(
        bench,
        "stuck",
        '"""stuck: never comes back."""\n\nimport time\n\nfrom flowrt import M, Transform\n\n\nclass Stuck(Transform):\n'
        '    """Wait."""\n\n    def process(self, message: M) -> M:\n        time.sleep(4)\n        return message\n',
    )
    runtime = started(
        bench, "count: {type: numbers, n: 1}\nstuck: {type: stuck, from: count}\nend: {type: keep, from: stuck}"
    )
    until(lambda: not runtime.progresses())
    trouble = runtime.status()["trouble"][0]
    assert "count has been busy with one message" in trouble
    assert "stuck is in 'process' (at nodes/stuck.py:12)" in trouble
    assert runtime.wait(15)
    until(runtime.progresses)


def test_fault_02_what_a_node_raises_does_not_steer_the_terminal() -> None:
    assert text_of(ValueError("a\nforged\x1b[2Jline\u202e")) == "a forged [2Jline"
