"""Every query of every panel, variable, annotation and alert, executed against a real InfluxDB; what finds nothing fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from busy_day import END_S, SITES

from flowrt_ops import dashboards
from flowrt_ops.alerts import RULES
from flowrt_ops.checks.evaluate import Range, ask, range_of, seconds, step_of
from flowrt_ops.checks.queries import PlacedQuery, panels_of, queries_of
from flowrt_ops.influx_reader import Reader, Refused

BUILT = [dashboard.json() for dashboard in dashboards.DASHBOARDS]


def every_query() -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None, PlacedQuery]]:
    """Dashboard, panel (None for variables and annotations), query."""
    for dashboard in BUILT:
        panels = {panel["title"]: panel for panel in panels_of(dashboard)}
        for query in queries_of(dashboard):
            yield dashboard, panels[query.name] if query.where == "panel" else None, query


ALL = list(every_query())


@pytest.mark.parametrize(("dashboard", "panel", "query"), ALL, ids=[query.place for _, _, query in ALL])
def test_it_returns_data(
    database: Reader, dashboard: Mapping[str, Any], panel: Mapping[str, Any] | None, query: PlacedQuery
) -> None:
    shown = range_of(dashboard, END_S)
    if query.where == "annotation":
        shown = Range(from_s=END_S - 6 * 3600, to_s=END_S)  # grave events are rare: within minutes there may be none
    series = ask(database, query, shown, step_of(shown, panel))
    values = [value for one in series for row in one.values for value in row[1:] if value is not None]
    assert values, f"{query.place} finds nothing"
    if query.where == "variable":
        assert all(one.columns == ["key", "value"] for one in series)
    elif query.where == "annotation":
        _, wanted = next((a, a["target"]) for a in dashboard["annotations"]["list"] if a["name"] == query.name)
        assert {"time", wanted["textColumn"], wanted["tagsColumn"]} <= set(series[0].columns)
    elif not query.table:
        assert all(len(one.columns) == 2 for one in series), "a time series has one value"


@pytest.mark.parametrize(
    "panel", [p for d in BUILT for p in panels_of(d) if p["type"] == "table"], ids=lambda p: p["title"]
)
def test_a_table_has_the_columns_it_names(database: Reader, panel: Mapping[str, Any]) -> None:
    dashboard = next(dashboard for dashboard in BUILT if panel in list(panels_of(dashboard)))
    query = next(query for query in queries_of(dashboard) if query.name == panel["title"])
    shown = range_of(dashboard, END_S)
    first = ask(database, query, shown, step_of(shown, panel))[0]
    has = {"Time" if column == "time" else column for column in first.columns} | set(first.tags)
    options = panel["transformations"][0]["options"]
    assert set(options["renameByName"]) | set(options["excludeByName"]) == has


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.title)
def test_an_alerts_query_runs_and_has_one_value_per_minute(database: Reader, rule: Any) -> None:
    series = ask(database, rule.placed_query, Range(from_s=END_S - 6 * 3600, to_s=END_S), "60s")
    assert series, "nothing in six hours"
    for one in series:
        assert len(one.columns) == 2
        assert one.tags["site"] in SITES
        assert all(time_ms % 60_000 == 0 for time_ms in one.column("time"))


@pytest.mark.parametrize("site", SITES)
def test_an_intersection_is_told_from_the_others(database: Reader, site: str) -> None:
    """Chosen alone, each of the three gives its own points and no others, also with characters that mean something in patterns."""
    asked = 0
    for dashboard, panel, query in ALL:
        if query.where != "panel" or '"site"' not in query.text.partition("GROUP BY")[2]:
            continue
        shown = range_of(dashboard, END_S)
        series = ask(database, query, shown, step_of(shown, panel), {"site": site})
        seen = {one.tags["site"] for one in series if "site" in one.tags}
        assert seen == {site}, query.place
        asked += 1
    assert asked >= 5


def test_the_sum_of_the_intersections_is_the_whole(database: Reader) -> None:
    query = next(q for _, _, q in ALL if q.name == "Violations" and q.dashboard == "Violations")
    shown = Range(from_s=END_S - seconds("24h"), to_s=END_S)

    def count(chosen: dict[str, str]) -> int:
        (series,) = ask(database, query, shown, "60s", chosen)
        return int(series.values[0][1])

    each = [count({"site": site}) for site in SITES]
    assert all(each)
    assert sum(each) == count({})


def test_a_missing_bucket_and_a_wrong_address_say_what_to_do(database: Reader) -> None:
    with pytest.raises(Refused, match="there is no bucket 'nowhere'"):
        database.query('SELECT "fps" FROM "performance"', "nowhere")
    with pytest.raises(Refused, match="is it the database's address, and does it run"):
        Reader("http://127.0.0.1:9").query('SELECT "fps" FROM "performance"', "traffic_monitoring")
