"""Runs a test: the flow under virtual time, then what came out held against what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from flowrt.contract import Contract, NotInContract
from flowrt.flow import Flow
from flowrt.message import Message
from flowrt.testing.replay import rehearse, substitute
from flowrt.testing.suite import Expectation, text_of
from flowrt.testing.suite_checks import Ready


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


def run_case(ready: Ready) -> Outcome:
    """Run one test. Raises FlowError where a node of its flow can't be opened."""
    case, flow, contract, inputs = ready
    recorded = rehearse(substitute(flow, inputs), until_s=case.until_s)
    failures = [f for e in case.expect if (f := _judge(contract, flow.site, recorded, e)) is not None]
    return Outcome(name=case.name, failures=[*failures, *_breaches(contract, flow, recorded)], messages=len(recorded))


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
    instead = [text_of({key: _look_up(facts, key) for key in keys}) for facts in candidates]
    return Failure(wanted.described(), found, list(dict.fromkeys(instead))[:8] or ["nothing came there"])


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
        for breach in validators[spec.priority == "telemetry"].check(spec, payload):
            found.setdefault(f"{spec.topic} at {outbox}", []).append(str(breach))
    for where, breaches in found.items():
        yield Failure(f"every payload of {where} keeps to its schema", len(breaches), list(dict.fromkeys(breaches))[:8])


def _facts(contract: Contract, site: str, message: Message, wanted: Expectation) -> Iterator[Mapping[str, Any]]:
    """The payload of a message on the wanted topic, or its points of the wanted measurement."""
    if wanted.topic:
        with suppress(NotInContract):
            if contract.topic(message).topic == wanted.topic:
                yield contract.payload(message, site)
        return
    with suppress(NotInContract):
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
