"""Watching: every way in which an edit reaches a file, and what must not count as one."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowrt.config import load
from flowrt.flow import Flow
from flowrt.runtime import Runtime
from flowrt.watch import Reload, Reloader, Watcher
from flowrt.watch.watcher import links_to
from tests.runtime.conftest import Bench

NODES = """
    count: {type: numbers, n: 10000000, every_s: 0.002}
    sum: {type: total, from: count}
    end: {type: keep, from: sum}
"""


class Watched:
    """A running flow whose file is watched."""

    def __init__(self, bench: Bench, mode: str, flow: Flow | None = None) -> None:
        self.bench = bench
        self.runtime: Runtime = bench.runtime(flow or NODES)
        self.reports: list[Reload] = []
        self.reloader = Reloader(self.runtime, on_reload=self.reports.append)
        self.watcher = Watcher(self.reloader, mode, poll_s=0.1)  # type: ignore[arg-type]
        self.runtime.start()
        self.watcher.start()

    @property
    def path(self) -> Path:
        return self.bench.path

    def expect(self, condition: Callable[[], object], within_s: float = 5.0) -> None:
        end = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end, f"not within {within_s} s; reports: {self.reports}"
            time.sleep(0.005)

    def factor(self) -> float:
        return float(self.runtime.runners["sum"].node.factor)  # type: ignore[attr-defined]


@pytest.fixture(params=["auto", "poll"])
def watched(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Watched]:
    watched = Watched(bench, request.param)
    yield watched
    watched.watcher.stop()


def with_factor(watched: Watched, factor: int) -> str:
    """The flow file with another factor."""
    lines = NODES.replace("type: total", f"type: total, factor: {factor}").replace("\n    ", "\n  ")
    return f"flow: bench\nsite: here\nnodes:{lines}\n"


def test_written_in_place(watched: Watched) -> None:
    watched.path.write_text(with_factor(watched, 5))
    watched.expect(lambda: watched.factor() == 5 and watched.reports)
    assert watched.reports[-1].plan["reconfigured"] == ["sum"]


def test_saved_by_rename_as_editors_do(watched: Watched) -> None:
    for factor in (2, 3):
        fresh = watched.path.with_suffix(".tmp")
        fresh.write_text(with_factor(watched, factor))
        fresh.replace(watched.path)
        watched.expect(lambda factor=factor: watched.factor() == factor)


def test_a_save_without_a_change_does_nothing(watched: Watched) -> None:
    watched.path.write_bytes(watched.path.read_bytes())
    time.sleep(0.5)
    assert watched.reports == []


def test_many_writes_within_the_debounce_are_one_reload(watched: Watched) -> None:
    for factor in range(2, 12):
        watched.path.write_text(with_factor(watched, factor))
    watched.expect(lambda: watched.factor() == 11)
    time.sleep(0.3)
    assert len(watched.reports) <= 3


def test_a_file_cut_short_and_then_filled_is_one_edit(watched: Watched) -> None:
    text = with_factor(watched, 4)
    with watched.path.open("w") as file:
        file.flush()
        time.sleep(0.12)
        file.write(text)
    watched.expect(lambda: watched.factor() == 4)
    assert all(report.ok for report in watched.reports), watched.reports


def test_a_broken_edit_leaves_the_flow_running_until_it_is_mended(watched: Watched) -> None:
    good = with_factor(watched, 1)
    watched.path.write_text(good.replace("type: total", "type: totl"))
    watched.expect(lambda: watched.runtime.diagnostics)
    diagnostic = watched.runtime.diagnostics[0]
    assert diagnostic["line"] == 5
    assert diagnostic["column"] > 0
    assert "did you mean 'total'?" in diagnostic["hint"]
    before = watched.runtime.runners["end"].n_in
    watched.expect(lambda: watched.runtime.runners["end"].n_in > before + 10)
    watched.path.write_text(good)
    watched.expect(lambda: not watched.runtime.diagnostics)


def test_the_file_deleted_and_put_back(watched: Watched) -> None:
    text = with_factor(watched, 7)
    watched.path.unlink()
    watched.expect(lambda: watched.runtime.diagnostics)
    assert "the flow file is gone" in watched.runtime.diagnostics[0]["message"]
    watched.path.write_text(text)
    watched.expect(lambda: watched.factor() == 7 and not watched.runtime.diagnostics)


def test_node_code_beside_the_flow(watched: Watched) -> None:
    code = watched.bench.folder / "nodes" / "total.py"
    good = code.read_text()
    old = watched.runtime.runners["sum"].node
    code.write_text("def broken(:\n" + good)
    watched.expect(lambda: watched.runtime.diagnostics)
    assert "total.py" in watched.runtime.diagnostics[0]["message"] + watched.runtime.diagnostics[0]["file"]
    assert watched.runtime.runners["sum"].node is old
    code.write_text(good.replace("self._sum = state", "self._sum = state + 1e6"))
    watched.expect(lambda: watched.runtime.runners["sum"].node is not old)
    assert watched.runtime.runners["sum"].node._sum >= 1e6  # type: ignore[attr-defined]


READER = '''
"""reader: reads a file when it opens."""

from collections.abc import Iterable
from pathlib import Path

from flowrt import Context, M, Transform


class Reader(Transform):
    """Reads a file when it opens."""

    file: str

    def files(self, folder: Path) -> Iterable[Path]:
        yield folder / self.file

    def open(self, context: Context) -> None:
        self.found = context.path(self.file).read_bytes()[-1:]
        if self.found == b"?":
            raise ValueError("that is no model")

    def process(self, message: M) -> M:
        return message
'''


def test_a_file_that_a_node_reads_when_it_opens(bench: Bench) -> None:
    """Another content of the same size makes a new node; a touched file nothing; one that can't be used is refused."""
    (bench.folder / "nodes" / "reader.py").write_text(READER)
    model = bench.folder / "model.bin"
    body = bytes(2_000_000)
    model.write_bytes(body + b"1")
    nodes = NODES.replace("from: sum", "from: read") + "    read: {type: reader, from: sum, file: model.bin}\n"
    runtime = bench.runtime(nodes)
    runtime.start()
    reloader = Reloader(runtime)
    reader, total = runtime.runners["read"].node, runtime.runners["sum"].node
    os.utime(model, ns=(1, 1))
    assert reloader.follow("touched") is None
    assert reloader.reload("touched").message == "nothing changes"
    model.write_bytes(body + b"?")
    report = reloader.follow("a broken model")
    assert report is not None
    assert not report.ok
    assert runtime.runners["read"].node is reader
    watcher = Watcher(reloader, "auto")
    watcher.start()
    try:
        model.write_bytes(body + b"2")
        end = time.monotonic() + 10
        while runtime.runners["read"].node is reader:
            assert time.monotonic() < end, reloader.history
            time.sleep(0.01)
    finally:
        watcher.stop()
    report = next(report for report in reloader.history if report.message == "in force")
    assert report.plan["replaced"] == ["read"]
    assert report.lines[0].startswith("± read: replaced; model.bin changed")
    assert runtime.runners["read"].node.found == b"2"  # type: ignore[attr-defined]
    assert runtime.runners["sum"].node is total


