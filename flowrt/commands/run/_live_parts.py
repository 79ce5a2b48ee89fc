"""The parts of the live view, each as lines that fit a width."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from flowrt.commands._events import summary
from flowrt.commands.terminal.tables import printable

WIDE = 110
"""From so many columns on, tables have all theirs, and numbers all their digits."""
NAME_LEAST = 14
FAILING, RECENT_S = 3, 300.0
"""So many nodes that raised in the last seconds stand among the problems."""
_SINK_STYLE = {"up": "green", "waiting": "yellow", "refused": "bold red", "disabled": "dim"}
_SERVICE_STYLE = {"up": "green", "down": "bold red"}
_MEASURE = Console(width=80)

Cell = tuple[str, str]
"""Text and style."""


def head(status: Mapping[str, Any], about: str, width: int) -> list[Text]:
    """The flow, how long it runs, and as much of `about`, whose parts a semicolon divides, as fits a line."""
    line = Text(" ")
    line.append(f"{status['flow']}", style="bold cyan")
    facts = f"  up {duration(status['uptime_s'])}  {status['frames']:,} frames"
    if status["reloads"]:
        facts += f"  {status['reloads']} reload{'s' if status['reloads'] > 1 else ''}"
    file = _from_here(status["file"])
    if len(line) + len(facts) + len(file) + 2 <= width:
        line.append(f"  {file}", style="dim")
    line.append(facts)
    shown = ""
    for part in about.split("; "):
        longer = f"{shown}; {part}" if shown else part
        if len(longer) < width:
            shown = longer
    return [cut(line, width), cut(Text(f" {shown}", style="dim"), width)]


def problems(status: Mapping[str, Any], width: int, most: int) -> list[Text]:
    """What is wrong: a refused edit with its first problems, threads and hooks that hang, sources given up, the latest faults."""
    lines: list[Text] = []
    found = status["problems"]
    if found:
        lines.append(Text(" the edit was refused, the flow goes on as it was:", style="bold red"))
        for each in found:
            place = f"{_from_here(each['file'])}:{each['line']}:{each['column']}: " if each["line"] else ""
            hint = f" ({each['hint']})" if each["hint"] else ""
            lines += folded(f"{place}{each['message']}{hint}", "red", width)
    for trouble in status["trouble"]:
        lines += folded(trouble, "bold red", width)
    for name, row in status["nodes"].items():
        if row.get("failed"):
            lines += folded(f"{name} was given up: {row['last_error']}", "bold red", width)
    failing = _failing(status["nodes"])
    for name in failing[:FAILING]:
        row = status["nodes"][name]
        errors = "1 error" if row["errors"] == 1 else f"{row['errors']:,} errors, the last"
        lines += folded(f"{name}: {errors}: {row['last_error']}", "red", width)
    if len(failing) > FAILING:
        lines.append(Text(f"   … and {len(failing) - FAILING} nodes more with errors", style="red"))
    if len(lines) <= most:
        return lines
    return [
        *lines[: most - 1],
        Text(f"   … and {len(lines) - most + 1} more lines: flowrt check, or the log", style="dim"),
    ]


def _failing(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Nodes that raised lately, the latest first."""
    last_s = {name: row["faults"][0]["time_s"] for name, row in rows.items() if row["faults"] and not row.get("failed")}
    recent = [name for name, at_s in last_s.items() if time.time() - at_s < RECENT_S]
    return sorted(recent, key=lambda name: last_s[name], reverse=True)


def events(rows: Iterable[Any], width: int, most: int) -> list[Text]:
    """The last events, the newest last."""
    lines = []
    for row in list(rows)[-most:]:
        payload = msgspec.json.decode(row.payload)
        line = Text(f" {time.strftime('%H:%M:%S', time.gmtime(row.time_s))} ", style="dim")
        if width >= WIDE:
            line.append(f"{row.type:18} ", style="magenta")
        line.append(printable(summary(payload)), style="" if width >= WIDE else "magenta")
        line.append(f"  {payload.get('camera_id', '')}", style="dim")
        lines.append(cut(line, width))
    return [_title("last events", width), *lines] if lines else []


def nodes(rows: Mapping[str, Mapping[str, Any]], queues: Mapping[str, Any], width: int, most: int) -> list[Text]:
    """A line for each node, in the order of the file; where they are too many, those with errors, queues, drops and traffic."""
    chosen = list(rows)
    left_out = 0
    if len(rows) > most - 1:
        kept = max(most - 2, 1)
        ranked = sorted(rows, key=lambda name: _matters(rows[name], queues.get(name)), reverse=True)[:kept]
        chosen = [name for name in rows if name in ranked]
        left_out = len(rows) - len(chosen)
    wide = width >= WIDE
    head_row = [
        "node",
        *(["type"] if wide else []),
        "msg/s",
        *(["in"] if wide else []),
        "out",
        "queue",
        "dropped",
        "errors",
    ]
    head_row += ["p50 ms", "p99 ms"] if wide else ["p99 ms"]
    table = [[_node_cells(name, rows[name], queues.get(name), wide) for name in chosen]]
    lines = _table(head_row, table[0], width, left=2 if wide else 1)
    if left_out:
        lines.append(Text(f" … and {left_out} nodes more, with less to show: a larger window has them", style="dim"))
    return lines


def _matters(row: Mapping[str, Any], queue: Mapping[str, Any] | None) -> tuple[float, ...]:
    return (
        bool(row.get("failed")),
        bool(row["errors"]),
        row.get("busy_s", 0.0) > 1,
        bool(queue and queue["depth"]),
        bool(row["dropped"]),
        row["rate_per_s"],
    )


