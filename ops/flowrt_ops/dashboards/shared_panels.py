"""Panels and parts of panels that more than one dashboard has."""

from __future__ import annotations

from typing import Any

from flowrt_ops.grafana.influxql import CAMERA, TARGET_FPS, Query, select, steps
from flowrt_ops.grafana.panel import Panel, Size, colored_words, named, override, stat, time_series
from flowrt_ops.grafana.theme import (
    BAD,
    FPS,
    GOOD,
    KMH,
    MILLISECONDS,
    RULES,
    SAFETY,
    SEVERITY,
    mappings,
    thresholds,
    titles,
)

BY_LANE: dict[str, Any] = {"by": ["camera_position", "lane_id"], "alias": "$tag_camera_position $tag_lane_id"}
"""Lanes of several cameras may have the same names, so a lane is named with its approach."""
BY_ZONE: dict[str, Any] = {"by": ["camera_id", "roi_id"], "alias": "$tag_camera_id $tag_roi_id"}
"""The same holds for zones."""
KEPT_30_DAYS = (
    "Kept for 30 days: choose a longer time at the top. InfluxDB 3 Core answers about 3 days "
    "unless it runs with a higher --query-file-limit, as docker/compose.yaml sets it."
)
"""What panels over the long-term bucket say."""
NOWHERE = "none"
"""The value of a tag where the message has none: every point carries every tag."""


def frame_rate() -> Panel:
    """How fast pictures are processed."""
    return stat(
        "Frame rate",
        "Pictures processed per second, mean of the chosen cameras.",
        steps('mean("fps")', "performance", of=["camera"], where=[CAMERA], alias="fps"),
        unit=FPS,
        decimals=1,
        thresholds=thresholds((TARGET_FPS, GOOD), base=BAD),
        min_step="5s",
    )


def answer_times(title: str, size: Size = (8, 7)) -> Panel:
    """How long services take to answer."""
    return time_series(
        title,
        "How long each service takes to answer the health probe.",
        steps('mean("latency_ms")', "system_health", by=["service_name"], alias="$tag_service_name"),
        size=size,
        unit=MILLISECONDS,
        min_step="10s",
    )


def pedestrian_safety(about: str, query: Query, size: Size) -> Panel:
    """Pedestrian safety events over time, by kind."""
    return time_series(
        "Pedestrian safety",
        about,
        query,
        size=size,
        bars=True,
        stacked=True,
        min_step="1m",
        overrides=named(SAFETY),
        empty="no event",
    )


def by_rule(**more: Any) -> Query:
    """Violations of each rule; `more`: of, every and what else `select` takes."""
    return select(
        'sum("count")', "violation_events", by=["violation_category"], alias="$tag_violation_category", **more
    )


TO_THE_MINUTE = override(
    "Time",
    links=[
        {
            "title": "This camera in this minute",
            "url": "/d/flowrt-realtime?var-site=${__data.fields.Intersection:percentencode}"
            "&var-camera=${__data.fields.Camera:percentencode}&time=${__value.raw}&time.window=60000",
        }
    ],
)
"""From a violation's time to the home dashboard, with the camera chosen and the minute around it."""

VIOLATION_COLUMNS = [
    override("Violation", mappings=titles(RULES)),
    colored_words("Severity", mappings(SEVERITY)),
    override("Speed", unit=KMH, decimals=0),
    override("Where", mappings=titles({NOWHERE: ("no zone", "")})),
]
"""How the columns that every table of violations has are shown."""
