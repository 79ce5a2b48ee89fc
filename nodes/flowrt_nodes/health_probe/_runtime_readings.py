"""What `health_probe` reads out of the runtime's status: cameras, rates, queues, outboxes, and nodes that have stalled.

`Readings` are counters at one time. Rates are differences of two readings, so a counter that a replaced node began anew gives zero
and never a negative rate. The functions named `…_reasons` say what is wrong, in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

CAMERA = "camera"
DETECT = "detect"


class CameraReading(msgspec.Struct, frozen=True, kw_only=True):
    """One camera node. frames: pictures made so far. state: what the node says of itself (`online`, …). view_fault: what is wrong with
    its view, in words."""

    state: str
    detail: str = ""
    frames: int = 0
    dropped: int = 0
    view_fault: str = ""

    @property
    def online(self) -> bool:
        return self.state == "online"

    def fps(self, before: CameraReading | None, since_s: float) -> float:
        """Pictures per second since `before`; 0 where there is nothing to compare."""
        if before is None or since_s <= 0.0:
            return 0.0
        return round(max(self.frames - before.frames, 0) / since_s, 2)


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime at `time_s`. waiting: sinks that can't deliver now, with the reason. trouble: threads that failed or stand still."""

    time_s: float
    nodes: dict[str, Mapping[str, Any]]
    cameras: dict[str, CameraReading]
    queue_depths: dict[str, int]
    pending: dict[str, int]
    dead_letters: dict[str, int]
    waiting: dict[str, str]
    latency_ms: dict[str, float | None]
    diagnostics: list[dict[str, Any]] = []
    trouble: list[str] = []

    @classmethod
    def of(cls, status: Mapping[str, Any], time_s: float) -> Readings:
        """Read `/api/status`. What a runtime does not say counts as zero."""
        nodes = dict(status.get("nodes") or {})
        sinks: dict[str, Any] = msgspec.to_builtins(status.get("sinks") or {})
        return cls(
            time_s=time_s,
            nodes=nodes,
            cameras={name: _camera(facts) for name, facts in nodes.items() if facts.get("type") == CAMERA},
            queue_depths={name: int(queue.get("depth", 0)) for name, queue in (status.get("queues") or {}).items()},
            pending={name: int(sink.get("pending", 0)) for name, sink in sinks.items()},
            dead_letters={name: int(sink.get("dead_letters", 0)) for name, sink in sinks.items()},
            waiting={
                name: str(sink.get("last_error") or "the service is away")
                for name, sink in sinks.items()
                if sink.get("state") in ("waiting", "refused")
            },
            latency_ms=_worst_latency(sinks),
            diagnostics=list(status.get("problems") or []),
            trouble=list(status.get("trouble") or []),
        )

    @property
    def processing_time_ms(self) -> float:
        """Median time of the slowest node of each type, summed: about what one picture costs on its way."""
        slowest: dict[str, float] = {}
        for facts in self.nodes.values():
            kind = str(facts.get("type", ""))
            if kind != CAMERA:
                median_ms = float((facts.get("process_ms") or {}).get("p50") or 0.0)
                slowest[kind] = max(slowest.get(kind, 0.0), median_ms)
        return round(sum(slowest.values()), 3)

    def fps(self, before: Readings | None, since_s: float) -> float:
        """Mean over the cameras."""
        rates = [
            camera.fps(before.cameras.get(name) if before is not None else None, since_s)
            for name, camera in self.cameras.items()
        ]
        return round(sum(rates) / len(rates), 2) if rates else 0.0

    def frames_dropped(self, before: Readings | None) -> int:
        """Dropped since `before`, or since the start."""
        earlier = {} if before is None else before.cameras
        return sum(
            max(camera.dropped - (earlier[name].dropped if name in earlier else 0), 0)
            for name, camera in self.cameras.items()
        )


class Stalls(msgspec.Struct):
    """Since when each node with waiting input has made no progress."""

    seen: dict[str, tuple[int, float]] = {}

    def reasons(self, now: Readings, limit_s: float) -> list[str]:
        """Nodes that stand still although something waits for them."""
        found = []
        seen: dict[str, tuple[int, float]] = {}
        for name, facts in now.nodes.items():
            progress = int(facts.get("out", 0)) + int(facts.get("errors", 0))
            if not facts.get("held") and not facts.get("busy_s"):
                continue
            before, since_s = self.seen.get(name, (-1, now.time_s))
            seen[name] = (progress, since_s if progress == before else now.time_s)
            stands_s = now.time_s - seen[name][1]
            if stands_s > limit_s:
                found.append(
                    f"{name}: stalled for {stands_s:.0f} s with input waiting: see its last error in /api/status"
                )
        self.seen = seen
        return found


