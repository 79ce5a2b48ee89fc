"""violation.illegal_turn: a vehicle completes an entry-exit pair that is banned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
from numpy.typing import NDArray

from flowrt import VEHICLES, CameraView, CheckView, Diagnostic, Finding, Rule, Tracks, scene_in, setting
from flowrt.diagnostics import did_you_mean
from flowrt.traffic.geometry.camera_view import cut_off
from flowrt.traffic.geometry.plane import LineSet, Mask
from flowrt_nodes._lib.crossing import LineWatch

# Margins: docs/rules.md says what each is for.
GAP_S = 0.45
ROOM_M, ROOM_SHARE = 4.0, 0.5
BACK_COSINE, BACK_M_S = -0.5, 1.5
SETTLED_S = 0.3


class Ban(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"entry": "from", "exit": "to"}
):
    """A banned pair of entry and exit. Each is the name of a line that is crossed, or of a zone that is driven on."""

    entry: Annotated[str, setting("Line or zone where it begins.")]
    exit: Annotated[str, setting("Line or zone where it is completed.")]
    classes: Annotated[list[str], setting("Classes for which it is banned; all vehicles when empty.")] = []
    hours: Annotated[
        list[Annotated[str, setting("HH:MM-HH:MM", pattern=r"^\d\d:\d\d-\d\d:\d\d$")]],
        setting("Times of day at which it is banned; always when empty.", examples=[["07:00-09:00"]]),
    ] = []


class IllegalTurn(Rule, kw_only=True):
    """A vehicle completes an entry-exit pair that is banned, for its class and at that time of day.

    Needs: lines or zones for entry and exit that one camera sees. The turn is complete, and begins as a violation, when the exit is reached.

    No violation: pairs that are not listed; a track that was lost, left the picture, or jumped elsewhere between entry and exit; a
    turn that is broken off; more than `within_s` between entry and exit.
    """

    banned: Annotated[list[Ban], setting("Pairs that are not allowed.", min_length=1)]
    within_s: Annotated[float, setting("Longest time from entry to exit.", gt=0, le=600)] = 120.0
    timezone: Annotated[str, setting("Time zone of `hours`.", examples=["Europe/Berlin"])] = "UTC"

    violation_type: ClassVar[str] = "illegal_turn"
    example: ClassVar[str] = """\
