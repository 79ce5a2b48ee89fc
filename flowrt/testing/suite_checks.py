"""Mistakes in a test file: unknown names, inputs that are no messages.

A misspelt topic never arrives; `at_most: 0` of it would hold for ever. So every name that a test uses is looked up before it runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from flowrt.config import load
from flowrt.config.cache import LoadCache
from flowrt.config.report import Report
from flowrt.contract import Contract
from flowrt.contract.compatibility import resolve
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.flow import Flow, NodeSpec
from flowrt.message import Message, Record
from flowrt.node import Outbox, Source
from flowrt.testing.recording import Recording
from flowrt.testing.suite import Case, Expectation, FromRecording, Steps, Suite

Schema = dict[str, Any]
_SET: Final = "--set "
"""Begins the place of a problem with a setting that was given beside the flow file."""


class Ready(NamedTuple):
    """A test that may run: the flow with the test's settings, the contract, and the messages of each node named in `input`."""

    case: Case
    flow: Flow
    contract: Contract
    inputs: dict[str, Iterable[Message]]


def prepare(suite: Suite) -> list[Ready]:
    """The tests of a file, checked. Raises FlowError with everything that is wrong with them and the flow they are for."""
    prepared, report, cache = [], Report(), LoadCache()
    for number, case in enumerate(suite.tests):
        try:
            prepared.append(_ready(suite, case, ("tests", number), cache))
        except FlowError as error:
            report.diagnostics += error.diagnostics
    if report.failed:
        raise FlowError(report.sorted())
    return prepared


def _ready(suite: Suite, case: Case, steps: Steps, cache: LoadCache) -> Ready:
    flow = _flow(suite, case, steps, cache)
    contract = Contract.of_flow(flow.folder)
    checker = _Checker(suite, flow, contract)
    inputs = checker.inputs(case, steps)
    for number, expectation in enumerate(case.expect):
        checker.expectation(expectation, (*steps, "expect", number))
    if checker.report.failed:
        raise FlowError(checker.report.diagnostics)
    return Ready(case, flow, contract, inputs)


def _flow(suite: Suite, case: Case, steps: Steps, cache: LoadCache) -> Flow:
    try:
        return load(suite.flow, overrides={target: _literal(value) for target, value in case.set.items()}, cache=cache)
    except FlowError as error:
        raise FlowError([_of_setting(suite, diagnostic, steps) for diagnostic in error.diagnostics]) from error


