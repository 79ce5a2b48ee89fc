"""The log: bounded in length, and in lines a minute."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from flowrt.commands.terminal.logs import LINE_CHARACTERS, Mask, Repeats, TextFormatter
from flowrt.secrets import Secrets


class Kept(logging.Handler):
    """Keeps what would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Bench:
    """A logger with the filters of a run and a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.handler = Kept()
        self.handler.addFilter(Repeats(lambda: self.now_s))
        self.handler.addFilter(Mask(Secrets()))
        self.log = logging.getLogger("test-of-logs")
        self.log.handlers = [self.handler]
        self.log.propagate = False

    @property
    def lines(self) -> list[str]:
        return self.handler.lines


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()
    logging.getLogger("test-of-logs").handlers = []


def test_fault_15_a_repeated_message_is_one_line_a_minute(bench: Bench) -> None:
    for _ in range(90_000):
        bench.log.error("socket.accept() out of system resource")
    assert len(bench.lines) == 1
    bench.now_s = 61.0
    bench.log.error("socket.accept() out of system resource")
    assert len(bench.lines) == 2
    assert "89999 more of these" in bench.lines[-1]


def test_fault_15_messages_that_differ_in_numbers_are_ten_lines_a_minute(bench: Bench) -> None:
    for number in range(1000):
        bench.log.error("count: RuntimeError: no number %d", number)
    assert len(bench.lines) == 10


def test_fault_15_what_is_said_once_or_is_no_trouble_is_never_held_back(bench: Bench) -> None:
    bench.log.setLevel(logging.INFO)
    for name in "abc":
        bench.log.error("%s is away", name)
        bench.log.info("reload: in force")
    assert len(bench.lines) == 6


def test_two_nodes_with_the_same_trouble_are_both_named(bench: Bench) -> None:
    for _ in range(3):
        for node in ("north", "east"):
            logging.LoggerAdapter(bench.log, {"node": node}).warning("the picture has no contrast")
    assert [line.split(" warning ")[1] for line in bench.lines] == [
        "north: the picture has no contrast",
        "east: the picture has no contrast",
    ]


def test_fault_17_a_text_of_ten_megabytes_is_cut_in_line_and_traceback(bench: Bench) -> None:
    try:
        raise RuntimeError("x" * 10_000_000)
    except RuntimeError:
        bench.log.exception("y" * 10_000_000)
    assert LINE_CHARACTERS < len(bench.lines[0]) < 30_000
    assert "10000000 characters" in bench.lines[0]
