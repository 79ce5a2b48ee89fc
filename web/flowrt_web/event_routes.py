"""Recorded events, newest first, with their pictures and what people said of them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flowrt.http import Host, Route
from flowrt.journal import JournalView, journal_path
from flowrt.journal.reviews import Review, read_reviews, write_review

MAX_ROWS = 300
LATEST_S = 24 * 3600.0


class Wanted(msgspec.Struct, frozen=True):
    """A filter. type: of the port, or the event's own kind; since_s, until_s: its time."""

    type: str = ""
    camera: str = ""
    since_s: float = 0.0
    until_s: float = float("inf")


def routes(host: Host) -> Iterable[Route]:
    """The routes of the events page."""

    async def events(request: Request) -> Response:
        ask = request.query_params
        try:
            wanted = Wanted(
                type=ask.get("type", ""),
                camera=ask.get("camera", ""),
                since_s=float(ask.get("since", time.time() - LATEST_S)),
                until_s=float(ask.get("until", "inf")),
            )
        except ValueError:
            return host.json({"error": "since and until are seconds since the epoch"}, 400)
        loop = asyncio.get_running_loop()
        try:
            return host.json(await loop.run_in_executor(None, recorded, _journal(host), wanted))
        except FileNotFoundError:
            return host.json({"events": [], "kinds": [], "more": False})
        except sqlite3.Error as error:
            return host.json({"error": f"the journal can't be read: {error}"}, 503)

    async def review(request: Request) -> Response:
        try:
            given = msgspec.json.decode(await request.body(), type=Review)
            kept = msgspec.structs.replace(given, time_s=time.time())
            await asyncio.get_running_loop().run_in_executor(None, write_review, _journal(host), kept)
        except msgspec.DecodeError as error:
            return host.json({"error": str(error)}, 400)
        except KeyError:
            return host.json({"error": "there is no such event any more"}, 404)
        except sqlite3.Error as error:
            return host.json({"error": f"the journal can't be written: {error}"}, 503)
        return host.json(kept)

    yield Route("/api/page/events", events)
    yield Route("/api/page/review", review, "edit", ("POST",))


def _journal(host: Host) -> Path:
    return host.runtime.data / journal_path(host.runtime.flow.name).name


def recorded(journal: Path, wanted: Wanted) -> dict[str, Any]:
    """What is in the journal, newest first. kinds: those that there are in that time. Raises FileNotFoundError, sqlite3.Error."""
    rows: deque[dict[str, Any]] = deque(maxlen=MAX_ROWS + 1)  # a journal may hold millions
    kinds: dict[str, int] = {}
    reviews = read_reviews(journal)
    with JournalView(journal) as view:
        for event in view.events(since_s=wanted.since_s):
            if event.time_s > wanted.until_s:
                break
            payload = _decoded(event.payload)
            kind = str(payload.get("violation_type") or payload.get("event_type") or event.type)
            kinds[kind] = kinds.get(kind, 0) + 1
            if wanted.type not in ("", event.type, kind) or wanted.camera not in ("", payload.get("camera_id", "")):
                continue
            row = {"id": event.id, "time_s": event.time_s, "type": event.type, "kind": kind, "node": event.node}
            rows.append(row | {"payload": payload, "picture": _picture(payload), "review": reviews.get(event.id)})
    return {"events": list(rows)[: -MAX_ROWS - 1 : -1], "kinds": sorted(kinds.items()), "more": len(rows) > MAX_ROWS}


def _picture(payload: dict[str, Any]) -> str:
    """Where the event's picture is served; empty where it has none."""
    evidence = payload.get("evidence")
    file = evidence.get("snapshot") if isinstance(evidence, dict) else None
    return f"/snapshots/{Path(file).name}" if isinstance(file, str) else ""


def _decoded(payload: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(payload)
    except msgspec.DecodeError:  # a flipped byte on the disk
        return {}
    return decoded if isinstance(decoded, dict) else {}
