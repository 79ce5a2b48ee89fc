"""The live view of a run on a terminal, fitted to its size: what is wrong stands first, what is quiet gives way.

From the top: the flow, problems (a refused edit always), the last events, nodes, sinks, services, the last log lines. A window of 80x24 shows
the nodes that matter and says how many it leaves out; one of 120x40 has every column.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from flowrt.commands.run import _live_parts as parts
from flowrt.runtime import Runtime

_STYLE = {"error": "bold red", "warning": "yellow", "info": "", "debug": "dim"}

SMALL = 34
"""Below so many lines there are fewer events and log lines."""
LEAST_NODES = 4


class LiveView(logging.Handler):
    """Draws the runtime's status twice a second; is the log's handler meanwhile."""

    def __init__(self, runtime: Runtime, console: Console, about: str) -> None:
        super().__init__()
        self._runtime = runtime
        self._about = about
        self._console = console
        self._lines: deque[Text] = deque(maxlen=8)
        self._lock_lines = threading.Lock()
        self._live = Live(
            console=console, get_renderable=self.picture, refresh_per_second=2, screen=False, transient=False
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a log line for the next picture."""
        level = record.levelname.lower()
        line = Text(f"{time.strftime('%H:%M:%S', time.localtime(record.created))} ", style="dim")
        line.append(record.getMessage(), style=_STYLE.get(level, "bold red"))
        with self._lock_lines:
            self._lines.append(line)

    def start(self) -> None:
        """Take over the terminal."""
        self._live.start()

    def stop(self) -> None:
        """Draw the last picture and give the terminal back."""
        self._live.stop()

    def picture(self) -> RenderableType:
        """What is shown now, in the console's size."""
        width, height = self._console.size
        return Group(*self.lines(width, height - 1))

    def lines(self, width: int, height: int) -> list[Text]:
        """The lines of the picture; none is longer than the width, and there are no more than fit."""
        status = self._runtime.status()
        small = height < SMALL
        with self._lock_lines:
            log = list(self._lines)
        above = [
            *parts.head(status, self._about, width),
            *parts.problems(status, width, most=max(3, height * 2 // 5)),
            *parts.events(
                self._runtime.events.last_critical or self._runtime.events.last, width, most=3 if small else 5
            ),
        ]
        below = [
            *parts.sinks(status["sinks"], width, only_notable=small),
            *parts.services(status["nodes"], width),
        ]
        room = max(height - len(above) - len(below), LEAST_NODES)
        log_lines = parts.log_lines(log, width, most=min(2 if small else 6, room - LEAST_NODES))
        nodes = parts.nodes(status["nodes"], status["queues"], width, most=room - len(log_lines))
        return [*above, *nodes, *below, *log_lines][:height]
