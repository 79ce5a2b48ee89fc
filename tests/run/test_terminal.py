"""`flowrt run` on a real terminal: what 80x24 shows, that a refused edit always stands there, and that 120x40 has all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.run.terminal import Terminal
from tests.runtime.node_types import write_nodes

MANY = "".join(f"  sum_of_a_rather_long_name_{n:02}: {{type: total, from: count, factor: {n}}}\n" for n in range(20))
FLOW = f"""\
flow: bench
site: here
nodes:
  count: {{type: numbers, n: 10000000, every_s: 0.05}}
{MANY}  to_my_outbox: {{type: letters, from: sum_of_a_rather_long_name_07}}
"""
Open = Callable[[int, int], Terminal]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Open]:
    write_nodes(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    opened: list[Terminal] = []

    def start(columns: int, lines: int) -> Terminal:
        command = [sys.executable, "-m", "flowrt", "run", "flow.yaml", "--http", "off"]
        opened.append(Terminal(command, tmp_path, columns, lines, FLOWRT_DATA=str(tmp_path / "data")))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_80x24_shows_problems_first_and_no_word_is_cut_to_a_letter(open_terminal: Open, tmp_path: Path) -> None:
    terminal = open_terminal(80, 24)
    shown = terminal.wait_for(lambda text: "nodes more, with less to show" in text)
    lines = shown.splitlines()
    assert any(line.startswith(" bench  ") and "  up 0:" in line for line in lines), shown
    [heading] = [line for line in lines if line.startswith(" node")]
    assert heading.split() == ["node", "msg/s", "out", "queue", "dropped", "errors", "p99", "ms"]
    assert sum("sum_of_a_rather_long_name_" in line for line in lines) >= 4
    assert "to_my_outbox" in shown
    assert "17 nodes more with errors" in terminal.wait_for(lambda text: "more with errors" in text), "the 13"

    flow = tmp_path / "flow.yaml"
    flow.write_text(FLOW.replace("factor: 3}", "factr: 3}").replace("factor: 4}", "factor: four}"))
    shown = terminal.wait_for(lambda text: "the edit was refused" in text)
    lines = shown.splitlines()
    where = next(i for i, line in enumerate(lines) if "the edit was refused, the flow goes on as it was" in line)
    assert " bench" in lines[where - 2], "directly under the header"
    assert "unknown setting 'factr'" in " ".join(lines[where + 1 : where + 5])
    flow.write_text(FLOW)
    terminal.wait_for(lambda text: "the edit was refused" not in text)


def test_120x40_shows_every_node_and_column(open_terminal: Open) -> None:
    terminal = open_terminal(120, 40)
    shown = terminal.wait_for(lambda text: "to_my_outbox" in text and "p50 ms" in text)
    assert "with less to show" not in shown
    assert all(f"sum_of_a_rather_long_name_{n:02} " in shown for n in range(20))
    [heading] = [line for line in shown.splitlines() if line.startswith(" node")]
    assert heading.split() == [
        "node",
        "type",
        "msg/s",
        "in",
        "out",
        "queue",
        "dropped",
        "errors",
        "p50",
        "ms",
        "p99",
        "ms",
    ]
