"""Validation at run time: all payloads, a sample, or none, and each breach told with its place in the schema."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flowrt.contract import Contract, NotInContract, Validator
from flowrt.contract.validate import Mode
from tests.contract.messages import SITE, detections, violation

CONTRACT = Contract.load()
VIOLATIONS = CONTRACT.topics["violations"]


def payload(**change: Any) -> dict[str, Any]:
    whole = CONTRACT.payload(violation(), SITE) | change
    return {name: value for name, value in whole.items() if value is not ...}


@pytest.mark.parametrize(
    ("change", "schema_path", "path", "message"),
    [
        ({"severity": "grave"}, "properties/severity/enum", "severity", "'grave' is not one of"),
        ({"phase": ...}, "required", "", "'phase' is a required property"),
        ({"colour": "red"}, "additionalProperties", "", "'colour' was unexpected"),
        ({"confidence": 1.5}, "properties/confidence/maximum", "confidence", "1.5 is greater than the maximum of 1"),
        ({"time": "2026-05-04 10:00"}, "properties/time/pattern", "time", "does not match"),
        ({"id": ""}, "properties/id/minLength", "id", "should be non-empty"),
        ({"location": {"x_px": "1", "y_px": 2}}, "properties/location/properties/x_px/type", "location.x_px", "'1' is not of type 'number'"),
    ],
)  # fmt: skip
def test_breaches_name_the_place(change: dict[str, Any], schema_path: str, path: str, message: str) -> None:
    (breach,) = CONTRACT.validate_payload("violations", payload(**change))
    assert breach.schema_path == f"violations.schema.json#/{schema_path}"
    assert breach.path == path
    assert message in breach.message
    assert breach.schema_path in str(breach)


def test_several_breaches_are_told_but_not_without_end() -> None:
    many = CONTRACT.payload(detections(50), SITE)
    for found in many["objects"]:
        found["confidence"] = 2
    assert len(CONTRACT.validate_payload("detection", many)) == 10


def test_long_values_do_not_flood_the_log() -> None:
    (breach,) = CONTRACT.validate_payload("violations", payload(severity="x" * 5000))
    assert len(breach.message) < 250


def test_availability_is_a_word() -> None:
    assert CONTRACT.validate_payload("availability", "online") == []
    assert CONTRACT.validate_payload("availability", "away") != []


@pytest.mark.parametrize(("mode", "told"), [("all", 25), ("sample", 3), ("off", 0)])
def test_modes(mode: Mode, told: int) -> None:
    validator = CONTRACT.validator(mode, every_n=10)
    bad = payload(severity="grave")
    assert sum(bool(validator.check(VIOLATIONS, bad)) for _ in range(25)) == told


def test_a_sample_counts_each_topic_for_itself() -> None:
    validator = Validator("sample", every_n=1000)
    picture = CONTRACT.payload(detections(), SITE) | {"model": 5}
    assert validator.check(VIOLATIONS, payload(severity="grave"))
    assert validator.check(CONTRACT.topics["detection"], picture)
    assert not validator.check(VIOLATIONS, payload(severity="grave"))


def test_a_sample_is_exact_from_many_threads() -> None:
    validator = CONTRACT.validator("sample", every_n=10)
    bad = payload(severity="grave")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: bool(validator.check(VIOLATIONS, bad)), range(400)))
    assert sum(found) == 40


def test_unknown_topics_are_named() -> None:
    with pytest.raises(NotInContract, match="no topic 'violation'"):
        CONTRACT.validate_payload("violation", {})