@pytest.mark.skipif(os.name == "nt", reason="symlinks need rights on Windows")
def test_a_symlink_swap_as_kubernetes_does(bench: Bench) -> None:
    text = "flow: bench\nsite: here\nnodes:\n" + NODES.replace("\n    ", "\n  ")
    for name, factor in (("v1", "1"), ("v2", "9")):
        (bench.folder / name).mkdir()
        (bench.folder / name / "flow.yaml").write_text(text.replace("type: total", f"type: total, factor: {factor}"))
    (bench.folder / "..data").symlink_to("v1")
    bench.path.symlink_to("..data/flow.yaml")
    runtime = bench.runtime(load(bench.path))
    watcher = Watcher(Reloader(runtime), "auto")
    runtime.start()
    watcher.start()
    try:
        (bench.folder / "..data_tmp").symlink_to("v2")
        (bench.folder / "..data_tmp").replace(bench.folder / "..data")
        end = time.monotonic() + 5
        while runtime.runners["sum"].node.factor != 9:  # type: ignore[attr-defined]
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        watcher.stop()


@pytest.mark.skipif(os.name == "nt", reason="symlinks need rights on Windows")
def test_a_link_further_up_that_is_swapped_as_deployments_do(bench: Bench) -> None:
    text = "flow: bench\nsite: here\nnodes:\n" + NODES.replace("\n    ", "\n  ")
    for name, factor in (("v1", "1"), ("v2", "9")):
        shutil.copytree(bench.folder / "nodes", bench.folder / name / "flows" / "nodes")
        flow = bench.folder / name / "flows" / "flow.yaml"
        flow.write_text(text.replace("type: total", f"type: total, factor: {factor}"))
    (bench.folder / "current").symlink_to("v1")
    watched = Watched(bench, "auto", load(bench.folder / "current" / "flows" / "flow.yaml"))
    try:
        (bench.folder / "next").symlink_to("v2")
        (bench.folder / "next").replace(bench.folder / "current")
        watched.expect(lambda: watched.factor() == 9)
        edited = bench.folder / "v2" / "flows" / "flow.yaml"
        edited.write_text(edited.read_text().replace("factor: 9", "factor: 3"))
        watched.expect(lambda: watched.factor() == 3)
    finally:
        watched.watcher.stop()


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b/c")
    (tmp_path / "b").symlink_to("a/d")
    assert tmp_path / "a" in links_to([tmp_path / "a"])


