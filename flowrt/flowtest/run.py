"""Declarative flow tests: a `*.test.yaml` beside a flow says what goes in and what must come out.

    flow: intersection.yaml
    tests:
      - name: a car that runs the red light is reported once
        set: {north_camera.uri: "sim://four-way?seed=3&scenario=red_light_fast&duration_s=40"}
        input: {signals: [{time_s: 0, states: {phase_2: stop-and-remain}}]}
        expect:
          - {from: to_broker, topic: violations, where: {violation_type: red_light, phase: new}, count: 1}

The whole flow runs, under virtual time; brokers and databases are recorders, so a test needs neither and takes as long as the
computing takes. `input` puts literal messages in the place of a source, or a recording in the place of any node:
`input: {tracks: {recorded: monday.recording}}`. Besides what a test expects, every payload must keep to its schema; of telemetry every
tenth is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from flowrt.contract import Contract
from flowrt.document import read_document
from flowrt.flow import Flow, NodeSpec
from flowrt.load import load
from flowrt.load.report import place, plain
from flowrt.messages import Message
from flowrt.node import Outbox, Source
from flowrt.problem import FlowError, Problem, did_you_mean
from flowrt.recording import Recording
from flowrt.replay import rehearse, substitute


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

    def said(self) -> str:
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
        where = f" where {_text(self.where)}" if self.where else ""
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
    until_s: float | None = None


class Suite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test file."""

    flow: str
    tests: Annotated[list[Case], msgspec.Meta(min_length=1)]


class Failure(msgspec.Struct, frozen=True):
    """One expectation that did not hold: what was expected, how many were found, and what came instead."""

    expected: str
    found: int
    instead: list[str]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one test."""

    name: str
    failures: list[Failure] = []
    messages: int = 0

    @property
    def passed(self) -> bool:
        """Whether every expectation held."""
        return not self.failures


def read_suite(path: Path) -> Suite:
    """The test file. Raises FlowError with the place of what is wrong."""
    problems: list[Problem] = []
    root = read_document(path, str(path), problems)
    if root is None:
        raise FlowError(problems)
    try:
        return msgspec.convert(plain(root), Suite)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        steps = _steps(where.rstrip("`"))
        mark = place(root, steps, root.mark)
        raise FlowError(
            [
                Problem(
                    file=str(path), line=mark.line, column=mark.column, path=".".join(map(str, steps)), message=message
                )
            ]
        ) from error


def _steps(path: str) -> tuple[str | int, ...]:
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


def run_case(suite_path: Path, suite: Suite, case: Case) -> Outcome:
    """Run one test. Raises FlowError where the flow or the test makes no sense."""
    path = suite_path.parent / suite.flow
    flow = load(path, overrides={target: _literal(value) for target, value in case.set.items()})
    recorded = rehearse(_with_inputs(flow, case, suite_path), until_s=case.until_s)
    contract = Contract.of_flow(flow.folder)
    for expectation in case.expect:
        _check_names(suite_path, flow, expectation)
    failures = [f for e in case.expect if (f := _judge(contract, flow.site, recorded, e)) is not None]
    return Outcome(name=case.name, failures=[*failures, *_breaches(contract, flow, recorded)], messages=len(recorded))


def _with_inputs(flow: Flow, case: Case, suite_path: Path) -> Flow:
    given: dict[str, Iterable[Message]] = {}
    for name, entry in case.input.items():
        spec = flow.nodes.get(name)
        if isinstance(entry, FromRecording):
            if spec is None:
                raise _problem(suite_path, f"tests: '{name}' is no node of the flow", did_you_mean(name, flow.nodes))
            given[name] = _recorded(suite_path, name, entry)
        elif spec is None or not isinstance(spec.settings, Source):
            sources = [n for n, s in flow.nodes.items() if isinstance(s.settings, Source)]
            raise _problem(suite_path, f"tests: '{name}' is no source of the flow", did_you_mean(name, sources))
        else:
            given[name] = sorted((_message(suite_path, spec, each) for each in entry), key=lambda m: m.time_s)
    return substitute(flow, given)


def _recorded(suite_path: Path, name: str, entry: FromRecording) -> list[Message]:
    recording, node = Recording(suite_path.parent / entry.recorded), entry.node or name
    if node not in recording.header.nodes:
        hint = did_you_mean(node, recording.header.nodes)
        raise _problem(suite_path, f"tests: '{entry.recorded}' has nothing of a node '{node}'", hint)
    return [message for source, message in recording if source == node]


def _message(suite_path: Path, spec: NodeSpec, entry: dict[str, Any]) -> Message:
    """A literal message, of the first of the source's output types that it fits."""
    errors = []
    for kind in spec.type.ports.outputs:
        try:
            return msgspec.convert(entry, kind, strict=False)
        except (msgspec.ValidationError, TypeError) as error:
            errors.append(f"{kind.port}: {error}")
    raise _problem(suite_path, f"tests: an input of '{spec.name}' is no message of its: {'; '.join(errors)}", "")


