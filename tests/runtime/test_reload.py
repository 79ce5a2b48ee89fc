"""Reload: what changes, what stays, and that nothing is lost in between."""

from __future__ import annotations

import itertools
import random
import textwrap
import threading
import time

import pytest

from flowrt.config import load
from flowrt.flow import Flow
from flowrt.plan import Plan
from flowrt.runtime import ReloadFailed, Runtime
from flowrt.watch import Reloader
from tests.runtime.conftest import Bench

FLOW = """
    count: {type: numbers, n: 1000000, every_s: 0.001}
    sum: {type: total, from: count}
    end: {type: keep, from: sum}
"""


def start(bench: Bench, nodes: str) -> Runtime:
    runtime = bench.runtime(nodes)
    runtime.start()
    time.sleep(0.1)
    return runtime


def names(bench: Bench, runtime: Runtime, nodes: str) -> dict[str, list[str]]:
    return Plan.between(runtime.flow, bench.flow(nodes)).names()


def complete(runtime: Runtime, end: str = "end", without: tuple[int, ...] = (13,)) -> list[int]:
    """Every number up to the last one arrived, once and in order."""
    got = [message.data["number"] for message in runtime.runners[end].node.seen]
    assert got == [n for n in range(got[-1] + 1) if n not in without]
    return got


def test_a_setting_changes_in_place_and_memory_stays(bench: Bench) -> None:
    runtime = start(bench, FLOW)
    node = runtime.runners["sum"].node
    before = node._sum
    facts = bench.edit(runtime, FLOW.replace("type: total", "type: total, factor: 0"))
    assert runtime.runners["sum"].node is node
    assert node.factor == 0
    assert node._sum >= before > 0
    assert facts["ledger"]["balanced"]
    time.sleep(0.05)
    runtime.stop()
    complete(runtime)


def test_comments_order_and_formatting_change_nothing(bench: Bench) -> None:
    runtime = start(bench, FLOW)
    lines = [line.strip() for line in FLOW.strip().splitlines()]
    plan = Plan.between(runtime.flow, bench.flow("# a comment\n" + "\n\n".join(reversed(lines))))
    assert plan.empty
    assert plan.names()["kept"] == ["end", "sum", "count"]


def test_rewiring_restarts_nothing(bench: Bench) -> None:
    runtime = start(bench, FLOW + "relay: {type: relay, from: count}\nalso: {type: keep, from: relay}")
    nodes = {name: runner.node for name, runner in runtime.runners.items()}
    text = (
        FLOW.replace("total, from: count", "total, from: relay")
        + "relay: {type: relay, from: count}\nalso: {type: keep, from: relay}"
    )
    assert names(bench, runtime, text)["rewired"] == ["sum"]
    bench.edit(runtime, text)
    assert {name: runner.node for name, runner in runtime.runners.items()} == nodes
    time.sleep(0.05)
    runtime.stop()
    complete(runtime)
    complete(runtime, "also", ())


def test_replacing_carries_memory_over_where_the_node_can(bench: Bench) -> None:
    runtime = start(bench, FLOW)
    old = runtime.runners["sum"].node
    bench.edit(runtime, FLOW.replace("type: total", "type: total, carry: false"))
    assert runtime.runners["sum"].node is not old
    assert runtime.runners["sum"].node._sum >= old._sum > 0
    forgetful = runtime.runners["sum"].node
    bench.edit(runtime, FLOW)
    assert runtime.runners["sum"].node._sum < forgetful._sum, "export_state gave None, so it began anew"
    runtime.stop()
    complete(runtime)


def test_adding_and_removing_nodes_under_load(bench: Bench) -> None:
    runtime = start(bench, FLOW)
    for _ in range(10):
        bench.edit(
            runtime,
            FLOW
            + "extra: {type: keep, from: [sum, count]}\nmore: {type: numbers, n: 100000, every_s: 0.002}\nboth: {type: keep, from: [more, sum]}",
        )
        time.sleep(0.02)
        assert set(runtime.runners) == {"count", "sum", "end", "extra", "more", "both"}
        bench.edit(runtime, FLOW)
        assert set(runtime.runners) == {"count", "sum", "end"}
    runtime.stop()
    complete(runtime)
    assert runtime.ledger()["balanced"], runtime.ledger()


