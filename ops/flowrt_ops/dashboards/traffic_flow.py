"""Traffic flow: how much traffic there is, how fast it is, and where it goes."""

from __future__ import annotations

from typing import Any

from flowrt_ops.dashboards.shared_panels import BY_LANE, KEPT_30_DAYS
from flowrt_ops.grafana.frame import Dashboard, Row, Variable
from flowrt_ops.grafana.influxql import LONG, select, steps
from flowrt_ops.grafana.panel import (
    bar_gauge,
    colored_words,
    fixed,
    named,
    override,
    pie_chart,
    stat,
    state_timeline,
    status_history,
    table,
    time_series,
)
from flowrt_ops.grafana.theme import (
    BAD,
    BLUE,
    CONGESTION,
    FAIR,
    KMH,
    METRES,
    MOVEMENTS,
    PER_HOUR,
    POOR,
    SHARE,
    mappings,
    thresholds,
)

_BY_LANE: dict[str, Any] = {"of": ["lane"], **BY_LANE}

SUMMARY = Row(
    "Summary",
    [
        stat(
            "Vehicles",
            "Vehicles counted within the chosen time, by direction.",
            select('sum("vehicle_count")', "traffic_flow", of=["lane"], by=["direction"], alias="$tag_direction"),
            size=(8, 4),
            color={"mode": "fixed", "fixedColor": BLUE},
        ),
        stat(
            "Mean speed",
            "Mean of the chosen lanes' mean speeds, newest interval last.",
            steps('mean("average_speed")', "traffic_flow", of=["lane"], alias="mean"),
            unit=KMH,
            decimals=0,
            thresholds=thresholds((50, FAIR), (60, BAD)),
            min_step="1m",
        ),
        stat(
            "85 % drive at most",
            "85th percentile of the speeds of an interval (V85), mean of the chosen lanes.",
            steps('mean("speed_p85_kmh")', "traffic_flow", of=["lane"], alias="V85"),
            unit=KMH,
            decimals=0,
            thresholds=thresholds((50, FAIR), (60, BAD)),
            min_step="1m",
        ),
        stat(
            "Occupancy",
            "Share of the time during which a lane is occupied, mean of the chosen lanes.",
            steps('mean("lane_occupancy")', "traffic_flow", of=["lane"], alias="occupied"),
            unit=SHARE,
            decimals=0,
            thresholds=thresholds((0.3, FAIR), (0.6, BAD)),
            min_step="1m",
        ),
        stat(
            "Longest queue",
            "The longest queue of any chosen lane within the chosen time, in vehicles.",
            select('max("queue_vehicles")', "traffic_flow", of=["lane"], alias="vehicles"),
            thresholds=thresholds((8, FAIR), (15, BAD)),
        ),
    ],
)
VOLUME = Row(
    "How much",
    [
        time_series(
            "Flow by lane",
            "Vehicles per hour, as counted in each interval.",
            steps('mean("flow_veh_h")', "traffic_flow", **_BY_LANE),
            unit=PER_HOUR,
            decimals=0,
            min_step="1m",
        ),
        time_series(
            "Vehicles by direction",
            "Vehicles counted per step, by the direction of their lane.",
            steps('sum("vehicle_count")', "traffic_flow", of=["lane"], by=["direction"], alias="$tag_direction"),
            bars=True,
            stacked=True,
            min_step="1m",
        ),
        status_history(
            "Vehicles by hour",
            f"One row per lane, one cell per hour. {KEPT_30_DAYS}",
            select(
                'sum("vehicle_count")',
                "vehicles_per_5m",
                of=["lane"],
                by=["camera_id", "lane_id"],
                every="1h",
                alias="$tag_camera_id $tag_lane_id",
                source=LONG,
            ),
            min_step="1h",
        ),
        time_series(
            "Bicycles by lane",
            "Bicycles counted per step; the other figures are of all vehicles.",
            steps('sum("bicycle_count")', "traffic_flow", **_BY_LANE),
            bars=True,
            decimals=0,
            min_step="1m",
        ),
        time_series(
            "Observed",
            "Share of each interval in which pictures came. Where it is below 1, the counts are too low by what passed meanwhile.",
            steps('mean("observed_share")', "traffic_flow", **_BY_LANE),
            unit=SHARE,
            max=1,
            min_step="1m",
        ),
    ],
)

SPEED = Row(
    "How fast",
    [
        time_series(
            "Speed",
            "Mean and 85th percentile (V85), mean of the chosen lanes. The dashed line is the limit of 50 km/h.",
            steps('mean("average_speed")', "traffic_flow", of=["lane"], alias="mean"),
            steps('mean("speed_p85_kmh")', "traffic_flow", of=["lane"], alias="V85"),
            unit=KMH,
            limit=True,
            thresholds=thresholds((50, BAD)),
            overrides=[fixed("mean", BLUE), fixed("V85", POOR)],
            min_step="1m",
        ),
        time_series(
            "Mean speed by lane",
            "Mean of the interval. Camera speeds are coarse: compare lanes and hours rather than single values.",
            steps('mean("average_speed")', "traffic_flow", **_BY_LANE),
            unit=KMH,
            min_step="1m",
        ),
    ],
)

