"""Repeated blocks in a running flow: another entry starts its own nodes only, and the memory of the others stays."""

from __future__ import annotations

from flowrt.config import load
from flowrt.watch import Reloader
from tests.runtime.conftest import Bench
from tests.runtime.test_faults import until

HEAD = "flow: bench\nsite: here\n"
FLOW = """nodes:
  each:
    for_each: {place: [north, east]}
    nodes:
      count: {type: numbers, n: 1000000, every_s: 0.001}
      sum: {type: total, from: count}
  end: {type: keep, from: sum}
"""


def test_another_entry_starts_its_own_nodes_only_and_memory_stays(bench: Bench) -> None:
    bench.path.write_text(HEAD + FLOW)
    runtime = bench.runtime(load(bench.path))
    runtime.start()
    until(lambda: runtime.runners["north_sum"].node._sum > 10)
    nodes = {name: runner.node for name, runner in runtime.runners.items()}
    reloader = Reloader(runtime)

    bench.path.write_text(HEAD + FLOW.replace("[north, east]", "[south, north, east]"))
    report = reloader.reload("a third place")
    assert report.ok
    assert report.plan["added"] == ["south_count", "south_sum"]
    assert report.plan["rewired"] == ["end"]
    assert {name: runtime.runners[name].node is node for name, node in nodes.items()} == dict.fromkeys(nodes, True)
    assert runtime.runners["north_sum"].node._sum > 10
    assert {"south_count", "south_sum"} <= runtime.status()["nodes"].keys()
    until(
        lambda: {m.camera_id for m in runtime.runners["end"].node.seen} == {"north_count", "east_count", "south_count"}
    )

    before = runtime.runners["east_sum"].node._sum
    renamed = FLOW.replace("[north, east]", "[east]").replace("from: sum", "from: total")
    bench.path.write_text(HEAD + renamed.replace("sum: {", "total: {renamed_from: sum, "))
    report = reloader.reload("one place, and another name")
    assert report.ok
    assert sorted(report.plan["removed"]) == ["north_count", "north_sum", "south_count", "south_sum"]
    assert runtime.runners["east_total"].node is nodes["east_sum"]
    assert runtime.runners["east_total"].node._sum >= before
    runtime.stop()


def test_a_mistake_in_a_block_leaves_the_flow_running_and_names_text_and_use(bench: Bench) -> None:
    bench.path.write_text(HEAD + FLOW)
    runtime = bench.runtime(load(bench.path))
    runtime.start()
    bench.path.write_text(HEAD + FLOW.replace("type: total,", "type: total, fctor: 2,"))
    report = Reloader(runtime).reload("a typing error")
    assert not report.ok
    [problem] = runtime.diagnostics
    assert problem["line"] == 8
    assert [use["what"] for use in problem["uses"]] == ["place: north", "place: east"]
    runtime.stop()
