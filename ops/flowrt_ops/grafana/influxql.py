"""InfluxQL queries of the dashboards and alert rules.

Invariants
- InfluxQL only, so that the same dashboard runs on InfluxDB 1.8, 2.7 and 3.
- Every query is bounded by `$timeFilter` and by the site, so that intersections that share a database stay apart.
- No retention policy and no database is named: the data source decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Source = Literal["flowrt-monitoring", "flowrt-analytics"]
LIVE: Source = "flowrt-monitoring"
LONG: Source = "flowrt-analytics"
"""Uids of the two data sources: raw points (7 days) and aggregates (30 days)."""

TAG_OF = {"site": "site", "camera": "camera_id", "lane": "lane_id", "zone": "roi_id"}
"""Dashboard variable to the tag that it filters."""

RUNTIME = "\"service\" = 'flowrt'"
CAMERA = "\"service\" = 'camera'"
"""Points of `performance`: of the runtime, and of one camera each."""
ITSELF = "\"service_name\" = 'flowrt'"
"""Points of `system_health` about the runtime itself rather than about a service."""
TARGET_FPS = 4.0
"""Pictures a second and camera below which rules miss things: they are measured at 5. The alert and the colours share it."""
CRITICAL = "\"severity_level\" = 'critical'"
NOT_AS_DRAWN = "({})".format(
    " OR ".join(f"\"view\" = '{view}'" for view in ("moved", "other", "blind", "frozen", "blurred"))
)
NEAR_MISS = "\"violation_category\" = 'near_miss'"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One query of a panel. table: rows and columns instead of one series per group."""

    text: str
    alias: str = ""
    table: bool = False
    source: Source = LIVE

    def target(self, ref: str) -> dict[str, Any]:
        """As a panel's target."""
        return {
            "refId": ref,
            "datasource": datasource(self.source),
            "query": self.text,
            "rawQuery": True,
            "resultFormat": "table" if self.table else "time_series",
            "alias": self.alias,
        }


def datasource(source: Source) -> dict[str, str]:
    """A reference to a data source, by its fixed uid."""
    return {"type": "influxdb", "uid": source}


def chosen(*variables: str) -> list[str]:
    """Conditions that select what the dashboard's variables choose."""
    return [f'"{TAG_OF[name]}" =~ /^${{{name}:regex}}$/' for name in variables]


def select(
    what: str,
    measurement: str,
    *,
    of: Iterable[str] = (),
    where: Iterable[str] = (),
    by: Iterable[str] = (),
    every: str = "",
    fill: str = "none",
    tail: str = "",
    alias: str = "",
    table: bool = False,
    source: Source = LIVE,
) -> Query:
    """A SELECT. of: variables besides `site`; by: tags to group by; every: length of a step in time, empty for one value."""
    text = sentence(what, measurement, [*chosen("site", *of), *where], by=by, every=every, fill=fill)
    return Query(text=f"{text} {tail}".strip(), alias=alias, table=table, source=source)


def sentence(
    what: str, measurement: str, where: Iterable[str], *, by: Iterable[str] = (), every: str = "", fill: str = "none"
) -> str:
    """The text of a SELECT, bounded by the time range."""
    groups = [*([f"time({every})"] if every else []), *(f'"{tag}"' for tag in by)]
    text = f'SELECT {what} FROM "{measurement}" WHERE {" AND ".join(["$timeFilter", *where])}'
    if groups:
        text += " GROUP BY " + ", ".join(groups)
    return f"{text} fill({fill})" if every else text


def steps(what: str, measurement: str, *, alias: str, **more: Any) -> Query:
    """One value per step of the panel's own interval."""
    return select(what, measurement, every="$__interval", alias=alias, **more)


def summed(
    what: str, measurement: str, *, over: str, alias: str, of: Iterable[str] = (), where: Iterable[str] = ()
) -> Query:
    """One value per step: the sum over the tag `over` of what each has (cars in view of all cameras)."""
    inner = select(f'{what} AS "each"', measurement, of=of, where=where, by=[over], every="$__interval").text
    return Query(
        text=f'SELECT sum("each") FROM ({inner}) WHERE $timeFilter GROUP BY time($__interval) fill(none)', alias=alias
    )


def tag_values(measurement: str, tag: str, *, of_site: bool) -> str:
    """The values that a variable offers."""
    text = f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{tag}"'
    return f"{text} WHERE {chosen('site')[0]}" if of_site else text
