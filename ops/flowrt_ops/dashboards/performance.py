"""Performance: whether the runtime keeps up, and what it costs."""

from __future__ import annotations

from flowrt_ops.dashboards.shared_panels import KEPT_30_DAYS, answer_times, frame_rate
from flowrt_ops.grafana.frame import Dashboard, Row, Variable
from flowrt_ops.grafana.influxql import CAMERA, ITSELF, LONG, RUNTIME, TARGET_FPS, select, steps
from flowrt_ops.grafana.panel import fixed, stat, state_timeline, time_series
from flowrt_ops.grafana.theme import (
    BAD,
    BLUE,
    FAIR,
    FPS,
    MEGABYTES,
    MILLISECONDS,
    PERCENT,
    SHARE,
    STATES,
    VIEWS,
    VIOLET,
    mappings,
    thresholds,
)

SUMMARY = Row(
    "Summary",
    [
        frame_rate(),
        stat(
            "Latency, median",
            "From the capture of a picture to the acceptance of what came of it.",
            steps('mean("latency_p50_ms")', "performance", where=[RUNTIME], alias="p50"),
            unit=MILLISECONDS,
            decimals=0,
            thresholds=thresholds((200, FAIR), (1000, BAD)),
            min_step="5s",
        ),
        stat(
            "Latency, 99 %",
            "99 of 100 results are accepted within this time after their picture was captured.",
            steps('max("latency_p99_ms")', "performance", where=[RUNTIME], alias="p99"),
            unit=MILLISECONDS,
            decimals=0,
            thresholds=thresholds((500, FAIR), (2000, BAD)),
            min_step="5s",
        ),
        stat(
            "Pictures dropped",
            "Pictures of live cameras left out because a newer one was there, within the chosen time. It costs smoothness, not events.",
            select('sum("frames_dropped")', "performance", of=["camera"], where=[CAMERA], alias="dropped"),
            thresholds=thresholds((100, FAIR), (1000, BAD)),
        ),
        stat(
            "Queue depth",
            "Messages waiting in the fullest queue.",
            steps('max("queue_depth")', "performance", where=[RUNTIME], alias="waiting"),
            decimals=0,
            thresholds=thresholds((4, FAIR), (16, BAD)),
            min_step="5s",
        ),
        stat(
            "Outbox",
            "Messages in the journal that no service has acknowledged yet.",
            steps('max("outbox_pending")', "performance", where=[RUNTIME], alias="pending"),
            decimals=0,
            thresholds=thresholds((1000, FAIR), (10000, BAD)),
            min_step="5s",
        ),
    ],
)

SPEED = Row(
    "Speed",
    [
        time_series(
            "Frame rate by camera",
            "Pictures processed per second. The dashed line is the rate below which the alert fires.",
            steps(
                'mean("fps")', "performance", of=["camera"], where=[CAMERA], by=["camera_id"], alias="$tag_camera_id"
            ),
            unit=FPS,
            limit=True,
            thresholds=thresholds((TARGET_FPS, BAD)),
            min_step="5s",
        ),
        time_series(
            "Latency",
            "From capture to acceptance: median and 99th percentile.",
            steps('mean("latency_p50_ms")', "performance", where=[RUNTIME], alias="median"),
            steps('max("latency_p99_ms")', "performance", where=[RUNTIME], alias="99 %"),
            unit=MILLISECONDS,
            overrides=[fixed("median", BLUE), fixed("99 %", BAD)],
            min_step="5s",
        ),
        time_series(
            "Processing time by camera",
            "What inference takes for one picture, mean per step.",
            steps(
                'mean("processing_time")', "detection_events", of=["camera"], by=["camera_id"], alias="$tag_camera_id"
            ),
            unit=MILLISECONDS,
            min_step="5s",
        ),
        time_series(
            "Pictures dropped by camera",
            "Per step, by camera. A camera whose drops never end needs a lower fps or `every` at its detector.",
            steps(
                'sum("frames_dropped")',
                "performance",
                of=["camera"],
                where=[CAMERA],
                by=["camera_id"],
                alias="$tag_camera_id",
            ),
            bars=True,
            stacked=True,
            min_step="5s",
        ),
    ],
)

