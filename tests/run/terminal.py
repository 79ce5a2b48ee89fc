"""A command in a terminal of a given size, and what its screen shows: a pty, and pyte as the terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte


class Terminal:
    """Runs a command in a pty of that many columns and lines."""

    def __init__(self, command: Sequence[str], folder: Path, columns: int, lines: int, **variables: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
        }
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color", **variables},
            start_new_session=True,
        )
        os.close(theirs)

    def text(self) -> str:
        """The screen as it is now."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, condition: Callable[[str], bool], within_s: float = 60.0) -> str:
        """Follow the output until the screen is so; the screen."""
        end = time.monotonic() + within_s
        while True:
            ready, _, _ = select.select([self._ours], [], [], 0.2)
            if ready:
                try:
                    self._stream.feed(os.read(self._ours, 65536))
                except OSError:  # the other end is closed
                    return self.text()
            if condition(self.text()):
                return self.text()
            assert time.monotonic() < end, self.text()

    def close(self) -> None:
        """End the command; what it still writes is read, or it would wait for that."""
        self.process.terminate()
        end = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self._ours], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    os.read(self._ours, 65536)
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
