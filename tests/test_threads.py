"""Supervised threads: whatever ends one is known, and it starts again where that is safe."""

from __future__ import annotations

import logging
import sys
import threading

import pytest

from flowrt.system.backoff import Backoff
from flowrt.system.threads import Supervisor, one_line
from tests.delivery.outside import eventually


def bad_exit() -> None:
    sys.exit("bye")


def test_a_thread_that_raises_is_known_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor()
    thread = supervisor.thread("writer", bad_exit)
    assert supervisor.trouble() == []  # not started yet
    thread.start()
    assert thread.join(5.0)
    (status,) = supervisor.statuses()
    assert (status.alive, status.faults, status.error) == (False, 1, "SystemExit: bye")
    assert "bad_exit" in status.traceback
    assert supervisor.trouble() == ["the thread 'writer' ended: SystemExit: bye"]
    assert "the thread 'writer' failed: SystemExit: bye" in caplog.text
    assert "Traceback" in caplog.text


def test_one_that_returns_is_forgotten() -> None:
    supervisor = Supervisor()
    thread = supervisor.thread("watcher", lambda: None)
    thread.start()
    assert thread.join(5.0)
    assert supervisor.statuses() == []


def test_it_starts_again_until_stopped() -> None:
    supervisor, calls, working = Supervisor(), [], threading.Event()

    def work() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("not yet")
        working.wait(5.0)

    thread = supervisor.thread("driver", work, restart=Backoff(0.001, 0.002))
    thread.start()
    eventually(lambda: len(calls) == 3)
    (status,) = supervisor.statuses()
    assert (status.alive, status.faults) == (True, 2)
    assert supervisor.trouble() == ["the thread 'driver' failed and was started again: ValueError: not yet"]
    thread.stop()
    working.set()
    assert thread.join(5.0)
    assert supervisor.statuses() == []


def test_one_that_waits_for_its_next_start_ends_at_once_when_stopped() -> None:
    thread = Supervisor().thread("driver", bad_exit, restart=Backoff(60.0, 60.0))
    thread.start()
    eventually(lambda: thread.status().faults == 1)
    thread.stop()
    assert thread.join(5.0)
    assert thread.status().trouble == ""


def test_silence_is_trouble_only_where_it_promised_to_beat() -> None:
    supervisor, done = Supervisor(), threading.Event()
    quiet = supervisor.thread("reader", lambda: done.wait(5.0) and None)
    beating = supervisor.thread("writer", lambda: done.wait(5.0) and None, beat_within_s=0.05)
    quiet.start()
    beating.start()
    eventually(lambda: any("has made no progress" in trouble for trouble in supervisor.trouble()))
    assert not any("reader" in trouble for trouble in supervisor.trouble())
    beating.beat()
    assert supervisor.trouble() == []
    done.set()
    quiet.join(5.0)
    beating.join(5.0)


def test_an_exception_whose_text_raises_is_named_all_the_same() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise KeyError("no")

    assert one_line(Rude()) == "Rude: (its text raises KeyError)"
    assert one_line(ValueError("a\nb" * 1000)) == f"ValueError: {('a ' + 'ba ' * 999)[:500]}"


def test_a_log_that_fails_does_not_end_the_supervision() -> None:
    """The traceback is kept before anything is logged."""

    class Broken(logging.Logger):
        def critical(self, *args: object, **more: object) -> None:
            raise OSError("no disk for the log")

    thread = Supervisor(Broken("broken")).thread("writer", bad_exit)
    thread.start()
    eventually(lambda: not thread.alive)
    assert thread.status().error == "SystemExit: bye"