CONGESTION_ROW = Row(
    "How dense",
    [
        state_timeline(
            "Congestion",
            "Low, medium or high, by lane and interval.",
            steps('last("congestion_level")', "traffic_flow", **_BY_LANE),
            size=(12, 9),
            colors=mappings(CONGESTION),
            min_step="1m",
        ),
        time_series(
            "Occupancy by lane",
            "Share of the interval during which the lane is occupied.",
            steps('mean("lane_occupancy")', "traffic_flow", **_BY_LANE),
            size=(12, 9),
            unit=SHARE,
            max=1,
            min_step="1m",
        ),
        time_series(
            "Queue by lane",
            "The longest queue of the interval, in vehicles.",
            steps('max("queue_vehicles")', "traffic_flow", **_BY_LANE),
            size=(8, 8),
            decimals=0,
            min_step="1m",
        ),
        time_series(
            "Headway",
            "Mean time from front to front at the lane's line. Below 2 s vehicles follow closely.",
            steps('mean("headway_s")', "traffic_flow", **_BY_LANE),
            size=(8, 8),
            unit="suffix: s",  # Grafana's own unit turns long ones into minutes
            min_step="1m",
        ),
        time_series(
            "Density",
            "Vehicles per kilometre: flow over mean speed.",
            steps('mean("density_veh_km")', "traffic_flow", **_BY_LANE),
            size=(8, 8),
            unit="suffix: veh/km",
            min_step="1m",
        ),
    ],
)

TURNS = Row(
    "Where to",
    [
        pie_chart(
            "Turning movements",
            "Left, through, right and U-turns of the chosen lanes within the chosen time.",
            select('sum("vehicles")', "turning_movements", of=["lane"], by=["movement"], alias="$tag_movement"),
            size=(8, 9),
            overrides=named(MOVEMENTS),
        ),
        bar_gauge(
            "Turning movements by lane",
            "Vehicles that completed a movement, by approach lane.",
            select('sum("vehicles")', "turning_movements", **_BY_LANE),
            size=(8, 9),
            calc="sum",
        ),
        time_series(
            "Turning movements over time",
            "Vehicles per 15 minutes by movement, as a turning movement count has them.",
            select(
                'sum("vehicles")', "turning_movements", of=["lane"], by=["movement"], every="15m", alias="$tag_movement"
            ),
            size=(8, 9),
            bars=True,
            stacked=True,
            overrides=named(MOVEMENTS),
            min_step="15m",
        ),
        table(
            "Lanes",
            "The chosen time, lane by lane.",
            select(
                'sum("vehicle_count") AS "vehicles", mean("flow_veh_h") AS "flow", mean("average_speed") AS "speed", '
                'mean("speed_p85_kmh") AS "v85", mean("lane_occupancy") AS "occupancy", max("queue_m") AS "queue", '
                'last("congestion_level") AS "congestion"',
                "traffic_flow",
                of=["lane"],
                by=["camera_position", "lane_id", "direction"],
                table=True,
            ),
            (24, 9),
            names={
                "camera_position": "Approach",
                "lane_id": "Lane",
                "direction": "Direction",
                "vehicles": "Vehicles",
                "flow": "Flow",
                "speed": "Mean speed",
                "v85": "V85",
                "occupancy": "Occupancy",
                "queue": "Longest queue",
                "congestion": "Congestion now",
            },
            hide=["Time"],
            overrides=[
                override("Flow", unit=PER_HOUR, decimals=0),
                override("Mean speed", unit=KMH, decimals=0),
                override("V85", unit=KMH, decimals=0),
                override("Occupancy", unit=SHARE, decimals=0),
                override("Longest queue", unit=METRES, decimals=0),
                colored_words("Congestion now", mappings(CONGESTION)),
            ],
        ),
    ],
)

DASHBOARD = Dashboard(
    uid="flowrt-traffic-flow",
    title="Traffic flow",
    about="Per lane and direction: counts, flow, speed, occupancy, congestion, queues and turning movements.",
    rows=[SUMMARY, VOLUME, SPEED, CONGESTION_ROW, TURNS],
    variables=[
        Variable(name="site", label="Intersection", measurement="traffic_flow", tag="site"),
        Variable(name="lane", label="Lane", measurement="traffic_flow", tag="lane_id"),
    ],
    span="24h",
    refresh="1m",
)
