"""The events that two flows make of the same messages: what one has and the other has not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowrt import Event, LaneInterval
from flowrt.flow import Flow
from flowrt.message import Tick
from flowrt.testing.replay import rehearse, substitute
from flowrt_web.preview.memory import Remembered

MAX_SHOWN = 60


def compared(before: Flow, after: Flow, nodes: Iterable[str], messages: list[Remembered]) -> dict[str, Any]:
    """By kind how many more or fewer, and each event that comes or goes. Raises FlowError where a node can't be opened."""
    old, new = events_of(before, nodes, messages), events_of(after, nodes, messages)
    came = [event for key, event in new.items() if key not in old]
    went = [event for key, event in old.items() if key not in new]
    kinds: dict[str, int] = {}
    for events, sign in ((came, 1), (went, -1)):
        for event in events:
            kinds[kind_of(event)] = kinds.get(kind_of(event), 0) + sign
    return {
        "seconds": round(messages[-1].message.time_s - messages[0].message.time_s, 1),
        "before": len(old),
        "after": len(new),
        "kinds": {kind: count for kind, count in sorted(kinds.items()) if count},
        "came": [_shown(event) for event in came[:MAX_SHOWN]],
        "went": [_shown(event) for event in went[:MAX_SHOWN]],
    }


def events_of(flow: Flow, nodes: Iterable[str], messages: list[Remembered]) -> dict[tuple[str, ...], Event]:
    """What the rules of a flow make of the messages: each event once, in its last state, by what and who it is."""
    given = {name: () for name in nodes if name in flow.nodes}
    sources = [(name, spec.type.ports.outputs) for name, spec in flow.nodes.items() if spec.type.role == "source"]
    silent = [name for name, outputs in sources if Tick not in outputs]
    cut = substitute(flow, given, without=silent)
    stream = [(each.node, each.message) for each in messages if each.node in given]
    arrived = rehearse(cut, stream=stream, start_s=messages[0].message.time_s, kind=Event)
    return {
        key_of(event): event for _, event in arrived if isinstance(event, Event) and not isinstance(event, LaneInterval)
    }


def kind_of(event: Event) -> str:
    """`red_light`, `crosswalk_entry`, …"""
    return str(getattr(event, "violation_type", "") or getattr(event, "event_type", "") or event.port)


def key_of(event: Event) -> tuple[str, ...]:
    """What makes two events of two runs the same: kind, camera, place and road user."""
    user = getattr(event, "object", None)
    number = user.track_id if user is not None else getattr(event, "pedestrian_id", event.id)
    return event.port, kind_of(event), event.camera_id, str(getattr(event, "roi_id", "")), str(number)


def _shown(event: Event) -> dict[str, Any]:
    user = getattr(event, "object", None)
    return {
        "kind": kind_of(event),
        "camera": event.camera_id,
        "time_s": event.time_s,
        "roi": getattr(event, "roi_id", ""),
        "user": f"{user.label} {user.track_id}" if user is not None else "",
        "box": user.box_px if user is not None else None,
        "description": getattr(event, "description", ""),
    }
