"""CEL comprehensions have bounds: at load for shapes, before an evaluation for values."""

from __future__ import annotations

import time

import pytest

from flowrt_nodes._lib.cel_limits import BUDGET, MAX_CHARACTERS
from flowrt_nodes._lib.expression import Expression, ExpressionError, diagnostics

OBJECTS = [{"id": i, "label": "car", "zones": ["a", "b"], "speed_kmh": 1.0 * i} for i in range(150)]


@pytest.mark.parametrize(
    "text",
    [
        "l.map(x, l.map(y, x * y))",
        "l.exists(x, l.all(y, y <= x))",
        "l.filter(x, true || l.exists_one(y, y == x))",
        "l . map (x, [1].map(y, y))",
        "l.map(x, [x, x]).map(y, [y, y])",
        "[1, 2].map(x, x)",
        "(l + l).map(x, x)",
        "(true ? l : l).all(x, true)",
        "x in [1, 2].filter(y, true)",
        "l.all(x, x.matches('a{1,500}'))",
        "s.matches('a') || " * 5 + "true",
        "1 + " * MAX_CHARACTERS + "1",
    ],
)
def test_fault_17_a_shape_without_a_bound_is_refused_at_load(text):
    with pytest.raises(ExpressionError) as caught:
        Expression(text)
    assert caught.value.hint
    [found] = diagnostics(("when",), text, {"l": [], "s": ""}, open_values=("l",))
    assert found.hint == caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m.objects.filter(o, o.speed_kmh > 147.0 && o.label in ['car']).map(o, o.id)", [148, 149]),
        ("m['objects'].exists(o, o.id == 149)", True),
        ("m.objects.map(o, {'id': o.id, 'camera': m.camera})[0].camera", "north"),
        ("m.camera == '.map(x, .map(y, '", False),
        ("m.objects.all(o, 'a' in o.zones) && m.objects[0].zones.exists(z, z == 'b')", True),
    ],
)
def test_expressions_of_a_common_size_are_evaluated(text, expected):
    assert Expression(text)({"m": {"objects": OBJECTS, "camera": "north"}}) == expected


@pytest.mark.parametrize("text", ["l.map(x, l)", "l.map(x, l + l)", "l.map(x, [l, l, l])", "l.map(x, m.l)"])
def test_fault_17_an_evaluation_over_a_long_list_is_refused_before_it_runs(text):
    numbers = list(range(1000))
    expression = Expression(text)
    before = time.process_time()
    with pytest.raises(ValueError, match="would take too long: a list has 1000 items"):
        expression({"l": numbers, "m": {"l": numbers}})
    assert time.process_time() - before < 5


def test_fault_17_the_longest_evaluation_that_is_allowed_is_short():
    length = int((2 * BUDGET) ** (1 / 3)) - 2
    before = time.process_time()
    Expression("l.map(x, l)")({"l": list(range(length))})
    assert time.process_time() - before < 5
