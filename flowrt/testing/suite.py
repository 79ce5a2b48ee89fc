"""Declarative flow tests: a `*.test.yaml` beside a flow says what goes in and what must come out.

    flow: intersection.yaml
    tests:
      - name: a car that runs the red light is reported once
        set: {north.uri: "sim://four-way?seed=11&camera=north&scenario=red_light&duration_s=40"}
        input: {signals: [{time_s: 0, states: {phase_2: stop-and-remain}}]}
        expect:
          - {from: to_broker, topic: violations, where: {violation_type: red_light, phase: new}, count: 1}

The flow runs in full, under virtual time; brokers and databases are recorders, so a test needs neither and takes only the time to
compute. `input` puts literal messages in the place of a source, or a recording in the place of any node:
`input: {tracks: {recorded: monday.recording}}`. Besides what a test expects, every payload must keep to its schema; of telemetry every
tenth is looked at.

This module reads such a file, with the place of each of its parts; `suite_checks.py` finds what makes no sense in it, `suite_run.py` runs
it.
"""

from __future__ import annotations

import collections.abc
import re
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from flowrt.config.report import below, place, plain
from flowrt.config.yaml import Mapping, read_document
from flowrt.diagnostics import Diagnostic, FlowError, Mark, did_you_mean

Steps = tuple[str | int, ...]
"""The way to something in a file."""


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"outbox": "from"}):
    """What must arrive at an outbox: how many messages of a topic or measurement whose fields are as `where` says.

    where: payload field (dotted) or tag/field to value; a list means any of, {min, max} a range.
    Without `count`, `at_least` or `at_most`: at least one.
    """

    outbox: str
    topic: str = ""
    measurement: str = ""
    where: dict[str, Any] = {}
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    at_least: Annotated[int, msgspec.Meta(ge=0)] | None = None
    at_most: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def holds(self, found: int) -> bool:
        """Whether so many are right."""
        if self.count is not None and found != self.count:
            return False
        if self.at_most is not None and found > self.at_most:
            return False
        least = (
            self.at_least if self.at_least is not None else (1 if self.count is None and self.at_most is None else 0)
        )
        return found >= least

    def described(self) -> str:
        """The expectation in words."""
        if self.count is not None:
            much = f"exactly {self.count}"
        else:
            much = (
                " and ".join(
                    filter(
                        None,
                        (
                            f"at least {self.at_least}" if self.at_least else "",
                            f"at most {self.at_most}" if self.at_most is not None else "",
                        ),
                    )
                )
                or "at least 1"
            )
        where = f" where {text_of(self.where)}" if self.where else ""
        return f"{much} of {self.topic or self.measurement} at {self.outbox}{where}"


class FromRecording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node once made. recorded: a file of `flowrt record`, beside the test; node: as it was called then."""

    recorded: str
    node: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One test. set: NODE.SETTING to value; until_s: stop at this virtual time; input: node name to messages."""

    name: str
    expect: Annotated[list[Expectation], msgspec.Meta(min_length=1)]
    set: dict[str, str | int | float | bool] = {}
    input: dict[str, list[dict[str, Any]] | FromRecording] = {}
    until_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written in a test file."""

    flow: str
    tests: Annotated[list[Case], msgspec.Meta(min_length=1)]


_KINDS: Final[dict[int, type[msgspec.Struct]]] = {0: _File, 2: Case, 4: Expectation}
"""What stands so many steps below the top of the file: `tests[0].expect[0]` is an expectation."""
_UNKNOWN_KEY = re.compile("Object contains unknown field `(.*)`")


class Suite:
    """A test file. flow: the path of the flow that it tests."""

    def __init__(self, path: Path, root: Mapping) -> None:
        """Raises msgspec.ValidationError where the file does not have the form of one."""
        content = msgspec.convert(plain(root), _File)
        self.path = path
        self.flow = path.parent / content.flow
        self.tests = content.tests
        self._root = root

    def place(self, steps: Steps) -> Mark:
        """Where the value stands to which the steps lead."""
        return place(self._root, steps, self._root.mark)

    def key(self, steps: Steps) -> Mark:
        """Where the key stands that is the last of the steps."""
        return _key(self._root, steps)


def read_suite(path: Path) -> Suite:
    """The test file. Raises FlowError with the place of what is wrong with its form; `prepare` looks at its sense."""
    diagnostics: list[Diagnostic] = []
    root = read_document(path, str(path), diagnostics)
    if root is None or diagnostics:
        raise FlowError(diagnostics)
    try:
        return Suite(path, root)
    except msgspec.ValidationError as error:
        raise FlowError([_malformed(root, str(error))]) from error


def _malformed(root: Mapping, error: str) -> Diagnostic:
    """What msgspec says of a value, with its place."""
    message, _, where = error.partition(" - at `$")
    steps = _steps(where.rstrip("`"))
    mark, hint = place(root, steps, root.mark), ""
    if unknown := _UNKNOWN_KEY.fullmatch(message):
        key = unknown[1]
        kind = _KINDS.get(len(steps), FromRecording)
        message = f"unknown key '{key}'"
        hint = did_you_mean(key, [field.encode_name for field in msgspec.structs.fields(kind)])
        mark = _key(root, (*steps, key))
    path = ".".join(map(str, steps))
    return Diagnostic(file=mark.file, line=mark.line, column=mark.column, path=path, message=message, hint=hint)


def _key(root: Mapping, steps: Steps) -> Mark:
    holder = below(root, steps[:-1])
    return holder.key(str(steps[-1])) if isinstance(holder, Mapping) else place(root, steps, root.mark)


def _steps(path: str) -> Steps:
    """`.tests[0].expect` as steps; `[...]`, which stands for any key, ends them."""
    steps: list[str | int] = []
    for part in path.replace("[", ".[").split("."):
        if part == "[...]":
            break
        if part.startswith("["):
            steps.append(int(part[1:-1]))
        elif part:
            steps.append(part)
    return tuple(steps)


def text_of(facts: collections.abc.Mapping[str, Any]) -> str:
    """Facts in one line."""
    return ", ".join(f"{key}: {value}" for key, value in facts.items())