def _literal(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_setting(suite: Suite, diagnostic: Diagnostic, steps: Steps) -> Diagnostic:
    """A problem with a setting of `set`, where the test file has it."""
    target = diagnostic.file.removeprefix(_SET)
    if target == diagnostic.file:
        return diagnostic
    mark = suite.key((*steps, "set", target))
    return msgspec.structs.replace(diagnostic, file=mark.file, line=mark.line, column=mark.column, end_column=0)


class _Checker:
    def __init__(self, suite: Suite, flow: Flow, contract: Contract) -> None:
        self.suite, self.flow, self.contract = suite, flow, contract
        self.report = Report()

    def inputs(self, case: Case, steps: Steps) -> dict[str, Iterable[Message]]:
        """The messages of the nodes named in `input`."""
        given: dict[str, Iterable[Message]] = {}
        for name, entry in case.input.items():
            spec, below = self.flow.nodes.get(name), (*steps, "input", name)
            if isinstance(entry, FromRecording):
                if spec is None:
                    self._unknown(below, f"'{name}' is no node of the flow", name, self.flow.nodes, at_key=True)
                given[name] = self._recorded(name, entry, below)
            elif spec is None or not isinstance(spec.settings, Source):
                sources = [n for n, s in self.flow.nodes.items() if isinstance(s.settings, Source)]
                self._unknown(below, f"'{name}' is no source of the flow", name, sources, at_key=True)
            else:
                read = (self._message(spec, each, (*below, number)) for number, each in enumerate(entry))
                given[name] = sorted((m for m in read if m is not None), key=lambda m: m.time_s)
        return given

    def _recorded(self, name: str, entry: FromRecording, steps: Steps) -> list[Message]:
        try:
            recording = Recording(self.suite.path.parent / entry.recorded)
        except FlowError as error:
            for diagnostic in error.diagnostics:
                self._add((*steps, "recorded"), f"'{entry.recorded}': {diagnostic.message}", diagnostic.hint)
            return []
        node, known = entry.node or name, recording.header.nodes
        if node not in known:
            below = (*steps, "node") if entry.node else steps
            message = f"'{entry.recorded}' has nothing of a node '{node}'"
            self._unknown(below, message, node, known)
        return [message for source, message in recording if source == node]

    def _message(self, spec: NodeSpec, entry: dict[str, Any], steps: Steps) -> Message | None:
        """A literal message, of the first of the source's output types that it fits."""
        errors = []
        for kind in spec.type.ports.outputs:
            try:
                return msgspec.convert(entry, kind, strict=False)
            except (msgspec.ValidationError, TypeError) as error:
                errors.append(f"{kind.port}: {error}")
        self._add(steps, f"an input of '{spec.name}' is none of its messages", "; ".join(errors))
        return None

    def expectation(self, wanted: Expectation, steps: Steps) -> None:
        """Look up the outbox, the topic or measurement, and every field."""
        outboxes = [name for name, spec in self.flow.nodes.items() if isinstance(spec.settings, Outbox)]
        if wanted.outbox not in outboxes:
            message = f"'{wanted.outbox}' is no outbox of the flow"
            self._unknown((*steps, "from"), message, wanted.outbox, outboxes)
        if bool(wanted.topic) == bool(wanted.measurement):
            self._add(steps, "expected a `topic` or a `measurement`", "name one of them")
        elif wanted.topic:
            self._topic(wanted, steps)
        else:
            self._measurement(wanted, steps)

    def _topic(self, wanted: Expectation, steps: Steps) -> None:
        spec = self.contract.topics.get(wanted.topic)
        if spec is None:
            if not self._free(wanted.outbox):
                message = f"the contract has no topic '{wanted.topic}'"
                self._unknown((*steps, "topic"), message, wanted.topic, self.contract.topics)
            return
        for path, value in wanted.where.items():
            below = (*steps, "where", path)
            field, known = _field(spec.schema, path)
            if field is None:
                message = f"a payload of {wanted.topic} has no field '{path}'"
                self._unknown(below, message, path.rpartition(".")[2], known, at_key=True)
                continue
            allowed = field.get("enum")
            for each in value if isinstance(value, list) else [value]:
                if allowed is not None and each not in allowed:
                    message = f"'{path}' of {wanted.topic} is never {each}"
                    self._unknown(below, message, str(each), [str(one) for one in allowed])

    def _measurement(self, wanted: Expectation, steps: Steps) -> None:
        spec = self.contract.measurements.get(wanted.measurement)
        if spec is None:
            message = f"the contract has no measurement '{wanted.measurement}'"
            self._unknown((*steps, "measurement"), message, wanted.measurement, self.contract.measurements)
            return
        known = [*spec.tags, *spec.fields]
        for name in wanted.where:
            if name not in known:
                message = f"{wanted.measurement} has no tag or field '{name}'"
                self._unknown((*steps, "where", name), message, name, known, at_key=True)

    def _free(self, outbox: str) -> bool:
        """Whether records arrive at the outbox, which go wherever they say."""
        kinds = [kind for edge, kinds in self.flow.arriving.items() if edge.target == outbox for kind in kinds]
        return any(issubclass(Record, kind) or issubclass(kind, Record) for kind in kinds)

    def _unknown(self, steps: Steps, message: str, word: str, known: Collection[str], *, at_key: bool = False) -> None:
        self._add(steps, message, self.report.suggest(word, known), at_key=at_key)

    def _add(self, steps: Steps, message: str, hint: str, *, at_key: bool = False) -> None:
        mark = self.suite.key(steps) if at_key else self.suite.place(steps)
        self.report.add(mark, ".".join(map(str, steps)), message, hint)


def _field(schema: Schema, path: str) -> tuple[Schema | None, list[str]]:
    """What a topic's schema says of a field, or the names that it has where the path leads nowhere; {} where all is allowed."""
    found = schema
    for part in path.split("."):
        found = _resolved(found, schema)
        known, others = found.get("properties", {}), found.get("additionalProperties", True)
        if part in known:
            found = known[part]
        elif isinstance(others, dict):
            found = others
        elif others is False or found.get("type", "object") != "object":
            return None, list(known)
        else:
            return {}, []
    return _resolved(found, schema), []


def _resolved(schema: Schema, root: Schema) -> Schema:
    return resolve(schema["$ref"], root) if "$ref" in schema else schema
