"""Violations: which rules are broken, where, when and how severely, with links to the evidence."""

from __future__ import annotations

from flowrt_ops.dashboards.shared_panels import (
    BY_ZONE,
    KEPT_30_DAYS,
    NOWHERE,
    TO_THE_MINUTE,
    VIOLATION_COLUMNS,
    by_rule,
    pedestrian_safety,
)
from flowrt_ops.grafana.frame import Dashboard, Row, Variable
from flowrt_ops.grafana.influxql import LONG, NEAR_MISS, Query, select, steps
from flowrt_ops.grafana.panel import (
    bar_gauge,
    fixed,
    histogram,
    named,
    override,
    pie_chart,
    stat,
    status_history,
    table,
    time_series,
)
from flowrt_ops.grafana.theme import (
    BAD,
    BLUE,
    FAIR,
    KMH,
    POOR,
    QUIET,
    RULES,
    SECONDS,
    SEVERITY,
    SHARE,
    rewritten,
    thresholds,
)

_OF = ["camera", "zone"]


def _severity(level: str, *, every: str = "") -> Query:
    """Violations of one severity. The level is a field, which can't be grouped by."""
    where = [f"\"severity_level\" = '{level}'"]
    return select('sum("count")', "violation_events", of=_OF, where=where, every=every, alias=level)


_SEVERITY_COLORS = [fixed(level, color) for level, color in SEVERITY.items()]

SUMMARY = Row(
    "Summary",
    [
        stat(
            "Violations",
            "Violations that began within the chosen time.",
            select('sum("count")', "violation_events", of=_OF, alias="violations"),
            empty="0",
            color={"mode": "fixed", "fixedColor": BLUE},
        ),
        stat(
            "Critical",
            "Violations of critical severity.",
            _severity("critical"),
            empty="0",
            thresholds=thresholds((1, BAD)),
        ),
        stat("High", "Violations of high severity.", _severity("high"), empty="0", thresholds=thresholds((1, POOR))),
        stat(
            "Near misses",
            "Road users that nearly collided: time to collision at most 1.5 s, or post-encroachment time at most 1 s.",
            select('sum("count")', "violation_events", of=_OF, where=[NEAR_MISS], alias="near misses"),
            empty="0",
            thresholds=thresholds((1, BAD)),
        ),
        stat(
            "Smallest time to collision",
            "The most dangerous encounter within the chosen time.",
            select('min("ttc_s")', "safety_events", of=_OF, alias="TTC"),
            unit=SECONDS,
            decimals=1,
            empty="none yet",
            thresholds=thresholds((1.5, FAIR), (3, QUIET), base=BAD),
        ),
        stat(
            "Confidence",
            "Mean confidence of the rules. Look at the evidence where it is low.",
            select('mean("confidence")', "violation_events", of=_OF, alias="confidence"),
            unit=SHARE,
            decimals=0,
            empty="none yet",
            thresholds=thresholds((0.6, FAIR), (0.8, QUIET), base=POOR),
        ),
    ],
)

WHEN = Row(
    "When",
    [
        time_series(
            "Violations by type",
            "By the time in which they began.",
            by_rule(of=_OF, every="$__interval"),
            bars=True,
            stacked=True,
            overrides=named(RULES),
            min_step="1m",
            empty="no violation",
        ),
        time_series(
            "Violations by severity",
            "By the time in which they began.",
            *(_severity(level, every="$__interval") for level in SEVERITY),
            bars=True,
            stacked=True,
            overrides=_SEVERITY_COLORS,
            min_step="1m",
            empty="no violation",
        ),
        status_history(
            "Violations by hour",
            f"One row per rule, one cell per hour. {KEPT_30_DAYS}",
            select(
                'sum("count")', "violations_per_hour", of=["camera"], by=["violation_category"], every="1h",
                alias="$tag_violation_category", source=LONG,
            ),
            size=(24, 8),
            min_step="1h",
            overrides=[override(rule, displayName=title) for rule, (title, _) in RULES.items()],
            empty="no violation",
        ),
    ],
)  # fmt: skip

