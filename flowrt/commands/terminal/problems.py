"""Problems for people and machines: as a compiler prints them, as JSON, as annotations of GitHub Actions.

error: unknown setting 'devise' of 'detect'
  --> flow.yaml:4:33
   |
 4 |   objects: {type: detect, from: camera, devise: AUTO}
   |                                         ^^^^^^
   = at nodes.objects.devise
   = help: did you mean 'device'?
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from flowrt.commands.terminal.tables import printable
from flowrt.diagnostics import Diagnostic

WIDTH = 120
MARGIN = 1000
"""So many characters of a line around the problem are looked at; a line may have megabytes."""
_ADDRESS = re.compile(r"://(?P<user_info>[^\s'\"<>]+)@")
_ORIGIN = re.compile(r"""["']?\$\{(?:env|file):[^}:]*\}["']?""")
_SECRET_KEY = re.compile(
    r"""(?ix) (?P<key> (?:pas|pwd|token|secret|api_?key) \w{0,20} ["']? \s* [:=] \s*)
    (?P<value> " (?:[^"\\]|\\.)* "? | '[^']*'? | [^\s,;&'"{}\]]+ )"""
)
_RED, _YELLOW, _BLUE, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[1m", "\x1b[0m"


def text(diagnostics: Iterable[Diagnostic], colour: bool = False) -> str:
    """Every problem with the line it stands in, a blank line after each."""
    lines_of: dict[str, list[str]] = {}
    parts = []
    diagnostics = list(diagnostics)
    hidden = [diagnostic for diagnostic in diagnostics if diagnostic.secret]
    for diagnostic in diagnostics:
        if diagnostic.file not in lines_of:
            lines_of[diagnostic.file] = _lines(diagnostic.file) if diagnostic.line else []
        parts.append(_one(diagnostic, lines_of[diagnostic.file], hidden, colour))
    return "\n\n".join(parts)


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """`{"ok": false, "problems": [{file, line, column, path, message, hint, severity}]}`, and `uses` where there are some."""
    keys = ("file", "line", "column", "path", "message", "hint", "severity")
    problems = [{key: getattr(diagnostic, key) for key in keys} for diagnostic in diagnostics]
    for problem, diagnostic in zip(problems, diagnostics, strict=True):
        if diagnostic.uses:
            problem["uses"] = [msgspec.structs.asdict(use) for use in diagnostic.uses]
    good = not any(diagnostic.severity == "error" for diagnostic in diagnostics)
    return msgspec.json.format(msgspec.json.encode({"ok": good, "problems": problems}), indent=2).decode()


def github(diagnostics: Iterable[Diagnostic]) -> str:
    """One workflow command per problem (`::error file=…,line=…::message`)."""
    return "\n".join(map(_annotation, diagnostics))


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    warnings = len(diagnostics) - errors
    parts = [
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return ", ".join(parts) or "no problems"


def _one(diagnostic: Diagnostic, lines: list[str], hidden: list[Diagnostic], colour: bool) -> str:
    def paint(code: str, content: str) -> str:
        return f"{code}{content}{_PLAIN}" if colour else content

    severity = paint(_BOLD + (_RED if diagnostic.severity == "error" else _YELLOW), diagnostic.severity)
    number = str(diagnostic.line) if 0 < diagnostic.line <= len(lines) else ""
    margin = " " * max(len(number), 1)
    place = f"{diagnostic.file}:{diagnostic.line}:{diagnostic.column}" if diagnostic.line else diagnostic.file
    out = [
        f"{severity}: {paint(_BOLD, printable(diagnostic.message))}",
        f"{margin} {paint(_BLUE, '-->')} {printable(place)}",
    ]
    if number:
        base = max(0, diagnostic.column - 1 - MARGIN)
        near = [_moved(each, base) for each in hidden if (each.file, each.line) == (diagnostic.file, diagnostic.line)]
        line = _without_secrets(lines[diagnostic.line - 1][base : base + 3 * MARGIN], near)
        snippet, caret = _snippet(line, _moved(diagnostic, base))
        bar = paint(_BLUE, "|")
        out += [f"{margin} {bar}", f"{paint(_BLUE, number)} {bar} {snippet}", f"{margin} {bar} {paint(_RED, caret)}"]
    uses = [("for", str(use)) for use in diagnostic.uses]
    for label, content in (("at", diagnostic.path), *uses, ("help:", diagnostic.hint)):
        if content:
            out.append(f"{margin} {paint(_BLUE, '=')} {label} {printable(content)}")
    return "\n".join(out)


def _moved(diagnostic: Diagnostic, base: int) -> Diagnostic:
    """The problem in a line that begins `base` characters later."""
    if not base:
        return diagnostic
    end_column = max(diagnostic.end_column - base, 0)
    return msgspec.structs.replace(diagnostic, column=max(diagnostic.column - base, 1), end_column=end_column)


def _without_secrets(line: str, hidden: list[Diagnostic]) -> str:
    """The line with stars for all that may be secret: the length stays, so that the carets point where they did."""
    for other in hidden:
        start = other.column - 1
        end = other.end_column - 1 if other.end_column > other.column else len(line)
        line = line[:start] + _stars(line[start:end]) + line[end:]
    line = _ADDRESS.sub(lambda match: "://" + "*" * len(match["user_info"]) + "@", line)
    return _SECRET_KEY.sub(lambda match: match["key"] + _stars(match["value"]), line)


def _stars(text: str) -> str:
    """Stars, and as many characters as before; nothing is hidden of what only names its source."""
    return text if _ORIGIN.fullmatch(text) else "*" * len(text)


def _snippet(line: str, diagnostic: Diagnostic) -> tuple[str, str]:
    """The line, cut to fit around the problem, and the carets below it."""
    start = min(diagnostic.column - 1, len(line))
    end = diagnostic.end_column - 1 if diagnostic.end_column > diagnostic.column else start + 1
    end = max(min(end, len(line)), start + 1)
    cut = max(0, start - WIDTH // 2) if len(line) > WIDTH else 0
    shown = printable(line[cut : cut + WIDTH].rstrip())
    lead = "…" if cut else ""
    tail = "…" if len(line) > cut + WIDTH else ""
    before = _columns(lead + printable(line[cut:start]))
    carets = max(1, _columns(printable(line[start : min(end, cut + WIDTH)])))
    return lead + shown + tail, " " * before + "^" * carets


def _columns(content: str) -> int:
    """The columns that text takes on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in content
    )


def _lines(file: str) -> list[str]:
    """The lines of a file, as far as it is text; a problem whose file can't be shown goes without a snippet."""
    try:
        return Path(file).read_bytes()[:8_000_000].decode("utf-8-sig", "replace").split("\n")
    except (OSError, ValueError):
        return []


def _annotation(diagnostic: Diagnostic) -> str:
    fields = {"file": diagnostic.file}
    if diagnostic.line:
        fields |= {"line": str(diagnostic.line), "col": str(diagnostic.column)}
        if diagnostic.end_column > diagnostic.column:
            fields["endColumn"] = str(diagnostic.end_column - 1)
    content = diagnostic.message + "".join(f", for {use}" for use in diagnostic.uses)
    content += f" ({diagnostic.hint})" if diagnostic.hint else ""
    listed = ",".join(f"{key}={_escape(value, ':,')}" for key, value in fields.items())
    return f"::{diagnostic.severity} {listed}::{_escape(content)}"


def _escape(content: str, also: str = "") -> str:
    """Percent-encoding as the Actions toolkit does it."""
    for char in "%\r\n" + also:
        content = content.replace(char, f"%{ord(char):02X}")
    return content