COST = Row(
    "Machine",
    [
        time_series(
            "Processor",
            "Of all cores: the machine, and flowrt's own share of it.",
            steps('mean("cpu_usage")', "system_health", where=[ITSELF], by=["site"], alias="machine $tag_site"),
            steps('mean("cpu_usage")', "performance", where=[RUNTIME], by=["site"], alias="flowrt $tag_site"),
            size=(8, 8),
            unit=PERCENT,
            max=100,
            min_step="5s",
        ),
        time_series(
            "Graphics processor",
            "Use of the first graphics processor. Empty where there is none, or where it does not say.",
            steps('mean("gpu_usage")', "performance", where=[RUNTIME], by=["site"], alias="$tag_site"),
            size=(8, 8),
            unit=PERCENT,
            max=100,
            min_step="5s",
            empty="no graphics processor",
        ),
        time_series(
            "Memory",
            "What flowrt's process has in memory. A line that only rises is a leak: report it.",
            steps('mean("memory_usage")', "performance", where=[RUNTIME], by=["site"], alias="$tag_site"),
            size=(8, 8),
            unit=MEGABYTES,
            min_step="5s",
        ),
        time_series(
            "Disk",
            "Share of the disk with the journal that is in use.",
            steps('mean("disk_usage")', "system_health", where=[ITSELF], by=["host"], alias="$tag_host"),
            size=(8, 8),
            unit=PERCENT,
            max=100,
            limit=True,
            thresholds=thresholds((85, FAIR), (95, BAD)),
            min_step="5s",
        ),
        time_series(
            "Queues and outbox",
            "Messages in the fullest queue, and outbox messages that no service has acknowledged.",
            steps('max("queue_depth")', "performance", where=[RUNTIME], alias="queue"),
            steps('max("outbox_pending")', "performance", where=[RUNTIME], alias="outbox"),
            size=(8, 8),
            overrides=[fixed("queue", VIOLET), fixed("outbox", BLUE)],
            min_step="5s",
        ),
        time_series(
            "Objects tracked",
            "Tracks alive at the moment, by intersection: what the load comes from.",
            steps('mean("active_objects")', "performance", where=[RUNTIME], by=["site"], alias="$tag_site"),
            size=(8, 8),
            decimals=0,
            min_step="5s",
        ),
    ],
)

MODEL = Row(
    "Model and services",
    [
        time_series(
            "Confidence",
            "Mean confidence of what the model finds. A lasting fall means dirt on a lens, darkness, or a moved camera.",
            steps(
                'mean("confidence_avg")', "detection_events", of=["camera"], by=["camera_id"], alias="$tag_camera_id"
            ),
            size=(8, 8),
            unit=SHARE,
            max=1,
            min_step="10s",
        ),
        state_timeline(
            "Cameras",
            "Online, offline, or in error.",
            steps('last("status")', "camera_status", of=["camera"], by=["camera_id"], alias="$tag_camera_id"),
            size=(8, 8),
            colors=mappings(STATES),
            min_step="5s",
        ),
        answer_times("Answer times of services", size=(8, 8)),
        state_timeline(
            "Views of cameras",
            "Whether each still shows what its scene was drawn on. Rules are silent while it does not.",
            steps('last("view")', "camera_status", of=["camera"], by=["camera_id"], alias="$tag_camera_id"),
            size=(24, 5),
            colors=mappings(VIEWS),
            min_step="5s",
        ),
    ],
)

LONG_TERM = Row(
    "Long term",
    [
        time_series(
            "Frame rate over days",
            f"Mean per minute. {KEPT_30_DAYS}",
            steps(
                'mean("fps")', "fps_per_minute", of=["camera"], by=["camera_id"], alias="$tag_camera_id", source=LONG
            ),
            size=(24, 7),
            unit=FPS,
            min_step="1m",
        ),
    ],
)

DASHBOARD = Dashboard(
    uid="flowrt-performance",
    title="Performance",
    about="Whether the runtime keeps up with its cameras: rates, latency, queues, and what the machine spends on it.",
    rows=[SUMMARY, SPEED, COST, MODEL, LONG_TERM],
    variables=[
        Variable(name="site", label="Intersection", measurement="performance", tag="site"),
        Variable(name="camera", label="Camera", measurement="performance", tag="camera_id"),
    ],
    span="1h",
    refresh="10s",
)
