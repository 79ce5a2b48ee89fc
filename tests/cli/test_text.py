"""Tables on a terminal: what is long stands below its row, and no name or address is broken."""

from __future__ import annotations

import os
import sys

import pytest

from flowrt.commands.terminal.tables import table

HEAD = ["sink", "state", "pending", "address", "last error"]
ERROR = (
    "connection refused: is the broker running, and is its address right? It was mqtts://broker.roads.example.org:8883"
)
ADDRESS = "mqtts://a-broker-with-a-rather-long-name.roads.example.org:8883/with/a/path"
ROWS = [
    ["to_broker", "waiting", "12", ADDRESS, ERROR],
    ["to_a_sink_with_a_rather_long_name_of_its_own", "up", "0", "mqtt://127.0.0.1:1883", ""],
]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]  # a function
    def show(columns: int) -> list[str]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: bool(columns))
        monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))
        table(HEAD, ROWS, right=frozenset({2}), below=(4, 3))
        return capsys.readouterr().out.splitlines()

    return show


def test_a_wide_terminal_has_a_line_for_each_row(shown) -> None:  # type: ignore[no-untyped-def]
    assert len(shown(300)) == 3
    assert shown(0) == shown(300), "and so has a file or a pipe"


@pytest.mark.parametrize("columns", [80, 60, 120])
def test_a_narrow_one_breaks_nothing(shown, columns: int) -> None:  # type: ignore[no-untyped-def]
    lines = shown(columns)
    assert any(line.strip().startswith(ADDRESS) or f" {ADDRESS}" in line for line in lines)
    assert "last error" not in lines[0]
    assert lines[1].split()[:3] == ["to_broker", "waiting", "12"]
    words = set(" ".join(lines).split())
    assert set(ERROR.split()) <= words
    assert ROWS[1][0] in words
    assert max(map(len, lines)) <= max(columns, len(ADDRESS) + 4)


def test_only_as_much_goes_below_as_it_takes(shown) -> None:  # type: ignore[no-untyped-def]
    assert shown(160)[0].split() == ["sink", "state", "pending", "address"]
    assert shown(80)[0].split() == ["sink", "state", "pending"]
