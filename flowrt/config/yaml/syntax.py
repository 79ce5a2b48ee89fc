"""What libyaml and odd characters say against a text, in words that help."""

from __future__ import annotations

import re

import yaml

from flowrt.config.yaml import characters
from flowrt.config.yaml.tree import Unreadable
from flowrt.diagnostics import Mark

MAX_DEPTH = 40
_INDENTED = re.compile(rf" *{characters.INVISIBLE.pattern}")


def syntax_error(error: yaml.MarkedYAMLError, text: str, name: str) -> Unreadable:
    """libyaml's complaint, or what causes it: a character that can't be seen, a tab."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Unreadable(Mark(name, 0, 0), f"not YAML: {error.problem}")
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    place = Mark(name, mark.line + 1, mark.column + 1)
    if found := characters.INVISIBLE.search(line):
        return invisible(name, mark.line + 1, found)
    for number in range(
        min(mark.line, len(lines) - 1), -1, -1
    ):  # the indentation that it does not agree with may be above
        if found := _INDENTED.match(lines[number]):
            return invisible(name, number + 1, found)
    tab = re.match(r"[ ]*\t", line)
    if tab or line[mark.column : mark.column + 1] == "\t":
        column = tab.end() if tab else mark.column + 1
        return Unreadable(
            Mark(name, mark.line + 1, column), "a tab character", "indent by spaces: YAML forbids tabs here"
        )
    diagnostic = str(error.problem or error.context)
    if (
        "nesting depth" in diagnostic
    ):  # newer versions of libyaml have a bound of their own, which its scanner may reach first
        return too_deep(place)
    context = f" {error.context}" if error.context and error.problem else ""
    began = error.context_mark
    since = f" (begun in line {began.line + 1})" if began is not None and began.line != mark.line else ""
    return Unreadable(
        place,
        f"not YAML:{context}{since}: {diagnostic}" if context else f"not YAML: {diagnostic}",
        _advice(diagnostic, line),
    )


def invisible(name: str, line: int, found: re.Match[str]) -> Unreadable:
    message = f"{characters.named(found['character'])}, which is not a space in YAML"
    hint = "replace it by a plain space, or remove it; where it belongs to a text, put the text in quotes"
    return Unreadable(Mark(name, line, found.start("character") + 1), message, hint)


def too_deep(mark: Mark) -> Unreadable:
    return Unreadable(mark, f"nested deeper than {MAX_DEPTH} levels", "flatten it")


def _advice(diagnostic: str, line: str) -> str:
    if "mapping values are not allowed" in diagnostic:
        return "check the indentation, and quote a value that holds ': '"
    if "cannot start any token" in diagnostic:
        return "quote a value that begins with @, ` or %"
    if "could not find expected ':'" in diagnostic:
        return "a key needs ': ' behind it"
    if "expected key" in diagnostic or "block end" in diagnostic:
        return "check the indentation: keys of one mapping stand in the same column"
    if "undefined alias" in diagnostic:
        return "define it with &name further up, or quote a value that begins with *"
    if "expected ',' or" in diagnostic and "${" in line:
        return "quote a value with ${…} within braces or brackets"
    if "expected ',' or" in diagnostic:
        return "a bracket or a comma is missing"
    if "unexpected end of stream" in diagnostic:
        return "a quote or bracket is not closed"
    return "check the syntax here" if line else "something is not closed"
