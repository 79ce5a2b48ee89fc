"""The encoder against the client's `Point`, byte for byte."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client import Point, WritePrecision

from flowrt.contract.line_protocol import FieldType, LineEncoder

# Names and texts with everything that needs escaping, and whatever else Unicode has.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(' ,="\\\n\t\r%#äß€😀a', max_size=12)
NAME = TEXT.filter(lambda name: name != "")
FLOATS = st.floats() | st.floats(-1e3, 1e3) | st.integers(-(10**6), 10**6).map(float)
INTS = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {"float": FLOATS, "int": INTS, "string": TEXT, "bool": st.booleans()}
TIMES = st.integers(0, 2**60)


def by_client(measurement: str, tags: dict[str, str | None], fields: dict[str, Any], time_us: int) -> bytes:
    point = Point(measurement)
    for name, value in tags.items():
        point.tag(name, value)
    for name, value in fields.items():
        point.field(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a measurement that begins with # is the caller's affair
        return point.time(time_us, WritePrecision.US).to_line_protocol().encode()  # type: ignore[no-any-return]


def by_flowrt(encoder: LineEncoder, tags: dict[str, str | None], fields: dict[str, Any], time_us: int) -> bytes:
    return encoder.line(
        tuple(tags.get(name) for name in encoder.tags), [fields.get(name) for name in encoder.fields], time_us
    )


@st.composite
def points(draw: st.DrawFn) -> tuple[str, dict[str, Any], dict[str, FieldType], list[dict[str, Any]], int]:
    """A measurement with its tags, its fields' types, and a few rows of field values."""
    names = draw(st.lists(NAME, min_size=1, max_size=9, unique=True))
    cut = draw(st.integers(0, len(names) - 1))
    tags = {name: draw(st.none() | TEXT) for name in names[:cut]}
    kinds = {name: draw(st.sampled_from(list(VALUES))) for name in names[cut:]}
    rows = draw(
        st.lists(st.fixed_dictionaries({n: st.none() | VALUES[k] for n, k in kinds.items()}), min_size=1, max_size=4)
    )
    return draw(NAME), tags, kinds, rows, draw(TIMES)


@settings(max_examples=400, deadline=None)
@given(points())
def test_lines_are_those_of_the_client(
    given_point: tuple[str, dict[str, Any], dict[str, FieldType], list[dict[str, Any]], int],
) -> None:
    measurement, tags, kinds, rows, time_us = given_point
    encoder = LineEncoder(measurement, list(tags), kinds)
    for row in rows:
        assert by_flowrt(encoder, tags, row, time_us) == by_client(measurement, tags, row, time_us)


@settings(max_examples=1000, deadline=None)
@given(st.lists(FLOATS, min_size=3, max_size=3), INTS, st.booleans(), TEXT)
def test_the_quick_way_knows_its_limits(floats: list[float], whole: int, flag: bool, text: str) -> None:
    """Every field present, so that nothing but the numbers themselves decides which way a line takes."""
    fields = {"a": floats[0], "b": whole, "c": flag, "d": floats[1], "e": text, "f": floats[2]}
    encoder = LineEncoder(
        "m", ["t"], {"a": "float", "b": "int", "c": "bool", "d": "float", "e": "string", "f": "float"}
    )
    assert by_flowrt(encoder, {"t": "x"}, fields, 1) == by_client("m", {"t": "x"}, fields, 1)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, b"1"),
        (-0.0, b"-0"),
        (0.0001, b"0.0001"),
        (0.00001, b"1e-05"),
        (1e15, b"1000000000000000"),
        (1e16, b"1e+16"),
        (1e22, b"1e+22"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (5e-324, b"5e-324"),
    ],
)
def test_forms_of_numbers(value: float, written: bytes) -> None:
    assert LineEncoder("m", [], {"f": "float"}).line((), [value], 5) == b"m f=" + written + b" 5"


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf"), float("-inf")])
def test_a_point_without_values_is_no_line(nothing: float | None) -> None:
    assert LineEncoder("m", [], {"f": "float"}).line((), [nothing], 5) == b""


def test_a_series_head_is_built_once() -> None:
    encoder = LineEncoder("m", ["t"], {"f": "float"})
    first = encoder.line(("a b",), [1.5], 1)
    assert first == b"m,t=a\\ b f=1.5 1"
    assert encoder.line(("a b",), [2.5], 2) == b"m,t=a\\ b f=2.5 2"
    assert encoder.line(("c",), [2.5], 2) == b"m,t=c f=2.5 2"


def test_a_tag_and_a_field_share_no_name() -> None:
    with pytest.raises(ValueError, match="both a tag and a field"):
        LineEncoder("m", ["x"], {"x": "int"})