def _check_names(suite_path: Path, flow: Flow, expectation: Expectation) -> None:
    outboxes = [name for name, spec in flow.nodes.items() if isinstance(spec.settings, Outbox)]
    if expectation.outbox not in outboxes:
        hint = did_you_mean(expectation.outbox, outboxes)
        raise _problem(suite_path, f"tests: '{expectation.outbox}' is no outbox of the flow", hint)
    if bool(expectation.topic) == bool(expectation.measurement):
        raise _problem(suite_path, "tests: an expectation names a `topic` or a `measurement`", "name one of them")


def _problem(path: Path, message: str, hint: str) -> FlowError:
    return FlowError([Problem(file=str(path), line=0, column=0, path="", message=message, hint=hint)])


def _literal(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _judge(contract: Contract, site: str, recorded: list[tuple[str, Message]], wanted: Expectation) -> Failure | None:
    candidates = [
        facts
        for outbox, message in recorded
        if outbox == wanted.outbox
        for facts in _facts(contract, site, message, wanted)
    ]
    found = sum(
        all(_matches(_look_up(facts, key), value) for key, value in wanted.where.items()) for facts in candidates
    )
    if wanted.holds(found):
        return None
    keys = list(wanted.where) or ["id"]
    instead = [_text({key: _look_up(facts, key) for key in keys}) for facts in candidates]
    return Failure(wanted.said(), found, list(dict.fromkeys(instead))[:8] or ["nothing came there"])


def _breaches(contract: Contract, flow: Flow, recorded: list[tuple[str, Message]]) -> Iterator[Failure]:
    """Payloads that break their schema, by outbox. In production only a sample is looked at (`validate`)."""
    validators = {False: contract.validator("all"), True: contract.validator("sample", 10)}
    found: dict[str, list[str]] = {}
    for outbox, message in recorded:
        settings = flow.nodes[outbox].settings
        if getattr(settings, "contract", "") != "topics" or getattr(settings, "format", "flowrt") != "flowrt":
            continue
        spec = contract.topic(message)
        payload = msgspec.json.decode(contract.encode_payload(message, flow.site))
        for breach in validators[spec.urgency == "telemetry"].check(spec, payload):
            found.setdefault(f"{spec.topic} at {outbox}", []).append(str(breach))
    for where, breaches in found.items():
        yield Failure(f"every payload of {where} keeps to its schema", len(breaches), list(dict.fromkeys(breaches))[:8])


def _facts(contract: Contract, site: str, message: Message, wanted: Expectation) -> Iterator[Mapping[str, Any]]:
    """The payload of a message on the wanted topic, or its points of the wanted measurement."""
    if wanted.topic:
        if contract.topic(message).topic == wanted.topic:
            yield contract.payload(message, site)
        return
    for point in contract.points(message, site):
        if point.measurement == wanted.measurement:
            yield {**point.tags, **point.fields}


def _look_up(facts: Any, key: str) -> Any:
    for part in key.split("."):
        facts = facts.get(part) if isinstance(facts, Mapping) else None
    return facts


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_matches(value, each) for each in wanted)
    if isinstance(wanted, dict) and wanted.keys() <= {"min", "max"}:
        if not isinstance(value, int | float):
            return False
        return bool(wanted.get("min", value) <= value <= wanted.get("max", value))
    return bool(value == wanted)


def _text(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in facts.items())
