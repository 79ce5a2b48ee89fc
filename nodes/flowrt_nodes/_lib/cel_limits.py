"""Bounds of CEL's comprehensions (`map`, `filter`, `exists`, …), so that no message and no expression holds up a flow.

The evaluation can't be interrupted. It copies the list that a `map` or `filter` has made so far at each item, so its time grows with the
square of the list's length, times the size of an item of the result; within each other they grow without limit. So shapes whose
effort can't be foreseen are refused at load, and for the others the effort is estimated from the values before each evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MAX_CHARACTERS = 2000
"""The longest expression."""
MAX_MATCHES = 4
"""Calls of `matches` in one expression: each compiles its pattern again, for up to 50 ms."""
BUDGET = 10_000_000
"""Copied values in one evaluation. Ten million take about half a second on one idle core."""

_LITERAL = re.compile(
    r"""[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|//[^\n]*""", re.DOTALL
)
_CALL = re.compile(r"\.\s*(map|filter|exists|exists_one|existsOne|all)\s*\(")
_MATCHES = re.compile(r"\bmatches\s*\(")
_PATH = re.compile(r"(?<![\w.])([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)")
_NAME_AT_END = re.compile(r"([A-Za-z_]\w*)\s*$")


class Unbounded(ValueError):
    """A shape that is refused, or values that would take too long. hint: what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Size(NamedTuple):
    """Of values: how many in all, in the longest list or map, and in the largest item of one."""

    total: int
    longest: int
    item: int


class Comprehensions:
    """Those of one expression; false where it has none."""

    def __init__(self, text: str) -> None:
        """Raises Unbounded."""
        if len(text) > MAX_CHARACTERS:
            message = f"the expression has {len(text)} characters; at most {MAX_CHARACTERS} are allowed"
            raise Unbounded(message, "split it over several nodes")
        self._text = text
        self._code = _LITERAL.sub(lambda literal: " " * len(literal[0]), text)
        self._bodies = list(self._found())
        matches = [found.start() for found in _MATCHES.finditer(self._code)]
        if len(matches) > MAX_MATCHES:
            raise Unbounded(
                f"`matches` stands {len(matches)} times in `{text}`",
                f"at most {MAX_MATCHES} times; join the patterns with |",
            )
        if any(start <= at < end for _, start, end in self._bodies for at in matches):
            message = f"`matches` within `{self._bodies[0][0]}` in `{text}` compiles its pattern for each item"
            raise Unbounded(message, "use startsWith, endsWith, contains or `in`")

    def __bool__(self) -> bool:
        return bool(self._bodies)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raises Unbounded where an evaluation with these values exceeds the budget."""
        size = measure(values)
        made = max((self._made(body, start, end, values, size) for body, start, end in self._bodies), default=0)
        effort = len(self._bodies) * size.longest**2 // 2 * made
        if effort > BUDGET:
            message = f"`{self._text}` would take too long: a list has {size.longest} items"
            raise Unbounded(message, "make the list shorter before")

    def _made(self, macro: str, start: int, end: int, values: Mapping[str, Any], size: Size) -> int:
        """Of how many values an item of the result consists at most; without a result, the share of the values that are read for it."""
        body = self._code[start:end]
        read = 1 + body.count(",")
        for root, path in _PATH.findall(body):
            read += measure(_at(values[root], path)).total if root in values else size.item
        if macro == "map":
            return read
        return max(size.item if macro == "filter" else 1, 2 * read // max(size.longest, 1))

    def _found(self) -> Iterator[tuple[str, int, int]]:
        """Macro, begin and end of its arguments. Raises Unbounded for a macro in another, or over a list that is made in the expression."""
        last_end, maps = 0, 0
        for call in _CALL.finditer(self._code):
            macro, start = call[1], call.end()
            if start <= last_end:
                message = f"`{macro}` within another `map`, `filter`, `exists` or `all` in `{self._text}`"
                raise Unbounded(message, "they may stand one after the other, and not within each other")
            if not self._over_a_path(call.start()):
                message = f"`{macro}` over a list made in the expression: `{self._text}`"
                raise Unbounded(message, "only lists that the message brings, as `message.data.items.map(…)`")
            maps += macro == "map"
            if maps > 1:
                raise Unbounded(f"`map` stands more than once in `{self._text}`", "use one `map`, or two nodes")
            last_end = _closing(self._code, start)
            yield macro, start, last_end

    def _over_a_path(self, end: int) -> bool:
        """Whether what ends there is a name, fields and indices behind it, or the result of another comprehension."""
        before = self._code[:end].rstrip()
        while before.endswith(("]", ")")):
            is_call = before.endswith(")")
            before = before[: _opening(before)].rstrip()
            if is_call:
                dot = before.rfind(".")
                if dot < 0 or not _CALL.fullmatch(before[dot:] + "("):
                    return False
                before = before[:dot].rstrip()
        return bool(_NAME_AT_END.search(before)) and not before.endswith((" in", "\nin"))


def measure(value: Any) -> Size:
    """The size of plain values; a text counts one for each 16 characters."""
    if isinstance(value, str | bytes):
        return Size(1 + len(value) // 16, 0, 0)
    if not isinstance(value, Mapping | list | tuple):
        return Size(1, 0, 0)
    inner = [measure(each) for each in (value.values() if isinstance(value, Mapping) else value)]
    largest = max((each.total for each in inner), default=0) if not isinstance(value, Mapping) else 1
    return Size(
        1 + sum(each.total for each in inner),
        max(len(inner), max((each.longest for each in inner), default=0)),
        max(largest, max((each.item for each in inner), default=0)),
    )


def _at(value: Any, path: str) -> Any:
    """What a path leads to, as far as it leads."""
    for name in path.split(".")[1:]:
        if not isinstance(value, Mapping) or name not in value:
            break
        value = value[name]
    return value


def _closing(code: str, start: int) -> int:
    """Where the parenthesis closes that opens before `start`; the end of the text where it does not."""
    depth = 1
    for at in range(start, len(code)):
        depth += (code[at] in "([{") - (code[at] in ")]}")
        if depth == 0:
            return at
    return len(code)


def _opening(code: str) -> int:
    """Where the bracket opens that closes at the end of the text; 0 where it does not."""
    depth = 0
    for at in range(len(code) - 1, -1, -1):
        depth += (code[at] in ")]}") - (code[at] in "([{")
        if depth == 0:
            return at
    return 0