def test_a_source_is_replaced_after_it_carried_its_last_message(bench: Bench) -> None:
    runtime = start(bench, FLOW)
    bench.edit(runtime, FLOW.replace("type: numbers", "type: numbers, fail_at: -5"))
    assert runtime.runners["count"].node.fail_at == -5, "in place"
    (bench.folder / "nodes" / "numbers.py").write_text(
        (bench.folder / "nodes" / "numbers.py").read_text() + "\n# edited\n"
    )
    assert names(bench, runtime, FLOW)["replaced"] == ["count"]
    bench.edit(runtime, FLOW)
    time.sleep(0.1)
    runtime.stop()
    got = [message.data["number"] for message in runtime.runners["end"].node.seen]
    again = got.index(0, 1)
    assert got[:again] == [n for n in range(again + 1) if n != 13][:again]
    assert got[again:] == [n for n in range(len(got) - again + 1) if n != 13][: len(got) - again]
    assert runtime.ledger()["balanced"]


@pytest.mark.parametrize("setting", ["brain: b", "takes_s: 0.001"])
def test_inference_in_flight_is_finished_first(bench: Bench, setting: str) -> None:
    flow = """
        count: {type: numbers, n: 1000000, every_s: 0.0005}
        think: {type: think, from: count}
        end: {type: keep, from: think}
    """
    runtime = start(bench, flow)
    for number in range(10):
        bench.edit(runtime, flow if number % 2 else flow.replace("type: think", f"type: think, {setting}"))
        before, end = runtime.runners["end"].n_in, time.monotonic() + 20
        while runtime.runners["end"].n_in < before + 5 and time.monotonic() < end:  # more than were in flight
            time.sleep(0.002)
    runtime.stop()
    complete(runtime, without=())
    if setting.startswith("brain"):
        brains = [message.data["brain"] for message in runtime.runners["end"].node.seen]
        assert sum(a != b for a, b in itertools.pairwise(brains)) == 10, "each change once, in order"


def test_a_node_that_fails_to_open_rolls_back(bench: Bench) -> None:
    flow = FLOW.replace("from: sum", "from: fussy") + "fussy: {type: fussy, from: sum}"
    runtime = start(bench, flow)
    nodes = {name: runner.node for name, runner in runtime.runners.items()}
    with pytest.raises(ReloadFailed, match="attic is no place to open; the reload was rolled back"):
        bench.edit(runtime, flow.replace("type: fussy", "type: fussy, place: attic") + "\nnew: {type: keep, from: sum}")
    assert {name: runner.node for name, runner in runtime.runners.items()} == nodes
    time.sleep(0.05)
    runtime.stop()
    complete(runtime)


def test_a_node_that_refuses_its_settings_rolls_all_of_them_back(bench: Bench) -> None:
    flow = FLOW + "relay: {type: relay, from: count, label: old}\nother: {type: keep, from: relay}"
    runtime = start(bench, flow)
    text = flow.replace("label: old", "label: new").replace("type: total", "type: total, factor: -1")
    with pytest.raises(ReloadFailed, match="sum refuses the change: the factor must not be negative"):
        bench.edit(runtime, text)
    assert runtime.runners["relay"].node.label == "old"
    assert runtime.runners["sum"].node.factor == 1.0
    runtime.stop()
    complete(runtime)


def test_a_rename_keeps_the_node(bench: Bench) -> None:
    runtime = start(bench, FLOW)
    node = runtime.runners["sum"].node
    text = FLOW.replace("from: sum", "from: tally").replace(
        "sum: {type: total", "tally: {type: total, renamed_from: sum"
    )
    bench.edit(runtime, text)
    assert runtime.runners["tally"].node is node
    plain = FLOW.replace("sum:", "total:").replace("from: sum", "from: total")
    assert names(bench, runtime, plain)["added"] == ["total"]
    runtime.stop()
    complete(runtime)


