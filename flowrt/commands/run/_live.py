"""The live view of a run on a terminal: nodes, rates, queues, sinks, services, last events, last log lines."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flowrt.commands._events import summary
from flowrt.runtime import Runtime

_STYLE = {"error": "bold red", "warning": "yellow", "info": "", "debug": "dim"}
_SINK_STYLE = {"up": "green", "connecting": "dim", "waiting": "yellow", "refused": "bold red", "disabled": "dim"}
_SERVICE_STYLE = {"up": "green", "down": "bold red"}


class LiveView(logging.Handler):
    """Draws the runtime's status twice a second; is the log's handler meanwhile."""

    def __init__(self, runtime: Runtime, console: Console, about: str) -> None:
        super().__init__()
        self._runtime = runtime
        self._about = about
        self._lines: deque[Text] = deque(maxlen=6)
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
        """What is shown now."""
        status = self._runtime.status()
        parts: list[RenderableType] = [_head(status, self._about), _nodes(status)]
        if status["sinks"]:
            parts.append(_sinks(status["sinks"]))
        parts += _services(status["nodes"])
        events = _events(self._runtime)
        if events is not None:
            parts.append(events)
        if status["problems"]:
            parts.append(_diagnostics(status["problems"]))
        with self._lock_lines:
            lines = list(self._lines)
        if lines:
            parts.append(Panel(Group(*lines), title="log", title_align="left", border_style="dim", padding=(0, 1)))
        return Group(*parts)


def _head(status: dict[str, Any], about: str) -> Text:
    line = Text(" ")
    line.append(f"{status['flow']}", style="bold cyan")
    line.append(f"  {status['file']}", style="dim")
    line.append(f"  up {_duration(status['uptime_s'])}  {status['frames']:,} frames")
    if status["reloads"]:
        line.append(f"  {status['reloads']} reloads")
    line.append(f"\n {about}", style="dim")
    return line


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=False, pad_edge=True, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=True)
    return table


def _nodes(status: dict[str, Any]) -> Table:
    table = _table("node", "type", "msg/s", "in", "out", "queue", "dropped", "errors", "p50 ms", "p99 ms", left=2)
    for name, row in status["nodes"].items():
        queue = status["queues"].get(name)
        times = row["process_ms"]
        failed = row["errors"] or row.get("failed")
        table.add_row(
            Text(name, style="red" if failed else "cyan"),
            Text(row["type"], style="dim"),
            f"{row['rate_per_s']:.1f}",
            f"{row['in']:,}",
            f"{row['out']:,}",
            f"{queue['depth']}/{queue['size']}" if queue else "",
            Text(f"{row['dropped']:,}", style="yellow" if row["dropped"] else "dim"),
            Text(f"{row['errors']:,}", style="bold red" if row["errors"] else "dim"),
            _number(times["p50"]),
            _number(times["p99"]),
        )
    return table


def _sinks(sinks: dict[str, Any]) -> Table:
    table = _table("sink", "delivery", "accepted", "delivered", "pending", "dead", "last error", left=2)
    for name, row in sinks.items():
        table.add_row(
            Text(name, style="cyan"),
            Text(_state(row.state, row.state_s), style=_SINK_STYLE.get(row.state, "")),
            f"{row.accepted:,}",
            f"{row.delivered:,}",
            Text(f"{row.pending:,}", style="yellow" if row.pending else "dim"),
            Text(f"{row.dead_letters:,}", style="bold red" if row.dead_letters else "dim"),
            Text((row.last_error or "")[:48], style="dim"),
        )
    return table


def _state(state: str, since_s: float) -> str:
    return f"{state} for {_duration(since_s)}" if state in ("waiting", "refused") else state


def _services(nodes: dict[str, Any]) -> list[Text]:
    """A line for each node that asks services how they are (`health_probe`), with what it found."""
    lines = []
    for name, row in nodes.items():
        found = (row.get("status") or {}).get("services")
        if not found:
            continue
        line = Text(f" services, asked by {name}:", style="dim")
        for service, state in found.items():
            line.append(f"  {service} ", style="")
            line.append(str(state), style=_SERVICE_STYLE.get(state, "dim"))
        lines.append(line)
    return lines


def _events(runtime: Runtime) -> Panel | None:
    rows = list(runtime.last_critical)[-5:] or list(runtime.last_events)[-5:]
    if not rows:
        return None
    lines = []
    for row in rows:
        payload = msgspec.json.decode(row.payload)
        line = Text(f"{time.strftime('%H:%M:%S', time.gmtime(row.time_s))} ", style="dim")
        line.append(f"{row.type:18}", style="magenta")
        line.append(f"{summary(payload):40} ")
        line.append(payload.get("camera_id", ""), style="dim")
        lines.append(line)
    return Panel(Group(*lines), title="last events", title_align="left", border_style="magenta", padding=(0, 1))


def _diagnostics(diagnostics: list[dict[str, Any]]) -> Panel:
    lines = []
    for diagnostic in diagnostics[:4]:
        place = (
            f"{diagnostic['file']}:{diagnostic['line']}:{diagnostic['column']}"
            if diagnostic["line"]
            else diagnostic["file"]
        )
        hint = f" ({diagnostic['hint']})" if diagnostic["hint"] else ""
        lines.append(Text(f"{place}: {diagnostic['message']}{hint}", style="red"))
    if len(diagnostics) > 4:
        lines.append(Text(f"and {len(diagnostics) - 4} more", style="dim"))
    title = "the flow file as it is now has problems; the flow goes on as it was"
    return Panel(Group(*lines), title=title, title_align="left", border_style="red", padding=(0, 1))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
