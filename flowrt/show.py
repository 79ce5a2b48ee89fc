"""Problems for people and machines: in the manner of a modern compiler, as JSON, as annotations of GitHub Actions.

error: unknown setting 'devise' of 'detect'
  --> flow.yaml:4:33
   |
 4 |   objects: {type: detect, from: camera, devise: AUTO}
   |                                         ^^^^^^
   = at nodes.objects.devise
   = help: did you mean 'device'?
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from flowrt.problem import Problem

WIDTH = 120
_RED, _YELLOW, _BLUE, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"


def wants_colour(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours (https://no-color.org is kept)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def text(problems: Iterable[Problem], colour: bool = False) -> str:
    """Every problem with the line it stands in, a blank line after each."""
    lines_of: dict[str, list[str]] = {}
    parts = []
    for problem in problems:
        if problem.file not in lines_of:
            lines_of[problem.file] = _lines(problem.file) if problem.line else []
        parts.append(_one(problem, lines_of[problem.file], colour))
    return "\n\n".join(parts)


def as_json(problems: Sequence[Problem]) -> str:
    """`{"ok": false, "problems": [{file, line, column, path, message, hint, severity}]}`"""
    keys = ("file", "line", "column", "path", "message", "hint", "severity")
    found = [{key: getattr(problem, key) for key in keys} for problem in problems]
    good = not any(problem.severity == "error" for problem in problems)
    return msgspec.json.format(msgspec.json.encode({"ok": good, "problems": found}), indent=2).decode()


def github(problems: Iterable[Problem]) -> str:
    """One workflow command per problem (`::error file=…,line=…::message`)."""
    return "\n".join(map(_annotation, problems))


def summary(problems: Sequence[Problem]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    parts = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return ", ".join(parts) or "no problems"


def printable(said: str) -> str:
    """Text of a file, without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "�" for char in said)


def _one(problem: Problem, lines: list[str], colour: bool) -> str:
    def paint(code: str, said: str) -> str:
        return f"{code}{said}{_PLAIN}" if colour else said

    severity = paint(_BOLD + (_RED if problem.severity == "error" else _YELLOW), problem.severity)
    number = str(problem.line) if 0 < problem.line <= len(lines) else ""
    margin = " " * max(len(number), 1)
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    out = [
        f"{severity}: {paint(_BOLD, printable(problem.message))}",
        f"{margin} {paint(_BLUE, '-->')} {printable(place)}",
    ]
    if number:
        snippet, caret = _snippet(lines[problem.line - 1], problem)
        bar = paint(_BLUE, "|")
        out += [f"{margin} {bar}", f"{paint(_BLUE, number)} {bar} {snippet}", f"{margin} {bar} {paint(_RED, caret)}"]
    for label, said in (("at", problem.path), ("help:", problem.hint)):
        if said:
            out.append(f"{margin} {paint(_BLUE, '=')} {label} {printable(said)}")
    return "\n".join(out)


def _snippet(line: str, problem: Problem) -> tuple[str, str]:
    """The line, cut to fit around the problem, and the carets below it."""
    start = min(problem.column - 1, len(line))
    end = problem.end_column - 1 if problem.end_column > problem.column else start + 1
    end = max(min(end, len(line)), start + 1)
    cut = max(0, start - WIDTH // 2) if len(line) > WIDTH else 0
    shown = printable(line[cut : cut + WIDTH].rstrip())
    lead = "…" if cut else ""
    tail = "…" if len(line) > cut + WIDTH else ""
    before = _columns(lead + printable(line[cut:start]))
    carets = max(1, _columns(printable(line[start : min(end, cut + WIDTH)])))
    return lead + shown + tail, " " * before + "^" * carets


def _columns(said: str) -> int:
    """The columns that text takes on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in said
    )


def _lines(file: str) -> list[str]:
    """The lines of a file, as far as it is text; a problem whose file can't be shown goes without a snippet."""
    try:
        return Path(file).read_bytes()[:8_000_000].decode("utf-8-sig", "replace").split("\n")
    except (OSError, ValueError):
        return []


def _annotation(problem: Problem) -> str:
    fields = {"file": problem.file}
    if problem.line:
        fields |= {"line": str(problem.line), "col": str(problem.column)}
        if problem.end_column > problem.column:
            fields["endColumn"] = str(problem.end_column - 1)
    said = problem.message + (f" ({problem.hint})" if problem.hint else "")
    listed = ",".join(f"{key}={_escape(value, ':,')}" for key, value in fields.items())
    return f"::{problem.severity} {listed}::{_escape(said)}"


def _escape(said: str, also: str = "") -> str:
    """Percent-encoding as the Actions toolkit does it."""
    for char in "%\r\n" + also:
        said = said.replace(char, f"%{ord(char):02X}")
    return said