def _node_cells(name: str, row: Mapping[str, Any], queue: Mapping[str, Any] | None, wide: bool) -> list[Cell]:
    times = row["process_ms"]
    failed = row["errors"] or row.get("failed")
    cells = [
        (name, "red" if failed else "cyan"),
        (row["type"], "dim"),
        (f"{row['rate_per_s']:.1f}", ""),
        (number(row["in"], wide), ""),
        (number(row["out"], wide), ""),
        (f"{queue['depth']}/{queue['size']}" if queue else "", ""),
        (number(row["dropped"], wide), "yellow" if row["dropped"] else "dim"),
        (number(row["errors"], wide), "bold red" if row["errors"] else "dim"),
        (_time(times["p50"]), ""),
        (_time(times["p99"]), ""),
    ]
    return cells if wide else [cell for i, cell in enumerate(cells) if i not in (1, 3, 8)]


def sinks(rows: Mapping[str, Any], width: int, only_notable: bool) -> list[Text]:
    """A line for each sink, and its last error below it; only_notable: those that deliver all are counted in one line."""
    if not rows:
        return []
    quiet = [name for name, row in rows.items() if row.state == "up" and not row.pending and not row.dead_letters]
    shown = [name for name in rows if not (only_notable and name in quiet)]
    lines: list[Text] = []
    if shown:
        cells = [_sink_cells(name, rows[name], width >= WIDE) for name in shown]
        table = _table(["sink", "delivery", "accepted", "delivered", "pending", "dead"], cells, width, left=2)
        lines = [table[0]]
        for name, line in zip(shown, table[1:], strict=True):
            lines.append(line)
            if rows[name].last_error:
                lines.append(cut(Text(f"   {printable(rows[name].last_error)}", style="dim"), width))
    if only_notable and quiet:
        what = f"{len(quiet)} sinks deliver" if len(quiet) > 1 else f"{quiet[0]} delivers"
        lines.append(
            cut(Text(f" {what} all they get" if len(quiet) > 1 else f" {what} all it gets", style="green"), width)
        )
    return lines


def _sink_cells(name: str, row: Any, wide: bool) -> list[Cell]:
    return [
        (name, "cyan"),
        (row.state, _SINK_STYLE.get(row.state, "")),
        (number(row.accepted, wide), ""),
        (number(row.delivered, wide), ""),
        (number(row.pending, wide), "yellow" if row.pending else "dim"),
        (number(row.dead_letters, wide), "bold red" if row.dead_letters else "dim"),
    ]


def services(rows: Mapping[str, Any], width: int) -> list[Text]:
    """A line for each node that asks services how they are (`health_probe`), with what it found."""
    lines = []
    for name, row in rows.items():
        found = (row.get("status") or {}).get("services")
        if not found:
            continue
        line = Text(f" services, asked by {name}:", style="dim")
        for service, state in found.items():
            line.append(f"  {service} ", style="")
            line.append(str(state), style=_SERVICE_STYLE.get(state, "dim"))
        lines.append(cut(line, width))
    return lines


def log_lines(lines: Sequence[Text], width: int, most: int) -> list[Text]:
    """The last lines of the log; with a title where there is room for more than two."""
    titled = most > 2
    shown = [cut(Text.assemble(" ", line), width) for line in lines[-(most - titled) :]] if most > 0 else []
    return [_title("log", width), *shown] if titled and shown else shown


def folded(text: str, style: str, width: int) -> list[Text]:
    """A text over as many lines as it takes, indented after the first; words stay whole where they fit a line."""
    lines = Text(printable(text), style=style).wrap(_MEASURE, max(width - 4, 20), overflow="fold")
    return [Text.assemble("   " if i == 0 else "     ", line) for i, line in enumerate(lines)]


def cut(line: Text, width: int) -> Text:
    """The line, cut where it is longer than the width."""
    line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line


def _from_here(file: str) -> str:
    """A path, without the current folder before it."""
    return file.removeprefix(f"{Path.cwd()}{os.sep}")


def number(value: int, wide: bool) -> str:
    """A count: all digits, or in a narrow table three of them."""
    if wide or value < 10_000:
        return f"{value:,}"
    return f"{value / 1000:.0f}k" if value < 1_000_000 else f"{value / 1_000_000:.1f}M"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _table(head_row: Sequence[str], rows: Sequence[Sequence[Cell]], width: int, left: int) -> list[Text]:
    """A heading and a line for each row; only names give way, and keep NAME_LEAST characters."""
    widths = [max([len(title), *(len(row[i][0]) for row in rows)]) for i, title in enumerate(head_row)]
    gap = 2 if sum(widths) + 2 * len(widths) <= width else 1
    over = sum(widths) + gap * (len(widths) - 1) + 1 - width
    for i in reversed(range(left)):
        give = min(over, widths[i] - NAME_LEAST)
        if give > 0:
            widths[i], over = widths[i] - give, over - give
    lines = [_row([(title, "bold") for title in head_row], widths, left, gap)]
    return [cut(line, width) for line in (*lines, *(_row(row, widths, left, gap) for row in rows))]


def _row(cells: Sequence[Cell], widths: Sequence[int], left: int, gap: int) -> Text:
    line = Text(" ")
    for i, ((text, style), width) in enumerate(zip(cells, widths, strict=True)):
        if i:
            line.append(" " * gap)
        if len(text) > width:
            text = f"{text[: width - 1]}…"
        line.append(text.ljust(width) if i < left else text.rjust(width), style=style)
    return line


def _title(text: str, width: int) -> Text:
    return Text(f" ── {text} ".ljust(min(width, 60), "─"), style="dim")


def _time(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"
