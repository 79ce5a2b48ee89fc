"""ROI analytics: what happens in the zones that the scene names."""

from __future__ import annotations

from flowrt_ops.dashboards.shared_panels import BY_ZONE
from flowrt_ops.grafana.frame import Dashboard, Row, Variable
from flowrt_ops.grafana.influxql import Query, select, steps
from flowrt_ops.grafana.panel import (
    bar_gauge,
    colored_words,
    fixed,
    histogram,
    override,
    stat,
    state_timeline,
    status_history,
    table,
    time_series,
)
from flowrt_ops.grafana.theme import BAD, BLUE, CONGESTION, FAIR, GOOD, POOR, SECONDS, TEAL, mappings, thresholds

_OF = ["camera", "zone"]
_LEFT = ["\"event_type\" = 'exit'"]


def _events(kind: str, *, every: str = "", by_zone: bool = False) -> Query:
    """How many events of one kind. The kind is a field, which can't be grouped by."""
    where = [f"\"event_type\" = '{kind}'"]
    more = BY_ZONE if by_zone else {"alias": kind}
    return select('count("object_count")', "roi_events", of=_OF, where=where, every=every, **more)


SUMMARY = Row(
    "Summary",
    [
        stat(
            "Entries",
            "Road users that entered a chosen zone.",
            _events("entry"),
            empty="0",
            color={"mode": "fixed", "fixedColor": BLUE},
        ),
        stat(
            "Exits",
            "Road users that left a chosen zone.",
            _events("exit"),
            empty="0",
            color={"mode": "fixed", "fixedColor": TEAL},
        ),
        stat(
            "Line crossings",
            "Crossings of a chosen line.",
            _events("crossing"),
            empty="0",
            color={"mode": "fixed", "fixedColor": TEAL},
        ),
        stat(
            "Stay, median",
            "How long road users stay in a zone: half of them leave earlier.",
            select('median("dwell_time")', "roi_events", of=_OF, where=_LEFT, alias="median"),
            unit=SECONDS,
            decimals=1,
            empty="none yet",
        ),
        stat(
            "Stay, 95 %",
            "95 of 100 road users leave a zone earlier.",
            select('percentile("dwell_time", 95)', "roi_events", of=_OF, where=_LEFT, alias="95 %"),
            unit=SECONDS,
            decimals=1,
            empty="none yet",
            thresholds=thresholds((60, FAIR), (180, POOR)),
        ),
        stat(
            "Most at once",
            "The most road users in one zone at one time.",
            select('max("object_count")', "roi_events", of=_OF, alias="most"),
            empty="0",
            thresholds=thresholds((3, FAIR), (8, POOR)),
        ),
    ],
)

COMING = Row(
    "Coming and going",
    [
        time_series(
            "Entries and exits",
            "All chosen zones together, per step.",
            _events("entry", every="$__interval"),
            _events("exit", every="$__interval"),
            bars=True,
            overrides=[fixed("entry", BLUE), fixed("exit", TEAL)],
            min_step="1m",
        ),
        time_series(
            "Entries by zone",
            "Per step.",
            _events("entry", every="$__interval", by_zone=True),
            bars=True,
            stacked=True,
            min_step="1m",
        ),
        bar_gauge("Busiest zones", "Entries by zone.", _events("entry", by_zone=True), largest_first=True),
        bar_gauge(
            "Busiest lines",
            "Crossings by line.",
            _events("crossing", by_zone=True),
            largest_first=True,
            empty="no line crossed",
        ),
        time_series(
            "Events by kind of zone",
            "Lanes, crosswalks, lines and so on; all kinds of events.",
            steps('count("object_count")', "roi_events", of=_OF, by=["roi_type"], alias="$tag_roi_type"),
            size=(8, 8),
            bars=True,
            stacked=True,
            min_step="1m",
        ),
    ],
)

STAY = Row(
    "Stay",
    [
        histogram(
            "Distribution of stays",
            "How long road users stayed, of those who left a chosen zone.",
            select('"dwell_time"', "roi_events", of=_OF, where=_LEFT, alias="stay"),
            width=2,
            unit=SECONDS,
        ),
        time_series(
            "Stay by zone",
            "Mean stay of those who left, per step.",
            steps('mean("dwell_time")', "roi_events", of=_OF, where=_LEFT, **BY_ZONE),
            unit=SECONDS,
            min_step="5m",
        ),
    ],
)

OCCUPANCY = Row(
    "Occupancy",
    [
        time_series(
            "Road users by zone",
            "How many are in each zone at once, mean per step over its events.",
            steps('mean("object_count")', "roi_events", of=_OF, **BY_ZONE),
            size=(12, 11),
            decimals=1,
            min_step="5m",
        ),
        state_timeline(
            "Activity",
            "Low below 3 road users, medium below 8, high from there.",
            steps('last("activity_level")', "roi_events", of=_OF, **BY_ZONE),
            size=(12, 11),
            colors=mappings(CONGESTION),
            min_step="5s",
        ),
        status_history(
            "Occupancy by zone",
            "The most road users at once in each zone, per 5 minutes.",
            select('max("object_count")', "roi_events", of=_OF, **BY_ZONE, every="5m"),
            size=(24, 11),
            min_step="5m",
        ),
        table(
            "Zones",
            "The chosen time, zone by zone, of those who left it. `flowrt events` lists the single events.",
            select(
                'count("object_count") AS "left", mean("object_count") AS "mean", max("object_count") AS "most", '
                'mean("dwell_time") AS "stay", max("dwell_time") AS "longest", last("activity_level") AS "activity"',
                "roi_events",
                of=_OF,
                where=_LEFT,
                by=["roi_id", "roi_type", "camera_id", "site"],
                table=True,
            ),
            (24, 9),
            names={
                "roi_id": "Zone",
                "roi_type": "Kind",
                "left": "Left",
                "mean": "Mean at once",
                "most": "Most at once",
                "stay": "Mean stay",
                "longest": "Longest stay",
                "activity": "Activity now",
                "camera_id": "Camera",
                "site": "Intersection",
            },
            hide=["Time"],
            overrides=[
                override("Mean at once", decimals=1),
                override("Mean stay", unit=SECONDS, decimals=1),
                override("Longest stay", unit=SECONDS, decimals=1),
                override("Most at once", thresholds=thresholds((3, FAIR), (8, BAD), base=GOOD)),
                colored_words("Activity now", mappings(CONGESTION)),
            ],
        ),
    ],
)

DASHBOARD = Dashboard(
    uid="flowrt-roi-analytics",
    title="ROI analytics",
    about="Entries, exits, stays and occupancy of the zones and lines that the scene names.",
    rows=[SUMMARY, COMING, STAY, OCCUPANCY],
    variables=[
        Variable(name="site", label="Intersection", measurement="roi_events", tag="site"),
        Variable(name="camera", label="Camera", measurement="roi_events", tag="camera_id"),
        Variable(name="zone", label="Zone", measurement="roi_events", tag="roi_id"),
    ],
    span="3h",
    refresh="30s",
)
