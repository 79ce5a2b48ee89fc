"""Run benchmarks and print one table."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.pairs import Row

NAMES = [
    path.stem
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem != "pairs" and not path.stem.startswith("_")
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; all by default")
    parser.add_argument("--pairs", type=int, default=5, help="pairs a ratio, at least 5 for a figure to be quoted")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"), help="where the JSON goes")
    args = parser.parse_args()
    unknown = set(args.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    console = Console()
    rows: list[Row] = []
    for name in args.names or NAMES:
        console.print(f"[dim]{name} …[/]")
        started = time.monotonic()
        rows += importlib.import_module(f"benchmarks.{name}").run(args.pairs)
        console.print(f"[dim]{name} took {time.monotonic() - started:.0f} s[/]")
        _write(args.out, args.pairs, rows)  # after each: a run that is broken off loses nothing
    console.print(_table(rows))
    return 1 if any(row.met is False for row in rows) else 0


def _write(out: Path, pairs: int, rows: list[Row]) -> None:
    machine = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    facts = {"date": time.strftime("%Y-%m-%d"), **machine, "pairs": pairs, "rows": msgspec.to_builtins(rows)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(facts, indent=1) + "\n")


def _table(rows: list[Row]) -> Table:
    table = Table(title=f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}")
    for column, justify in (
        ("benchmark", "left"),
        ("what", "left"),
        ("median", "right"),
        ("spread", "right"),
        ("target", "left"),
        ("", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        mark = "" if row.met is None else "[green]met[/]" if row.met else "[red]missed[/]"
        table.add_row(
            row.benchmark,
            row.what,
            f"{row.value:,.3g} {row.unit}",
            f"{row.low:,.3g} to {row.high:,.3g}",
            row.target,
            mark,
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
