"""CEL expressions: compiled once, checked at load, evaluated on plain values. Never Python's eval.

Language: https://cel.dev. An expression sees only the variables it is given; it has no side effects and always ends, within the bounds of
`comprehension.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from flowrt import Diagnostic
from flowrt_nodes._lib.cel_limits import Comprehensions, Unbounded

FIELD = re.compile(r"\b([a-z_]\w*)\.([a-z_]\w*)\b(?!\s*\()")
PLACE = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")


class ExpressionError(ValueError):
    """An expression that can't be used, with where and why. hint: what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Expression:
    """One compiled expression. variables: the names it uses."""

    def __init__(self, text: str) -> None:
        """Raises ExpressionError where the text is no CEL, or has a shape whose evaluation has no bound."""
        self.text = text
        try:
            self._comprehensions = Comprehensions(text)
        except Unbounded as error:
            raise ExpressionError(str(error), error.hint) from None
        try:
            import cel  # takes a fifth of a second, so only flows with an expression pay for it

            self._program = cel.compile(text)
        except ValueError as error:
            raise ExpressionError(_reason(str(error), text)) from None
        self.variables = frozenset(self._program.variables())

    def fields(self, variable: str) -> list[str]:
        """Which fields of a variable it reads (`track.speed_kmh`), as far as the text shows."""
        return sorted({field for name, field in FIELD.findall(self.text) if name == variable})

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The result. Raises what the evaluation raises: KeyError, TypeError, RuntimeError, ValueError (also where it would take too long)."""
        if self._comprehensions:
            self._comprehensions.check(values)
        return self._program.execute(dict(values))

    def true(self, values: Mapping[str, Any]) -> bool:
        """Whether the result is true; anything but a boolean raises TypeError."""
        if self._comprehensions:
            self._comprehensions.check(values)
        result = self._program.execute(values if isinstance(values, dict) else dict(values))
        if result is True or result is False:
            return result
        raise TypeError(f"`{self.text}` gives {result!r}; true or false was expected")


def _reason(message: str, text: str) -> str:
    found = PLACE.search(message)
    if not found:
        return message.splitlines()[0]
    line, column, reason = int(found[1]), int(found[2]), found[3]
    reason = re.split(r", expecting|expecting \{", reason)[0].strip()
    lines = text.splitlines() or [""]
    shown = lines[line - 1] if line <= len(lines) else ""
    place = f"character {column}" if len(lines) == 1 else f"line {line}, character {column}"
    return f"{reason} at {place}: `{shown[: column - 1]}⟨here⟩{shown[column - 1 :]}`"


def diagnostics(
    path: tuple[str | int, ...], text: str, sample: Mapping[str, Any], *, open_values: Iterable[str] = ()
) -> Iterable[Diagnostic]:
    """What is wrong with an expression whose variables look like `sample`.

    open_values: variables of the sample whose content is not known beforehand; expressions that read them are only parsed.
    """
    try:
        expression = Expression(text)
    except ExpressionError as error:
        if error.hint:
            yield Diagnostic(path, str(error), error.hint)
        else:
            example = 'an example: `track.speed_kmh > 60 && zone == "school"`'
            yield Diagnostic(path, f"this is no CEL expression: {error}", example)
        return
    strange = sorted(expression.variables - set(sample))
    if strange:
        known = ", ".join(sorted(sample))
        yield Diagnostic(path, f"unknown variable '{strange[0]}' in `{text}`", f"known: {known}")
        return
    for name in sorted(expression.variables & {name for name, value in sample.items() if isinstance(value, dict)}):
        if name in open_values:
            continue
        for field in expression.fields(name):
            if field not in sample[name]:
                known = ", ".join(sorted(sample[name]))
                yield Diagnostic(path, f"'{name}' has no '{field}'", f"known: {known}")
                return
    if expression.variables & set(open_values):
        return
    try:
        expression(sample)
    except TypeError as error:
        yield Diagnostic(
            path, f"`{text}` can't be evaluated: {str(error).partition('. ')[0]}", "compare numbers with numbers"
        )
    except (RuntimeError, ValueError, KeyError) as error:
        yield Diagnostic(path, f"`{text}` can't be evaluated: {str(error).partition('. ')[0]}")