def _camera(facts: Mapping[str, Any]) -> CameraReading:
    own = facts.get("status") or {}
    said = own.get("status") or own.get("state")
    made = int(facts.get("in", 0))
    guess = "error" if facts.get("failed") else "online" if made and not facts.get("ended") else "offline"
    return CameraReading(
        state=str(said or guess),
        detail=str(own.get("detail") or facts.get("last_error") or ""),
        frames=made,
        dropped=int(facts.get("dropped", 0)),
        view_fault=str(own.get("view_detail") or ""),
    )


def _errors(facts: Mapping[str, Any]) -> int:
    """Messages on which a node failed, and those it made that no sink can encode."""
    return int(facts.get("errors", 0)) + int(facts.get("unsendable", 0))


def _worst_latency(sinks: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Capture to acceptance, of the sink that takes longest."""
    found: dict[str, float | None] = {}
    for quantile in ("p50", "p99"):
        known = [(sink.get("latency_ms") or {}).get(quantile) for sink in sinks.values()]
        found[quantile] = max((value for value in known if value is not None), default=None)
    return found


def camera_reasons(
    now: Readings, before: Readings | None, min_fps: float, *, starting: bool = False
) -> tuple[list[str], list[str]]:
    """Critical and degraded: cameras that are away or slow, and nodes that fail.

    starting: a camera that never gave a picture is still on its way, unless it says that it failed.
    """
    critical: list[str] = []
    degraded: list[str] = []
    away = {
        name: camera
        for name, camera in now.cameras.items()
        if not camera.online and not (starting and camera.frames == 0 and camera.state == "offline")
    }
    if away and len(away) == len(now.cameras):
        critical.append("no camera is online")
    for name, camera in away.items():
        degraded.append(f"{name}: {camera.state}" + (f" ({camera.detail})" if camera.detail else ""))
    degraded += [
        f"{name}: {camera.view_fault}" for name, camera in now.cameras.items() if camera.online and camera.view_fault
    ]
    if before is None:
        return critical, degraded
    for name, camera in now.cameras.items():
        earlier = before.cameras.get(name)
        fps = camera.fps(earlier, now.time_s - before.time_s)
        if camera.state == "online" and earlier is not None and fps < min_fps:
            degraded.append(f"{name}: {fps:g} pictures a second, expected {min_fps:g}")
    for name, facts in now.nodes.items():
        then = before.nodes.get(name, {})
        errors = _errors(facts) - _errors(then)
        if errors <= 0:
            continue
        text = f"{name}: {errors} errors since the last report: {facts.get('last_error', '')}"
        nothing_else = int(facts.get("out", 0)) == int(then.get("out", 0))
        (critical if facts.get("type") == DETECT and nothing_else else degraded).append(text)
    return critical, degraded


def edit_reasons(now: Readings) -> list[str]:
    """What is wrong with the flow file as it is now, while the flow goes on as it was; the first few findings."""
    found = []
    for diagnostic in now.diagnostics[:3]:
        place = str(diagnostic.get("file", "")).replace("\\", "/").rpartition("/")[2]
        if diagnostic.get("line"):
            place += f":{diagnostic['line']}:{diagnostic['column']}"
        found.append(f"flow file: {place}: {diagnostic.get('message', '')}")
    if len(now.diagnostics) > len(found):
        found.append(f"flow file: {len(now.diagnostics) - len(found)} more problems: `flowrt check` lists them")
    return found


def outbox_reasons(now: Readings, before: Readings | None, limit: int) -> list[str]:
    """Sinks with too many messages waiting, or with messages that no service takes."""
    found = [f"{name}: can't deliver ({reason}); its messages wait on disk" for name, reason in now.waiting.items()]
    for name, pending in now.pending.items():
        if pending > limit:
            growing = before is not None and pending > before.pending.get(name, 0)
            found.append(f"{name}: {pending} messages wait" + (" and their number grows" if growing else ""))
    for name, dead in now.dead_letters.items():
        if dead:
            found.append(f"{name}: {dead} dead letters: `flowrt dead-letters list` says why")
    return found