def test_what_else_is_written_in_the_folder_holds_no_edit_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log or a journal beside the flow file is written again and again before the folder would ever be quiet."""
    monkeypatch.setattr("flowrt.watch.watcher.QUIET_S", 0.5)
    monkeypatch.setattr("flowrt.watch.watcher.WRITTEN_S", 0.5)
    watched = Watched(bench, "auto")
    over = threading.Event()

    def write_a_log() -> None:
        with (bench.folder / "flow.log").open("w") as log:
            while not over.wait(0.02):
                log.write("a line\n")
                log.flush()

    writer = threading.Thread(target=write_a_log)
    writer.start()
    try:
        watched.path.write_text(with_factor(watched, 5))
        watched.expect(lambda: watched.factor() == 5)
    finally:
        over.set()
        writer.join()
        watched.watcher.stop()


def test_a_flows_own_schemas_are_followed(bench: Bench) -> None:
    """A measurement of one's own beside the flow: edited, it counts from the next message on."""
    schemas = bench.folder / "schemas"
    schemas.mkdir()
    shipped = Path(__file__).parent.parent.parent / "schemas" / "measurements" / "system_health.schema.json"
    own = schemas / "own_health.schema.json"
    text = (
        shipped.read_text()
        .replace('"system_health"', '"own_health"')
        .replace("system_health.schema", "own_health.schema")
    )
    own.write_text(text)
    flow = bench.flow("health: {type: health_probe, every_s: 60}\nout: {type: influx_out, from: health}")
    runtime = bench.runtime(flow)
    runtime.start()
    reloader = Reloader(runtime)
    assert "own_health" not in runtime.contract.measurements, "the bench's contract is the shipped one"
    own.write_text(text.replace("own_health", "our_health"))
    report = reloader.reload("schemas edited")
    assert report.ok, report.message
    assert "our_health" in runtime.contract.measurements
    assert runtime.runners["out"].context.contract is runtime.contract
    before = runtime.contract
    assert reloader.reload("nothing edited").ok
    assert runtime.contract is before


def test_what_an_edit_may_bring_is_imported_while_the_flow_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.watch.watcher.READY_AFTER_S", 0.05)
    monkeypatch.delitem(sys.modules, "nturl2path", raising=False)
    (bench.folder / "nodes" / "heavy.py").write_text(
        '"""heavy: imports something late."""\n\nfrom flowrt import M, Transform\n\n\n'
        'class Heavy(Transform):\n    """Pass on."""\n\n    lazy = frozenset({"nturl2path", "there_is_no_such_module"})\n\n'
        "    def process(self, message: M) -> M:\n        return message\n"
    )
    watched = Watched(bench, "auto")
    try:
        watched.expect(lambda: "nturl2path" in sys.modules, within_s=20)
    finally:
        watched.watcher.stop()
