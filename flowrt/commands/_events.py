"""Events in a line, as the commands and the live view show them; the schemas of their topics say which fields sum them up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from flowrt.contract import Contract

HEAD = ["time", "type", "camera", "what", "id"]


@functools.cache  # the shipped schemas stay as they are while a program runs
def summary_fields() -> tuple[str, ...]:
    """Payload fields that say in a line what an event was."""
    return Contract.load().summary


def summary(payload: Mapping[str, Any]) -> str:
    """What an event was, in a line."""
    return " ".join(str(payload[name]) for name in summary_fields() if payload.get(name) not in (None, ""))


def kind(payload: Mapping[str, Any]) -> str:
    """Which kind of its type an event is, such as the rule that was broken; empty where its type has no kinds."""
    return next((str(payload[name]) for name in summary_fields() if name.endswith("_type") and payload.get(name)), "")