def test_two_nodes_that_swap_names(bench: Bench) -> None:
    text = """
        count: {type: numbers, n: 1000000, every_s: 0.001}
        left: {type: relay, from: count, label: l}
        right: {type: total, from: left}
        end: {type: keep, from: right}
    """
    runtime = start(bench, text)
    swapped = """
        count: {type: numbers, n: 1000000, every_s: 0.001}
        right: {type: relay, from: count, label: l}
        left: {type: total, from: right}
        end: {type: keep, from: left}
    """
    assert set(names(bench, runtime, swapped)["replaced"]) == {"left", "right"}
    bench.edit(runtime, swapped)
    time.sleep(0.05)
    runtime.stop()
    complete(runtime)


def test_an_outbox_keeps_its_letters_through_a_reload(bench: Bench) -> None:
    flow = FLOW + "out: {type: letters, from: sum}"
    runtime = start(bench, flow)
    runtime.runners["out"].node.away = True
    time.sleep(0.05)
    code = bench.folder / "nodes" / "letters.py"
    code.write_text(code.read_text() + "\n# edited\n")
    bench.edit(runtime, flow)
    assert runtime.runners["out"].node.away is False, "a new node"
    time.sleep(0.1)
    runtime.stop()
    numbers = complete(runtime)
    assert runtime.runners["out"].node.delivered == [f"count-{n}" for n in numbers]


def test_strict_refuses_to_remove_a_sink_with_a_backlog(bench: Bench) -> None:
    flow = FLOW + "out: {type: letters, from: sum}"
    runtime = start(bench, flow)
    runtime.runners["out"].node.away = True
    time.sleep(0.1)
    with pytest.raises(ReloadFailed, match=r"out still has .* messages to deliver"):
        bench.edit(runtime, FLOW, strict=True)
    assert "out" in runtime.runners
    facts = bench.edit(runtime, FLOW)
    assert facts["parked"]["out"] > 0


def random_flow(rng: random.Random, bench: Bench) -> str:
    """A random graph over a fixed set of names; `end` always hears of every number."""
    lines = ["count: {type: numbers, n: 1000000, every_s: 0.001}"]
    if rng.random() < 0.5:
        lines.append("second: {type: numbers, n: 1000000, every_s: 0.003}")
    feeders = ["count"] + (["second"] if len(lines) == 2 else [])
    for name in rng.sample("abcdef", rng.randint(0, 6)):
        sources = ", ".join(rng.sample(feeders, rng.randint(1, len(feeders))))
        kind = rng.choice([
            f"type: relay, label: {rng.choice('xy')}",
            f"type: relay, place: {rng.choice('xy')}",
            f"type: total, factor: {rng.choice('12')}",
            f"type: total, carry: {rng.choice(['true', 'false'])}",
            f"type: think, brain: {rng.choice('xy')}, takes_s: 0.0005",
        ])  # fmt: skip
        lines.append(f"{name}: {{{kind}, from: [{sources}]}}")
        feeders.append(name)
    for name in feeders[1:]:
        if rng.random() < 0.5:
            lines.append(f"k{name}: {{type: keep, from: {name}}}")
    lines.append("end: {type: keep, from: count}")
    lines.append("out: {type: letters, from: count}")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_random_edits_under_load_with_a_failing_sink_lose_nothing(bench: Bench, seed: int) -> None:
    """Five times 200 edits; the sink's outside is away at random. Every event of an unreloaded run arrives, in order."""
    rng = random.Random(seed)
    runtime = start(bench, random_flow(rng, bench))
    for i in range(200):
        flow = bench.flow(random_flow(rng, bench))
        sink = runtime.runners["out"].node
        sink.away = rng.random() < 0.3
        facts = bench.edit_to(runtime, flow)
        assert facts["ledger"]["balanced"], (i, facts["ledger"])
        assert same_graph(runtime, flow)
    runtime.runners["out"].node.away = False
    time.sleep(0.1)
    runtime.stop()
    numbers = complete(runtime, without=())
    delivered = [int(text.rpartition("-")[2]) for text in runtime.runners["out"].node.delivered]
    assert delivered == numbers
    assert len(numbers) > 200


