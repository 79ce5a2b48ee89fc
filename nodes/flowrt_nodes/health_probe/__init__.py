"""`health_probe`: asks everything the intersection depends on, and says how it is and why.

Two threads: the node's own keeps the rhythm of `every_s`; a checker asks the services (`check_every_s`, each with `timeout_s`), so
that a hanging service delays no report. Under a virtual clock no service is asked, since the world outside has no virtual time.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from flowrt import (
    CheckView,
    Context,
    Diagnostic,
    Health,
    Objects,
    Performance,
    ServiceState,
    SideInput,
    Source,
    setting,
)
from flowrt.services.checks import CheckResult, check, targets
from flowrt.system.backoff import Backoff
from flowrt_nodes.health_probe._runtime_readings import Readings, Stalls, camera_reasons, edit_reasons, outbox_reasons

MB = 1024.0 * 1024.0


class HealthProbe(Source):
    """Check broker, database, Grafana, cameras, model, disk, CPU, memory and the runtime's own queues.

    Emits one Health (healthy, degraded or critical, with the reasons) and, for the runtime and for each camera, one Performance
    every `every_s`. Critical: no camera is online, a node has stalled, a thread of the run has failed, or the disk is full. Degraded: anything else is wrong.
    """

    endless: ClassVar[bool] = True
    uses: ClassVar[frozenset[str]] = frozenset({"mqtt", "influx", "grafana"})
    example: ClassVar[str] = "{type: health_probe, every_s: 5, min_fps: 10}"

    every_s: Annotated[float, setting("Time between two reports.", gt=0.0)] = 5.0
    check_every_s: Annotated[float, setting("Time between two questions to the services.", gt=0.0)] = 30.0
    timeout_s: Annotated[float, setting("How long a service may take to answer.", gt=0.0, le=60.0)] = 5.0
    stall_s: Annotated[float, setting("A node with waiting input and no progress for so long has stalled.", gt=0.0)] = (
        30.0
    )
    start_s: Annotated[
        float, setting("For so long after the start a camera may be without its first picture.", ge=0.0)
    ] = 15.0
    min_fps: Annotated[
        float, setting("Degraded where a camera that is online gives fewer pictures; 0: no limit.", ge=0.0)
    ] = 0.0
    max_cpu: Annotated[float, setting("Degraded above this use of all cores, in percent.", gt=0.0, le=100.0)] = 97.0
    max_memory: Annotated[
        float, setting("Degraded above this use of the machine's memory, in percent.", gt=0.0, le=100.0)
    ] = 92.0
    min_disk_free_mb: Annotated[
        float, setting("Critical below this much free space where the journal lies.", ge=0.0)
    ] = 200.0
    latitude: (
        Annotated[float, setting("Where the intersection is, degrees north (WGS 84), for maps.", ge=-90.0, le=90.0)]
        | None
    ) = None
    longitude: Annotated[float, setting("The same, degrees east.", ge=-180.0, le=180.0)] | None = None
    max_outbox: Annotated[int, setting("Degraded where a sink has more messages waiting.", ge=1)] = 10_000

    objects: Annotated[
        list[SideInput],
        setting("Nodes (tracks or detections) whose pictures tell each camera's processing time and objects."),
    ] = []

    def check(self, view: CheckView) -> Iterator[Diagnostic]:
        for given, missing in (("latitude", "longitude"), ("longitude", "latitude")):
            if getattr(self, given) is not None and getattr(self, missing) is None:
                yield Diagnostic((given,), f"a {given} without a {missing}", f"add {missing}: in degrees")

    def open(self, context: Context) -> None:
        import psutil

        self._seen: dict[str, tuple[float, int]] = {}
        self._asked_s = time.monotonic()  # latencies are of the world outside, also under virtual time
        self._process = psutil.Process()
        self._process.cpu_percent()
        psutil.cpu_percent()
        self._targets = targets(context.services, context.folder)
        self._services = {target.name: ServiceState(status="unknown") for target in self._targets}
        self._gpu_usage: float | None = None
        self._stalls = Stalls()
        self._before: Readings | None = None
        self._checked = threading.Event()
        self._checker = context.supervisor.thread(f"checks of {context.node}", self._keep_checking, restart=Backoff())
        if not context.clock.virtual:
            self._checker.start()

    def produce(self) -> Iterator[Health | Performance]:
        """The first report follows the first answers of the services, at the latest after `timeout_s`."""
        clock, stopping = self.context.clock, self.context.stopping
        if not clock.virtual:
            while not stopping.is_set() and not self._checked.wait(0.1):
                pass
        due_s = self._begun_s = clock.now_s()
        while not stopping.is_set():
            yield from self._report(due_s)
            now_s = clock.now_s()
            due_s = max(due_s + self.every_s, now_s - self.every_s)
            if not clock.virtual:
                due_s = min(due_s, now_s + self.every_s)  # the clock may have been set back
            if not clock.sleep(due_s - now_s, stopping):
                return

    def on_objects(self, objects: Objects) -> None:
        """Remember what the camera's newest picture took, and how much was on it."""
        self._seen[objects.camera_id] = (objects.processing_time_ms, len(objects))

    def close(self) -> None:
        self._checker.stop()
        self._checker.join(self.timeout_s + 1.0)

    def status(self) -> dict[str, Any]:
        return {"services": {name: state.status for name, state in self._services.items()}}

    def _report(self, time_s: float) -> Iterator[Health | Performance]:
        import psutil

        asked_s, self._asked_s = self._asked_s, time.monotonic()
        now = Readings.of(self.context.runtime.status(recent_s=self._asked_s - asked_s), time_s)
        before, self._before = self._before, now
        cpu = psutil.cpu_percent()
        memory = psutil.virtual_memory().percent
        disk = shutil.disk_usage(_existing(self.context.data))
        critical, degraded = self._judge(now, before, cpu, memory, disk.free / MB, time_s - self._begun_s)
        status = "critical" if critical else "degraded" if degraded else "healthy"
        yield Health(
            time_s=time_s,
            status=status,  # type: ignore[arg-type]  # mypy does not narrow the conditional expression to the literals
            active_cameras=sum(camera.online for camera in now.cameras.values()),
            services=dict(self._services),
            uptime_seconds=max(time_s - self._begun_s, 0.0),
            host=socket.gethostname(),
            reasons=[*critical, *degraded],
            cpu_usage=cpu,
            memory_usage=round(self._process.memory_info().rss / MB, 1),
            disk_usage=round(100.0 * disk.used / max(disk.total, 1), 2),
            latitude=self.latitude,
            longitude=self.longitude,
        )
        yield from self._performance(now, before, time_s)

    def _judge(
        self, now: Readings, before: Readings | None, cpu: float, memory: float, disk_free_mb: float, uptime_s: float
    ) -> tuple[list[str], list[str]]:
        """What is critical and what degrades, in words."""
        critical, degraded = camera_reasons(now, before, self.min_fps, starting=uptime_s < self.start_s)
        critical += self._stalls.reasons(now, self.stall_s)
        critical += now.trouble
        if disk_free_mb < self.min_disk_free_mb:
            critical.append(
                f"disk: only {disk_free_mb:.0f} MB are free for the journal: make room on {self.context.data.name}'s disk"
            )
        for name, state in self._services.items():
            if state.status == "down":
                degraded.append(f"{name}: {state.error}")
        degraded += edit_reasons(now)
        degraded += outbox_reasons(now, before, self.max_outbox)
        if cpu > self.max_cpu:
            degraded.append(f"CPU: {cpu:.0f} % in use: lower a camera's fps, or use `every` at the detector")
        if memory > self.max_memory:
            degraded.append(f"memory: {memory:.0f} % of the machine's memory is in use")
        return critical, degraded

    def _performance(self, now: Readings, before: Readings | None, time_s: float) -> Iterator[Performance]:
        memory_mb = round(self._process.memory_info().rss / MB, 1)
        cpu = round(self._process.cpu_percent() / (os.cpu_count() or 1), 1)
        since_s = time_s - before.time_s if before is not None else 0.0
        seen = dict(self._seen)
        measured_ms = [processing_ms for processing_ms, _ in seen.values() if processing_ms > 0.0]
        yield Performance(
            time_s=time_s,
            fps=now.fps(before, since_s),
            processing_time_ms=round(max(measured_ms, default=now.processing_time_ms), 3),
            cpu_usage=cpu,
            memory_usage=memory_mb,
            gpu_usage=self._gpu_usage,
            camera_count=len(now.cameras),
            active_objects=sum(objects for _, objects in seen.values()),
            frames_dropped=now.frames_dropped(before),
            queue_depths=now.queue_depths,
            queue_depth=max(now.queue_depths.values(), default=0),
            latency_p50_ms=now.latency_ms.get("p50"),
            latency_p99_ms=now.latency_ms.get("p99"),
            outbox_pending=sum(now.pending.values()),
        )
        for name, camera in now.cameras.items():
            earlier = before.cameras.get(name) if before is not None else None
            processing_ms, objects = seen.get(name, (now.processing_time_ms, 0))
            yield Performance(
                time_s=time_s,
                camera_id=name,
                service="camera",
                fps=camera.fps(earlier, since_s),
                processing_time_ms=round(processing_ms, 3),
                cpu_usage=cpu,
                memory_usage=memory_mb,
                active_objects=objects,
                frames_dropped=max(camera.dropped - (earlier.dropped if earlier else 0), 0),
            )

    def _keep_checking(self) -> None:
        stopping = self.context.stopping
        while not stopping.is_set():
            begun_s = time.monotonic()
            self._services = {target.name: _state(check(target, self.timeout_s)) for target in self._targets}
            self._gpu_usage = gpu_usage(self.timeout_s)
            self._checked.set()
            stopping.wait(max(self.check_every_s - (time.monotonic() - begun_s), 0.1))


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def gpu_usage(timeout_s: float) -> float | None:
    """Use of the first graphics processor in percent; None where the machine does not say.

    Linux tells it for AMD in `gpu_busy_percent`; for NVIDIA the driver's own tool is asked.
    """
    for file in sorted(Path("/sys/class/drm").glob("card*/device/gpu_busy_percent")):
        try:
            return float(file.read_text())
        except (OSError, ValueError):
            continue
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=timeout_s, check=True)
        return float(answer.stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _state(result: CheckResult) -> ServiceState:
    return ServiceState(status="up" if result.up else "down", latency_ms=result.latency_ms, error=result.error)