no_u_turn: {type: violation.illegal_turn, from: speeds, scene: north, banned: [{from: n_in_1, to: exit_north}]}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        for i, ban in enumerate(self.banned):
            for key, name in (("from", ban.entry), ("to", ban.exit)):
                if scene is not None and name not in scene.lines and name not in scene.zones:
                    hint = did_you_mean(name, [*scene.lines, *scene.zones])
                    yield Diagnostic(("banned", i, key), f"scene '{self.scene}' has no line or zone '{name}'", hint)
            if ban.entry == ban.exit:
                yield Diagnostic(("banned", i, "to"), "entry and exit are the same", "name where the turn is completed")
            for j, hours in enumerate(ban.hours):
                if any(int(h) > 24 or int(m) > 59 for h, m in (part.split(":") for part in hours.split("-"))):
                    yield Diagnostic(("banned", i, "hours", j), f"'{hours}' is no time of day", "write 07:00-09:00")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield Diagnostic(
                ("timezone",), f"unknown time zone '{self.timezone}'", "a name such as Europe/Berlin or UTC"
            )

    def prepare(self, view: CameraView) -> None:
        names = dict.fromkeys(name for ban in self.banned for name in (ban.entry, ban.exit))
        self._lines = [name for name in names if name in view.scene.lines]
        self._zones = [name for name in names if name in view.scene.zones and name not in self._lines]
        self._places = {name: i for i, name in enumerate([*self._lines, *self._zones])}
        self._polygons = view.polygons(self._zones)
        self._watch = LineWatch(LineSet([view.scene.lines[name].points for name in self._lines], reach=0.1))
        self._zone_time = ZoneInfo(self.timezone)
        count = (len(self._places),)
        self._memory = self.table(
            {
                **self._watch.columns(),
                "passed_s": (np.float64, count, np.nan),
                "inside_s": (np.float64, (len(self._zones),), np.nan),
                "done": (bool, (len(self.banned),), False),
                "cut": (bool, (), False),
                "at_m": (np.float64, (2,), np.nan),
                "velocity_m_s": (np.float64, (2,), np.nan),
                "seen_s": (np.float64, (), np.nan),
            },
            forget_after_s=20.0,
        )

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._memory
        if not len(tracks):
            return
        rows = table.rows(tracks)
        # A vehicle that comes in from the border may be another than the one that left there: what that one passed is void.
        cut = cut_off(tracks)
        changed = rows[(table["cut"][rows] & ~cut) | self._jumped(tracks, view, rows)]
        table["passed_s"][changed], table["done"][changed] = np.nan, False
        table["cut"][rows] = cut
        points = view.position_px(tracks)
        reached: list[tuple[int, int, float]] = []
        for crossing in self._watch.update(table, rows, points, tracks, view.reliable(tracks)):
            reached.append((crossing.row, crossing.line, crossing.time_s))
        if self._zones:
            inside = view.in_zones(tracks, self._zones, self._polygons)
            since_s = table["inside_s"][rows]
            since_s = np.where(inside, np.where(np.isnan(since_s), tracks.time_s, since_s), np.nan)
            table["inside_s"][rows] = since_s
            for row, zone in np.argwhere(tracks.time_s - since_s >= SETTLED_S).tolist():
                reached.append((row, len(self._lines) + zone, float(since_s[row, zone])))
        vehicles = tracks.of_class(VEHICLES)
        for row, place, time_s in reached:
            if vehicles[row]:
                yield from self._judge(tracks, row, int(rows[row]), place, time_s)
            table["passed_s"][rows[row], place] = time_s

    def _jumped(self, tracks: Tracks, view: CameraView, rows: NDArray[np.int64]) -> Mask:
        """(N,): which tracks are, after a gap, where the same vehicle can't be, or drive back where it came from."""
        table = self._memory
        place, gap_s = view.ground_m(tracks), tracks.time_s - table["seen_s"][rows]
        before, now = table["velocity_m_s"][rows], view.velocity_m_s(tracks)
        way = before * gap_s[:, None]
        off = place - table["at_m"][rows] - way
        room = ROOM_M + ROOM_SHARE * np.hypot(way[:, 0], way[:, 1])
        slower, faster = np.sort((np.hypot(before[:, 0], before[:, 1]), np.hypot(now[:, 0], now[:, 1])), axis=0)
        turned = (slower > BACK_M_S) & ((before * now).sum(axis=1) < BACK_COSINE * slower * faster)
        known = view.reliable(tracks)
        table["at_m"][rows[known]], table["velocity_m_s"][rows[known]] = place[known], now[known]
        table["seen_s"][rows[known]] = tracks.time_s
        return np.asarray(known & (gap_s > GAP_S) & (turned | (np.hypot(off[:, 0], off[:, 1]) > room)))

    def _judge(self, tracks: Tracks, row: int, memory: int, place: int, time_s: float) -> Iterator[Finding]:
        label = tracks.labels[tracks.class_id[row]]
        for i, ban in enumerate(self.banned):
            if self._places[ban.exit] != place or self._memory["done"][memory, i]:
                continue
            entered_s = float(self._memory["passed_s"][memory, self._places[ban.entry]])
            if not 0 < time_s - entered_s <= self.within_s or (ban.classes and label not in ban.classes):
                continue
            if not self._in_force(ban, time_s):
                continue
            self._memory["done"][memory, i] = True
            yield Finding(
                row=row,
                since_s=time_s,
                key=f"{ban.entry}>{ban.exit}",
                roi_id=ban.exit,
                facts={"from": ban.entry, "to": ban.exit, "entered_s": round(entered_s, 3)},
                description=f"turned from {ban.entry} to {ban.exit}, which is banned",
            )

    def _in_force(self, ban: Ban, time_s: float) -> bool:
        if not ban.hours:
            return True
        now = datetime.fromtimestamp(time_s, UTC).astimezone(self._zone_time).strftime("%H:%M")
        for hours in ban.hours:
            begin, end = hours.split("-")
            if (begin <= now < end) if begin <= end else (now >= begin or now < end):
                return True
        return False
