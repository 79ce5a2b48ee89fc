"""The dashboards' pictures: every panel is on them, in its place, on a desk and on a phone."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Any

import pytest
from busy_day import END_S

from flowrt_ops import dashboards
from flowrt_ops.checks.queries import panels_of
from flowrt_ops.drawing.canvas import CARD, text_width
from flowrt_ops.drawing.draw import draw
from flowrt_ops.drawing.layout import MARGIN, WIDTH
from flowrt_ops.drawing.values import text_of, time_ticks
from flowrt_ops.influx_reader import Reader

BUILT = [dashboard.json() for dashboard in dashboards.DASHBOARDS]
PHONE = 390
SVG = "{http://www.w3.org/2000/svg}"

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def cards(picture: xml.Element) -> list[Rectangle]:
    """The panels' backgrounds; the choices at the top have the same colour, and one line's height."""
    found = []
    for rect in picture.iter(f"{SVG}rect"):
        if rect.get("fill") == CARD and float(rect.get("height", "0")) > 30:
            x, y = float(rect.get("x", "0")), float(rect.get("y", "0"))
            found.append((x, y, x + float(rect.get("width", "0")), y + float(rect.get("height", "0"))))
    return found


def span(text: xml.Element) -> tuple[float, float]:
    """From where to where a text reaches, about."""
    x, width = float(text.get("x", "0")), text_width(text.text or "", float(text.get("font-size", "0")))
    left = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor", "start")]
    return left, left + width


@pytest.mark.parametrize("width", [WIDTH, PHONE])
@pytest.mark.parametrize("dashboard", BUILT, ids=lambda dashboard: dashboard["title"])
def test_every_panel_is_there_and_nothing_is_cut(database: Reader, dashboard: Mapping[str, Any], width: int) -> None:
    picture = xml.fromstring(draw(dashboard, database, to_s=END_S, width=width).text())
    panels = list(panels_of(dashboard))
    found = cards(picture)
    assert len(found) == len(panels)
    for one, other in combinations(found, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1], "panels overlap"
    bottom = max(card[3] for card in found)
    assert float(picture.get("height", "0")) == pytest.approx(bottom + MARGIN, abs=1.0)
    if width == PHONE:
        assert {(card[0], card[2]) for card in found} == {(MARGIN, PHONE - MARGIN)}, "one below the other"
        assert all(above[3] < below[1] for above, below in pairwise(found)), "in reading order"
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {panel["title"] for panel in panels} <= set(words)
    for text in picture.iter(f"{SVG}text"):
        left, right = span(text)
        assert left >= -1.0, text.text
        assert right <= width + 1.0, text.text


def test_a_panel_without_data_says_what_it_means(database: Reader) -> None:
    violations = next(dashboard for dashboard in BUILT if dashboard["title"] == "Violations")
    long_ago = draw(violations, database, to_s=END_S - 90 * 86_400.0).text()
    for panel in panels_of(violations):
        assert f">{panel['fieldConfig']['defaults']['noValue']}<" in long_ago


def test_ranked_bars_stand_by_size(database: Reader) -> None:
    zones = next(panel for panel in panels_of(BUILT[4]) if panel["title"] == "Busiest zones")
    alone = {**BUILT[4], "panels": [{**zones, "gridPos": {"x": 0, "y": 0, "w": 8, "h": 8}}]}
    picture = xml.fromstring(draw(alone, database, to_s=END_S).text())
    numbers = [int(text.text or "") for text in picture.iter(f"{SVG}text") if (text.text or "").isdigit()]
    assert len(numbers) > 2
    assert numbers == sorted(numbers, reverse=True)


def test_time_labels_differ() -> None:
    for minutes in (1, 3, 15, 60, 24 * 60, 7 * 24 * 60):
        labels = [label for _, label in time_ticks(END_S * 1000.0 - minutes * 60_000.0, END_S * 1000.0, 6)]
        assert all(one != other for one, other in pairwise(labels)), labels


def test_words_are_rewritten_as_grafana_does() -> None:
    field = {"mappings": [{"type": "regex", "options": {"pattern": "(.*) none", "result": {"text": "$1 no zone"}}}]}
    assert text_of("north none", field) == "north no zone"
    assert text_of("north nonesuch", field) == "north nonesuch"
