"""Real-time monitoring: the state of the intersection now. The home dashboard."""

from __future__ import annotations

from flowrt_ops.dashboards.shared_panels import (
    BY_LANE,
    TO_THE_MINUTE,
    VIOLATION_COLUMNS,
    answer_times,
    by_rule,
    frame_rate,
    pedestrian_safety,
)
from flowrt_ops.grafana.frame import Dashboard, Row, Variable
from flowrt_ops.grafana.influxql import ITSELF, select, steps, summed
from flowrt_ops.grafana.panel import (
    alert_list,
    bar_gauge,
    colored_words,
    fixed,
    named,
    override,
    site_map,
    stat,
    state_timeline,
    table,
    time_series,
)
from flowrt_ops.grafana.theme import (
    BAD,
    BLUE,
    FAIR,
    FPS,
    GOOD,
    KMH,
    PER_HOUR,
    RULES,
    SECONDS,
    STATES,
    TEAL,
    VIOLET,
    mappings,
    thresholds,
)

NOW = Row(
    "Now",
    [
        stat(
            "Runtime",
            "The state of each intersection's runtime: healthy, degraded, or critical. The reasons are in the topic system/health.",
            select('last("service_status")', "system_health", where=[ITSELF], by=["site"], alias="$tag_site"),
            words=True,
            mappings=mappings(STATES),
        ),
        stat(
            "Vehicles in view",
            "Vehicles that the detectors see at the moment, all chosen cameras together.",
            summed('mean("vehicle_count")', "detection_events", over="camera_id", of=["camera"], alias="vehicles"),
            decimals=0,
            color={"mode": "fixed", "fixedColor": BLUE},
            min_step="5s",
        ),
        stat(
            "Pedestrians in view",
            "Pedestrians that the detectors see at the moment, all chosen cameras together.",
            summed(
                'mean("pedestrian_count")', "detection_events", over="camera_id", of=["camera"], alias="pedestrians"
            ),
            decimals=0,
            color={"mode": "fixed", "fixedColor": VIOLET},
            min_step="5s",
        ),
        stat(
            "Violations",
            "Violations that began within the chosen time.",
            select('sum("count")', "violation_events", of=["camera"], alias="violations"),
            empty="0",
            thresholds=thresholds((1, FAIR), (10, BAD)),
        ),
        stat(
            "Cameras online",
            "Cameras that deliver pictures.",
            select('last("active_cameras")', "system_health", where=[ITSELF], by=["site"], alias="$tag_site"),
            thresholds=thresholds((1, GOOD), base=BAD),
        ),
        frame_rate(),
    ],
)

ALERTS = Row(
    "Alerts",
    [
        alert_list(
            "Alerts",
            "Alerts that fire or are about to, of all intersections. What to do about each is in docs/watching.md.",
            size=(16, 6),
        ),
        table(
            "Newest point",
            "When each intersection last wrote to the database, within a day. One that is missing here has been silent for longer.",
            select('last("uptime_seconds") AS "uptime"', "system_health", where=[ITSELF], by=["site"], table=True),
            (8, 6),
            names={"site": "Intersection", "Time": "Newest point", "uptime": "Running for"},
            overrides=[override("Newest point", unit="dateTimeFromNow"), override("Running for", unit=SECONDS)],
            back="24h",
        ),
    ],
)

