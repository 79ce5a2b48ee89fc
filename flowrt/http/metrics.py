"""`/metrics`: the status of a run as Prometheus and OpenMetrics read it, made at each scrape.

Names and types follow Prometheus' own linter: seconds and totals, counters that only grow, histograms in place of quantiles. Every series of
flowrt's carries the flow's `site`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from flowrt.runtime import Runtime, SharedCall
from flowrt.watch import Reloader

_NODE_COUNTERS = {
    "in": "Messages received.",
    "out": "Messages processed.",
    "emitted": "Messages sent on.",
    "dropped": "Messages dropped by a queue.",
    "errors": "Messages that made the node fail.",
    "unsendable": "Messages that the node made and no sink can encode.",
}


class Metrics:
    """The metrics of one run. The kinds of answer are made once at a time each, however many ask."""

    def __init__(self, runtime: Runtime, reloader: Reloader, ready: Callable[[], bool]) -> None:
        """ready: what `/readyz` answers."""
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(runtime, reloader, ready))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._calls: dict[str, SharedCall[bytes]] = {}

    def answer(self, accept: str) -> tuple[SharedCall[bytes], str]:
        """The call that makes the text, and its content type. accept: the request's header; OpenMetrics where it asks for it."""
        encode, content_type = choose_encoder(accept)
        if content_type not in self._calls:
            self._calls[content_type] = SharedCall(lambda: encode(self._registry), "http metrics")
        return self._calls[content_type], content_type


class _Collector:
    def __init__(self, runtime: Runtime, reloader: Reloader, ready: Callable[[], bool]) -> None:
        self._runtime, self._reloader, self._ready = runtime, reloader, ready
        self._dead_letters: dict[str, tuple[int, int]] = {}

    def collect(self) -> Iterable[Metric]:
        status = self._runtime.status(ask_nodes=False)
        site = status["site"]
        yield from self._run(status, site)
        yield from self._nodes(status["nodes"], site)
        yield from self._cameras(status["nodes"], site)
        depth = _gauge("flowrt_queue_depth", "Messages waiting in front of a node.", ["site", "node"])
        for name, row in status["queues"].items():
            depth.add_metric([site, name], row["depth"])
        yield depth
        yield from self._sinks(status["sinks"], site)

    def _run(self, status: Mapping[str, Any], site: str) -> Iterator[Metric]:
        build = _gauge("flowrt_build_info", "What runs: always 1.", ["site", "flow", "version", "python"])
        build.add_metric([site, status["flow"], version("flowrt"), platform.python_version()], 1)
        yield build
        values = {
            "flowrt_ready": ("Whether the run is ready, as /readyz says: 1 or 0.", float(self._ready())),
            "flowrt_uptime_seconds": ("Time since the start of the run.", status["uptime_s"]),
            "flowrt_problems": ("Problems of the flow file as it is now.", len(status["problems"])),
            "flowrt_trouble": (
                "Threads that failed or stand still, and what is wrong with the journal.",
                len(status["trouble"]),
            ),
        }
        for name, (text, value) in values.items():
            family = _gauge(name, text, ["site"])
            family.add_metric([site], value)
            yield family
        reloads = CounterMetricFamily("flowrt_reloads", "Reloads by outcome.", labels=["site", "outcome"])
        for outcome, count in self._reloader.outcomes.items():
            reloads.add_metric([site, outcome], count)
        yield reloads

    def _nodes(self, rows: Mapping[str, Any], site: str) -> Iterator[Metric]:
        for key, text in _NODE_COUNTERS.items():
            family = CounterMetricFamily(f"flowrt_node_{key}", text, labels=["site", "node", "type"])
            for name, row in rows.items():
                family.add_metric([site, name, row["type"]], row[key])
            yield family
        processing = HistogramMetricFamily(
            "flowrt_node_processing_seconds",
            "Time to process a message, of those that are timed: one in 64 where a node takes microseconds, else each.",
            labels=["site", "node", "type"],
        )
        for name, runner in list(self._runtime.runners.items()):
            taken = runner.processing
            if name in rows:
                processing.add_metric([site, name, rows[name]["type"]], taken.buckets(), taken.sum_s)
        yield processing

    def _cameras(self, rows: Mapping[str, Any], site: str) -> Iterator[Metric]:
        pictures = CounterMetricFamily(
            "flowrt_camera_pictures", "Pictures carried into the graph.", labels=["site", "camera"]
        )
        age = _gauge(
            "flowrt_camera_last_picture_age_seconds", "Time since the newest picture of a camera.", ["site", "camera"]
        )
        for name, row in rows.items():
            if "picture_age_s" in row:
                pictures.add_metric([site, name], row["pictures"])
                if not row.get("ended") or row.get("failed"):  # a clip that came to its end is no camera that is away
                    age.add_metric([site, name], row["picture_age_s"])
        yield pictures
        yield age

    def _sinks(self, sinks: Mapping[str, Any], site: str) -> Iterator[Metric]:
        accepted = CounterMetricFamily(
            "flowrt_outbox_accepted", "Messages written to the journal.", labels=["site", "node"]
        )
        deliveries = CounterMetricFamily(
            "flowrt_deliveries",
            "Messages that left the journal, by outcome: delivered, dead_letter, or dropped by a limit.",
            labels=["site", "node", "outcome"],
        )
        retries = CounterMetricFamily(
            "flowrt_delivery_retries", "Attempts that are to be made again.", labels=["site", "node"]
        )
        pending = _gauge("flowrt_outbox_pending", "Messages waiting in the journal.", ["site", "node"])
        oldest = _gauge(
            "flowrt_outbox_oldest_age_seconds", "How long the first message in line has waited.", ["site", "node"]
        )
        up = _gauge("flowrt_sink_up", "Whether the service takes messages: 1 or 0.", ["site", "node"])
        accepting = HistogramMetricFamily(
            "flowrt_capture_to_acceptance_seconds",
            "Time from the capture of a picture to the journal's commit of what came of it.",
            labels=["site", "node"],
        )
        for name, row in sinks.items():
            accepted.add_metric([site, name], row.accepted)
            outcomes = {
                "delivered": row.delivered,
                "dead_letter": self._dead_letters_ever(name, row.dead_letters),
                "dropped": sum(row.dropped.values()),
            }
            for outcome, count in outcomes.items():
                deliveries.add_metric([site, name, outcome], count)
            retries.add_metric([site, name], row.retries)
            pending.add_metric([site, name], row.pending)
            oldest.add_metric([site, name], row.oldest_s)
            if row.state != "connecting":  # it is not known yet
                up.add_metric([site, name], float(row.state == "up"))
            taken = self._runtime.delivery.acceptance(name)
            accepting.add_metric([site, name], taken.buckets(), taken.sum_s)
        yield from (accepted, deliveries, retries, pending, oldest, up, accepting)

    def _dead_letters_ever(self, name: str, now: int) -> int:
        """The journal's count falls where dead letters are queued again, and a counter must not."""
        before, ever = self._dead_letters.get(name, (0, 0))
        ever += max(now - before, 0)
        self._dead_letters[name] = (now, ever)
        return ever


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)
