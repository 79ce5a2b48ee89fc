"""The dashboards, and their files as Grafana reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowrt_ops import generated
from flowrt_ops.dashboards import performance, realtime, roi_analytics, traffic_flow, violations

DASHBOARDS = (
    realtime.DASHBOARD,
    performance.DASHBOARD,
    traffic_flow.DASHBOARD,
    violations.DASHBOARD,
    roi_analytics.DASHBOARD,
)


def texts() -> dict[str, str]:
    """File name to content, for the folder `grafana/dashboards`."""
    return {f"{dashboard.uid.removeprefix('flowrt-')}.json": as_text(dashboard.json()) for dashboard in DASHBOARDS}


def as_text(dashboard: dict[str, Any]) -> str:
    """JSON that reads well in a diff."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all dashboards; returns the files that changed."""
    return generated.write(folder, texts())


def drift(folder: Path) -> list[str]:
    """How the folder's files differ from the generated ones: edited by hand, missing, or of unknown origin."""
    known = texts()
    diagnostics = []
    for name, text in known.items():
        diagnostics += generated.json_drift(folder / name, text, "ops/flowrt_ops/dashboards")
    for file in sorted(folder.glob("*.json")):
        if file.name not in known:
            diagnostics.append(f"{file}: no dashboard of flowrt's; dashboards of your own belong in another folder")
    return diagnostics