WHAT = Row(
    "What and where",
    [
        pie_chart(
            "By type",
            "Share of each rule.",
            by_rule(of=_OF),
            size=(7, 8),
            overrides=named(RULES),
            empty="no violation",
        ),
        pie_chart(
            "By severity",
            "Share of each severity.",
            *(_severity(level) for level in SEVERITY),
            size=(5, 8),
            overrides=_SEVERITY_COLORS,
            empty="no violation",
        ),
        bar_gauge(
            "By zone",
            "Where violations happen: the zone or line of each.",
            select('sum("count")', "violation_events", of=_OF, **BY_ZONE),
            size=(6, 8),
            largest_first=True,
            names=rewritten(f"(.*) {NOWHERE}", "$1 no zone"),
            color={"mode": "continuous-YlRd"},
        ),
        histogram(
            "Speed of violators",
            "How fast road users were, where their speed is known.",
            select('"speed"', "violation_events", of=_OF, alias="speed"),
            size=(6, 8),
            width=5,
            unit=KMH,
            color={"mode": "fixed", "fixedColor": POOR},
        ),
    ],
)

PEOPLE = Row(
    "Pedestrians",
    [
        pedestrian_safety(
            "Steps onto a crosswalk, unsafe crossings and near misses.",
            steps('sum("count")', "safety_events", of=_OF, by=["event_category"], alias="$tag_event_category"),
            size=(12, 8),
        ),
        time_series(
            "How near",
            "Time to collision (TTC) and post-encroachment time (PET) of each encounter. Below the dashed line it was dangerous.",
            select('"ttc_s"', "safety_events", of=_OF, alias="TTC"),
            select('"pet_s"', "safety_events", of=_OF, alias="PET"),
            size=(12, 8),
            points=True,
            unit=SECONDS,
            limit=True,
            thresholds=thresholds((1.5, QUIET), base=BAD),
            overrides=[fixed("TTC", BAD), fixed("PET", FAIR)],
            empty="no encounter",
        ),
    ],
)

EVIDENCE = Row(
    "Evidence",
    [
        table(
            "All violations",
            "The newest 200. A click on the picture opens the evidence that was kept (`snapshot: true` at the rule), for 30 days; `flowrt events` tells the rest.",
            select(
                '"violation_type", "severity_level", "speed", "confidence", "roi_id", "camera_id", "site", "object_id", '
                '"event_id", "snapshot_url"',
                "violation_events",
                of=_OF,
                tail="ORDER BY time DESC LIMIT 200",
                table=True,
            ),
            (24, 12),
            names={
                "Time": "Time",
                "violation_type": "Violation",
                "severity_level": "Severity",
                "speed": "Speed",
                "confidence": "Confidence",
                "roi_id": "Where",
                "camera_id": "Camera",
                "site": "Intersection",
                "object_id": "Track",
                "event_id": "Event",
                "snapshot_url": "Picture",
            },
            newest_first=True,
            overrides=[
                *VIOLATION_COLUMNS,
                TO_THE_MINUTE,
                override("Confidence", unit=SHARE, decimals=0),
                override(
                    "Picture",
                    custom__cellOptions={"type": "image", "alt": "The offender, at the moment of the offence"},
                    custom__width=140,
                    links=[{"title": "Picture", "url": "${__value.raw}", "targetBlank": True}],
                ),
            ],
            empty="no violation in this time",
        ),
    ],
)

DASHBOARD = Dashboard(
    uid="flowrt-violations",
    title="Violations",
    about="Violations by type, severity, hour and zone, pedestrian safety, and the evidence of each.",
    rows=[SUMMARY, WHEN, WHAT, PEOPLE, EVIDENCE],
    variables=[
        Variable(name="site", label="Intersection", measurement="violation_events", tag="site"),
        Variable(name="camera", label="Camera", measurement="violation_events", tag="camera_id"),
        Variable(name="zone", label="Zone", measurement="violation_events", tag="roi_id"),
    ],
    span="24h",
    refresh="30s",
)
