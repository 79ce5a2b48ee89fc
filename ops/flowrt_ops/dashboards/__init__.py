"""The five dashboards, and writing them down as Grafana reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flowrt_ops import made
from flowrt_ops.dashboards import performance, realtime, roi, traffic_flow, violations

DASHBOARDS = (
    realtime.DASHBOARD,
    performance.DASHBOARD,
    traffic_flow.DASHBOARD,
    violations.DASHBOARD,
    roi.DASHBOARD,
)


def texts() -> dict[str, str]:
    """File name to content, for the folder `grafana/dashboards`."""
    return {f"{dashboard.uid.removeprefix('flowrt-')}.json": as_text(dashboard.json()) for dashboard in DASHBOARDS}


def as_text(dashboard: dict[str, Any]) -> str:
    """JSON that reads well in a diff."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all dashboards; returns the files that changed."""
    return made.write(folder, texts())


def drift(folder: Path) -> list[str]:
    """How the folder's files differ from what the builder makes: edited by hand, missing, or of unknown origin."""
    known = texts()
    found = []
    for name, text in known.items():
        file = folder / name
        if not file.exists():
            found.append(made.missing(file))
        elif file.read_text("utf-8") != text:
            found.append(f"{file}: {_difference(file.read_text('utf-8'), text)}")
    for file in sorted(folder.glob("*.json")):
        if file.name not in known:
            found.append(f"{file}: no dashboard of flowrt's; dashboards of your own belong in another folder")
    return found


def _difference(there: str, built: str) -> str:
    """The first place where a file says something else than the builder."""
    again = "`flowrt dashboards build` writes it anew; change `ops/flowrt_ops/dashboards` instead of the file"
    try:
        path, value, wanted = next(_differing(json.loads(there), json.loads(built), ""))
    except json.JSONDecodeError as error:
        return f"line {error.lineno}: no JSON ({error.msg}); {again}"
    except StopIteration:
        return f"formatted by other hands; {again}"
    return f"edited by hand at {path}: has {_short(value)}, the builder makes {_short(wanted)}; {again}"


def _differing(one: Any, other: Any, path: str) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*other, *(key for key in one if key not in other)]:
            yield from _differing(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differing(a, b, f"{path}[{i}]")
    elif one != other:
        yield path, one, other


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
