"""Any message as plain JSON values: for expressions, logs and files."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from flowrt import Detections, Frame, Message, Objects, Tracks

_MILLISECONDS = 1e11  # of the epoch: 1973; as seconds it would be the year 5138
_YEAR_10000_S = 253_402_300_800.0


def plain(message: Message) -> dict[str, Any]:
    """The fields of a message with `type` (its port), `time` (RFC 3339, UTC) and `time_s`; arrays become lists, NaN becomes None.

    Objects of a picture become a list of dicts. Pictures are left out; their size stays.
    """
    head: dict[str, Any] = {"type": message.port, "time": rfc3339(message.time_s), "time_s": message.time_s}
    if message.camera_id:
        head["camera_id"] = message.camera_id
    if isinstance(message, Frame):
        return {**head, "number": message.number, "width": message.size_px[0], "height": message.size_px[1]}
    if isinstance(message, Objects):
        return {**head, **_objects(message)}
    fields = msgspec.to_builtins(message, enc_hook=_plain_value)
    return {**head, **{name: value for name, value in fields.items() if name not in ("time_s", "camera_id")}}


def rfc3339(time_s: float) -> str:
    """UTC with microseconds and Z; a text without a time where it is out of range."""
    try:
        return datetime.fromtimestamp(round(time_s, 6), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (OverflowError, ValueError, OSError):
        return ""


def moment_s(value: Any) -> float | None:
    """A time as JSON carries it, in seconds since the epoch; None where it is none.

    RFC 3339 (UTC where it names no zone), or a number of seconds or milliseconds, of the years 1970 to 9999.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    seconds = value / 1000 if _MILLISECONDS < value < 1000 * _YEAR_10000_S else value
    return float(seconds) if 0 <= seconds < _YEAR_10000_S else None


def _objects(objects: Objects) -> dict[str, Any]:
    labels = objects.label
    found: list[dict[str, Any]] = [
        {"label": label, "confidence": _number(confidence), "box_px": [round(float(edge), 1) for edge in box]}
        for label, confidence, box in zip(labels, objects.confidence, objects.boxes_px, strict=True)
    ]
    if isinstance(objects, Tracks):
        for row, one in enumerate(found):
            one["track_id"] = int(objects.track_id[row])
            one["age_s"] = _number(objects.age_s[row])
            for name in ("speed_kmh", "heading_deg"):
                one[name] = _number(getattr(objects, name)[row])
            one["x_m"], one["y_m"] = (_number(metre) for metre in objects.ground_m[row])
            one["zones"] = [zone for z, zone in enumerate(objects.zones) if objects.in_zone[row, z]]
    shown: dict[str, Any] = {"frame_number": objects.frame_number, "objects": found}
    if isinstance(objects, Tracks | Detections):
        shown["model"] = objects.model
    return shown


def _number(value: Any) -> float | None:
    number = float(value)
    return round(number, 3) if math.isfinite(number) else None


def _plain_value(value: Any) -> Any:
    import numpy as np  # a flow without pictures need not wait for it

    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