FLOW = Row(
    "Road users",
    [
        time_series(
            "Road users in view",
            "Vehicles and pedestrians in view of all chosen cameras, mean per step.",
            summed('mean("vehicle_count")', "detection_events", over="camera_id", of=["camera"], alias="vehicles"),
            summed('mean("pedestrian_count")', "detection_events", over="camera_id", of=["camera"], alias="pedestrians"),
            overrides=[fixed("vehicles", BLUE), fixed("pedestrians", VIOLET)],
            min_step="5s",
        ),
        time_series(
            "Violations per minute",
            "Violations by type, by the minute in which they began.",
            by_rule(of=["camera"], every="1m", fill="0"),
            stacked=True,
            bars=True,
            min_step="1m",
            overrides=named(RULES),
            empty="no violation",
        ),
        bar_gauge(
            "Flow by lane",
            "Vehicles per hour in each lane's newest interval.",
            select('last("flow_veh_h")', "traffic_flow", **BY_LANE),
            size=(8, 8),
            unit=PER_HOUR,
            decimals=0,
        ),
        bar_gauge(
            "Speed by lane",
            "Mean speed in each lane's newest interval.",
            select('last("average_speed")', "traffic_flow", **BY_LANE),
            size=(8, 8),
            unit=KMH,
            decimals=0,
            color={"mode": "thresholds"},
            thresholds=thresholds((50, FAIR), (60, BAD), base=TEAL),
        ),
        pedestrian_safety(
            "Steps onto a crosswalk, unsafe crossings and near misses, per minute.",
            select(
                'sum("count")', "safety_events", of=["camera"], by=["event_category"], every="1m", fill="0",
                alias="$tag_event_category",
            ),
            size=(8, 8),
        ),
    ],
)  # fmt: skip

EVENTS = Row(
    "Events",
    [
        table(
            "Last violations",
            "The newest violations. The other dashboards show where they stand in their hour.",
            select(
                '"violation_type", "severity_level", "speed", "roi_id", "camera_id", "site"',
                "violation_events",
                of=["camera"],
                tail="ORDER BY time DESC LIMIT 25",
                table=True,
            ),
            (16, 9),
            names={
                "Time": "Time",
                "violation_type": "Violation",
                "severity_level": "Severity",
                "speed": "Speed",
                "roi_id": "Where",
                "camera_id": "Camera",
                "site": "Intersection",
            },
            newest_first=True,
            overrides=[*VIOLATION_COLUMNS, TO_THE_MINUTE],
            empty="no violation in this time",
        ),
        table(
            "Cameras",
            "The newest word of each camera.",
            select(
                'last("status") AS "status", "fps", "reconnects"',
                "camera_status",
                of=["camera"],
                by=["site", "camera_id"],
                table=True,
            ),
            (8, 9),
            names={
                "camera_id": "Camera",
                "status": "State",
                "fps": "Rate",
                "reconnects": "Reconnects",
                "site": "Intersection",
            },
            hide=["Time"],
            overrides=[colored_words("State", mappings(STATES)), override("Rate", unit=FPS, decimals=1)],
        ),
    ],
)

SERVICES = Row(
    "Services",
    [
        state_timeline(
            "Services",
            "What the runtime found of itself, the broker, the database and Grafana.",
            steps(
                'last("service_status")',
                "system_health",
                by=["site", "service_name"],
                alias="$tag_site $tag_service_name",
            ),
            size=(16, 7),
            colors=mappings(STATES),
            min_step="5s",
        ),
        answer_times("Answer times"),
    ],
)

WHERE = Row(
    "Intersections",
    [
        site_map(
            "Intersections",
            "Where the intersections are and how each is (`latitude` and `longitude` of `health_probe`). The map itself comes from the "
            "browser's internet access.",
            select(
                'last("latitude") AS "latitude", last("longitude") AS "longitude", last("service_status") AS "state"',
                "system_health",
                where=[ITSELF],
                by=["site"],
                table=True,
            ),
            names={"site": "Intersection", "state": "State", "latitude": "Latitude", "longitude": "Longitude"},
            color="State",
            overrides=[override("State", mappings=mappings(STATES))],
            empty="no intersection says where it is",
        )
    ],
)

DASHBOARD = Dashboard(
    uid="flowrt-realtime",
    title="Real-time monitoring",
    about="What goes on at the intersection now: road users, violations, cameras and services.",
    rows=[NOW, ALERTS, FLOW, EVENTS, SERVICES, WHERE],
    variables=[
        Variable(name="site", label="Intersection", measurement="system_health", tag="site"),
        Variable(name="camera", label="Camera", measurement="detection_events", tag="camera_id"),
    ],
    span="15m",
    refresh="5s",
)