def same_graph(runtime: Runtime, flow: Flow) -> bool:
    running, wanted = runtime.graph(), flow.graph()
    assert set(running.nodes) == set(wanted.nodes)
    assert {(a, b, *sorted(d["edges"])) for a, b, d in running.edges(data=True)} == {
        (a, b, *sorted(d["edges"])) for a, b, d in wanted.edges(data=True)
    }
    for name, runner in runtime.runners.items():
        assert runner.node == flow.nodes[name].settings
        assert runner.name == name
    return True


def test_an_edit_while_a_node_opens_waits_for_it_and_the_flow_goes_on(bench: Bench) -> None:
    (bench.folder / "nodes" / "heavy.py").write_text(
        textwrap.dedent('''
            import time
            from typing import Annotated
            from flowrt import Record, Transform, setting

            class Heavy(Transform):
                """Takes its time to open, as a model does to compile."""
                model: Annotated[str, setting("Which.", restart=True)] = "a"

                def open(self, context):
                    time.sleep(0.6)

                def process(self, record: Record) -> Record:
                    return record
        ''')
    )
    runtime = start(bench, FLOW)
    reloader = Reloader(runtime)
    with_heavy = FLOW + "heavy: {type: heavy, from: count}\nalso: {type: keep, from: heavy}"
    bench.flow(with_heavy)
    first = threading.Thread(target=reloader.reload, args=("first",))
    first.start()
    time.sleep(0.2)
    before = runtime.runners["end"].n_in
    bench.flow(with_heavy.replace("type: total", "type: total, factor: 5"))
    second = threading.Thread(target=reloader.reload, args=("second",))
    second.start()
    time.sleep(0.2)
    assert "heavy" not in runtime.runners, "still opening"
    assert runtime.runners["end"].n_in > before + 20, "and the flow goes on meanwhile"
    first.join()
    second.join()
    assert [report.ok for report in reloader.history] == [True, True]
    assert "heavy" in runtime.runners
    assert runtime.runners["sum"].node.factor == 5
    assert reloader.history[1].plan["added"] == []
    runtime.stop()
    complete(runtime)


def test_plan_lines_say_what_is_forgotten(bench: Bench) -> None:
    old = bench.flow(FLOW + "keep: {type: keep, from: count}")
    new = bench.flow(FLOW.replace("n: 1000000, every_s: 0.001", "n: 5") + "out: {type: letters, from: sum}")
    lines = Plan.between(old, new).lines()
    assert "~ count: reconfigured; n 1000000 → 5, every_s 0.001 → 0.0" in lines
    assert "+ out: added" in lines
    assert "- keep: removed; was keep; forgets its memory" in lines or "- keep: removed; forgets its memory" in lines


def test_a_secret_never_shows_in_a_plan(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.folder / "nodes" / "vault.py").write_text(
        textwrap.dedent('''
            from typing import Annotated
            from flowrt import M, Transform, setting

            class Vault(Transform):
                """Has a secret."""
                code: Annotated[str, setting("Code.", secret=True)]

                def process(self, message: M) -> M:
                    return message
        ''')
    )
    text = FLOW + "vault: {type: vault, from: count, code: '${env:CODE}'}\nk: {type: keep, from: vault}"
    monkeypatch.setenv("CODE", "hunter2")
    old = bench.flow(text)
    monkeypatch.setenv("CODE", "hunter3")
    plan = Plan.between(old, load(bench.path))
    assert plan.names()["reconfigured"] == ["vault"]
    assert "hunter" not in "\n".join(plan.lines())


def test_a_plan_folds_nodes_that_change_alike(bench: Bench) -> None:
    """Twenty nodes with the same change are one line; `flowrt plan --all` has them all."""
    before = "count: {type: numbers}\n" + "\n".join(f"sum_{n:02}: {{type: total, from: count}}" for n in range(20))
    old = bench.flow(before)
    new = bench.flow(before.replace("total, from: count}", "total, from: count, factor: 3}"))
    plan = Plan.between(old, new)
    assert plan.lines() == [
        "~ sum_00, sum_01, sum_02, sum_03, sum_04 and 15 more: reconfigured; factor 1.0 → 3.0",
        "= 1 kept",
    ]
    assert len(plan.lines(fold=False)) == 21
    assert plan.lines(fold=False)[7] == "~ sum_07: reconfigured; factor 1.0 → 3.0"
