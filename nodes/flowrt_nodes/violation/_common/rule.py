"""What all violation rules have in common: phases, ids, evidence, hold times, and a memory bounded by time.

A rule finds, in each picture, who offends right now (`find`). This base turns findings into events:
- A finding that has lasted `hold_s` becomes a violation: `new`, then `update` every `update_s`, then `end` once it was
  missing for `end_after_s` (also when the track was lost), or when the flow ends.
- The id depends on site, camera, rule, offence and start only, so a repeated run gives the same events.
- The same offence (`Finding.key`) of the same track is reported once; with `once_per: episode`, again after it ended.
- An offender who was hidden for a moment comes back as another track: who goes on where an offender was lost is that offender.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np

from flowrt import (
    PEDESTRIANS,
    Context,
    Feed,
    SceneName,
    Severity,
    SignalState,
    Tracks,
    Transform,
    Violation,
    setting,
)
from flowrt.messages import Floats
from flowrt_nodes._lib.camera_view import CameraView, CameraViews
from flowrt_nodes._lib.events import event_id, location, ms, road_user
from flowrt_nodes._lib.signals import SignalPhase, SignalTimeline
from flowrt_nodes._lib.track_table import TrackTable
from flowrt_nodes.violation._common.evidence import save_snapshot
from flowrt_nodes.violation._common.history import History, row_by_id, without_picture

FLICKER_S = 0.35
"""A finding may be missing this long before its hold time starts again."""
PAUSE_S = 1.0
"""In a pause of this length between two pictures it may have gone on unseen: pictures get lost."""
REMEMBER_S = 600.0
"""How long a reported offence is remembered."""
AGAIN_S = 60.0
"""Who was lost for longer is not looked for."""
STRAY_M, STRAY = 2.0, 0.3
"""How far from where he should be an offender may come back: metres, and of who drives a share of the way driven meanwhile."""
SLOW_M_S = 1.5
"""People on foot, and vehicles at rest whose boxes tremble, so that they are not surely faster."""
TURNING_S = 3.0
"""Who was hidden for longer went, on the whole, where he was going."""
LEAVING_S = 2.0
"""Who was seen for longer after his offence has left; in a shorter time he may have been mistaken for somebody who passed."""
FURTHEST_M, FURTHEST_ON_FOOT_M = 40.0, 12.0
"""Nor is who drove, or walked, further than this meanwhile."""

OffenceKey = tuple[str, int, str]
"""camera_id, track_id, and what tells one offence of a track from another."""


class Finding(msgspec.Struct, kw_only=True):
    """Somebody offends in this picture.

    row: of the tracks. since_s: when it began, where that is known better than by the first finding.
    key: what tells this offence from others of the same track (a signal cycle); roi_id: zone or line.
    """

    row: int
    since_s: float | None = None
    key: str = ""
    roi_id: str = ""
    lane_id: str | None = None
    facts: dict[str, Any] = {}
    severity: Severity | None = None
    description: str = ""


class Episode(msgspec.Struct, kw_only=True):
    """A violation that is under way."""

    id: str
    started_s: float
    last_s: float
    told_s: float
    severity: Severity
    seen: tuple[Tracks, int, str | None]
    """Where it was found last: the picture's tracks, the row, the lane."""
    latest: tuple[Tracks, int]
    """Where the offender was last, offending or not."""
    roi_id: str
    facts: dict[str, Any]
    description: str
    confidence: float


class Rule(Transform):
    """A rule; subclasses say what an offence is in `find`, and lay out their geometry in `prepare`."""

    scene: SceneName
    severity: Annotated[Severity, setting("How grave a violation is, unless the rule knows better.")] = "medium"
    hold_s: Annotated[float, setting("How long it must last before it counts.", ge=0, le=3600)] = 0.0
    update_s: Annotated[float, setting("Time between updates of one that goes on.", gt=0, le=3600)] = 1.0
    end_after_s: Annotated[float, setting("It is over when it was not seen for this long.", gt=0, le=60)] = 1.0
    once_per: Annotated[
        Literal["track", "episode"], setting("Report a track once for the same offence, or each time anew.")
    ] = "track"
    evidence_s: Annotated[float, setting("Track samples kept as evidence, back in time.", gt=0, le=60)] = 4.0
    snapshot: Annotated[bool, setting("Save a JPEG of the offender in the data folder's `snapshots`.")] = False

    violation_type: ClassVar[str] = ""
    repeatable: ClassVar[bool] = True

    def open(self, context: Context) -> None:
        self._views = CameraViews(context.scene)
        self._history = History(self.evidence_s)
        self._waiting: dict[OffenceKey, tuple[float, float]] = {}
        self._open: dict[OffenceKey, Episode] = {}
        self._done: dict[OffenceKey, float] = {}
        self._over: list[tuple[OffenceKey, Episode]] = []
        self._unproven: dict[Any, Any] = {}
        """For rules whose offences show only some seconds later whether they were any: those that still wait for it."""
        self._clean_s = float("-inf")
        self._picture_s: dict[str, float] = {}
        """When each camera's picture before was taken."""
        self._table: TrackTable | None = None
        self._timeline = SignalTimeline()

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._history.keep_s = max(self.evidence_s, self.history_s())
        self._views = CameraViews(self.context.scene)  # the next picture prepares the geometry again

    def history_s(self) -> float:
        """How much of the past `find` wants to look at."""
        return 0.0

    def prepare(self, view: CameraView) -> None:
        """Lay out geometry for pictures of a new size, or for another scene or other settings."""

    def find(self, tracks: Tracks, view: CameraView) -> Iterable[Finding]:
        """Who offends in this picture."""
        raise NotImplementedError

    def kind(self) -> str:
        """The name of the violation."""
        return self.violation_type

    def process(self, tracks: Tracks) -> Sequence[Violation]:
        view, fresh = self._views.fit(tracks)
        if fresh:
            self._history.keep_s = max(self.evidence_s, self.history_s())
            self.prepare(view)
        self._history.add(tracks)
        events: list[Violation] = []
        for finding in self.find(tracks, view):
            self._take(finding, tracks, events)
        if self._open or self._waiting:
            self._settle(tracks, events)
        if self._open or self._over:
            self._see_offenders(tracks)
        self._picture_s[tracks.camera_id] = tracks.time_s
        if tracks.time_s >= self._clean_s:
            self._clean_s = tracks.time_s + REMEMBER_S / 10
            self._done = {key: at_s for key, at_s in self._done.items() if at_s > tracks.time_s - REMEMBER_S}
        return events

    def finish(self) -> Iterable[Violation]:
        """Violations that still last end where they were last seen."""
        ended = [self._event("end", key[0], episode, episode.last_s) for key, episode in self._open.items()]
        self._open = {}
        return ended

    def export_state(self) -> Any:
        return {
            "waiting": self._waiting,
            "open": self._open,
            "done": self._done,
            "over": self._over,
            "unproven": self._unproven,
            "picture_s": self._picture_s,
            "timeline": self._timeline,
            "history": self._history,
            "table": self._table,
        }

    def import_state(self, state: Any) -> None:
        self._waiting, self._open, self._done = state["waiting"], state["open"], state["done"]
        self._over, self._unproven = state.get("over", []), state.get("unproven", {})
        self._picture_s = state.get("picture_s", {})
        self._timeline, self._history, self._table = state["timeline"], state["history"], state["table"]

    def status(self) -> dict[str, Any]:
        return {"open": len(self._open), "remembered": len(self._done)}

    def table(self, columns: dict[str, Any], forget_after_s: float = 10.0) -> TrackTable:
        """The rule's memory about tracks; one with the same columns is kept."""
        if self._table is None or self._table.columns() != columns:
            self._table = TrackTable(forget_after_s, **columns)
        return self._table

    def _take(self, finding: Finding, tracks: Tracks, events: list[Violation]) -> None:
        row, time_s = finding.row, tracks.time_s
        key = (tracks.camera_id, int(tracks.track_id[row]), finding.key)
        episode = self._open.get(key)
        if episode is not None:
            episode.last_s = time_s
            episode.seen = without_picture(tracks), row, finding.lane_id
            episode.facts = {**episode.facts, **finding.facts}
            episode.description = finding.description or episode.description
            if time_s - episode.told_s >= self.update_s - 1e-6:
                episode.told_s = time_s
                events.append(self._event("update", tracks.camera_id, episode, time_s))
            return
        if key in self._done:
            self._done[key] = time_s
            return
        first_s, last_s = self._waiting.get(key, (time_s, time_s))
        if not self._goes_on(tracks, last_s):
            first_s = time_s
        since_s = first_s if finding.since_s is None else finding.since_s
        self._waiting[key] = first_s, time_s
        if time_s - since_s < self.hold_s - 1e-6:
            return
        del self._waiting[key]
        before = self._lost(tracks, row, finding.key)
        if before is None:
            events.append(self._begin(key, finding, tracks, since_s))
        elif before in self._open:
            self._open[key] = self._open.pop(before)
            self._take(finding, tracks, events)
        else:
            self._done[key] = time_s

    def _goes_on(self, tracks: Tracks, last_s: float) -> bool:
        """Whether what was found last at a time may have lasted until now."""
        missing_s = tracks.time_s - last_s
        seen_before = last_s >= self._picture_s.get(tracks.camera_id, float("inf"))
        return missing_s <= FLICKER_S or (seen_before and missing_s <= PAUSE_S)

    def _see_offenders(self, tracks: Tracks) -> None:
        """Where the offenders are now: who leaves is not who stands in his place a while later."""
        present = row_by_id(tracks)
        for key, episode in [*self._open.items(), *self._over]:
            if key[0] == tracks.camera_id and (row := present.get(key[1])) is not None:
                episode.latest = without_picture(tracks), row

    def _lost(self, tracks: Tracks, row: int, offence: str) -> OffenceKey | None:
        """The offence of a track that was lost where this one goes on, if there is one."""
        if not (self._open or self._over):
            return None
        time_s = tracks.time_s
        self._over = [each for each in self._over if time_s - each[1].latest[0].time_s <= AGAIN_S]
        present = row_by_id(tracks)
        on_foot = bool(tracks.of_class(PEDESTRIANS)[row])
        samples = self._history.of(tracks.camera_id, int(tracks.track_id[row]), float("-inf"))
        for key, episode in [*self._open.items(), *self._over]:
            if key[0] != tracks.camera_id or key[2] != offence:
                continue
            still = present.get(key[1])
            left = still is None and episode.latest[0].time_s - episode.seen[0].time_s > LEAVING_S
            seen, then = episode.latest if left else episode.seen[:2]
            if bool(seen.of_class(PEDESTRIANS)[then]) != on_foot:
                continue
            again = next((s for s in samples if s.time_s >= seen.time_s and s.x_m == s.x_m), None)
            if again is None:
                continue
            place, since, gap_s = np.array((again.x_m, again.y_m)), seen.ground_m[then], again.time_s - seen.time_s
            way = np.nan_to_num(seen.velocity_m_s[then]) * gap_s
            length = float(np.hypot(way[0], way[1]))
            unsure_m_s = 0.0 if on_foot else float(np.nan_to_num(seen.speed_sigma_kmh[then])) / 3.6
            slow, share = length <= (SLOW_M_S + unsure_m_s) * gap_s, 1.0
            if slow or on_foot:  # may have stopped, or turned, anywhere on the way
                share = min(max(float((place - since) @ way) / max(length, 1e-6) ** 2, 0.0), 1.0)
            expected, room = since + way * share, STRAY_M
            if on_foot:  # and may have gone another way than the last box, half hidden, looked like
                room += SLOW_M_S * min(gap_s, TURNING_S)
            elif not slow:
                room += STRAY * length
            off_m = _apart_m(place, expected)
            if slow and not on_foot:  # the track of the one behind it has taken it over, and is not there at once
                off_m = min(off_m, _apart_m(tracks.ground_m[row], since))
            if length > (FURTHEST_ON_FOOT_M if on_foot else FURTHEST_M) or not off_m <= room:
                continue
            # A track that is still there is the offender, unless it was handed to somebody who passed while he stood.
            if still is None or (slow and _apart_m(tracks.ground_m[still], since) > 2 * STRAY_M):
                return key
        return None

    def _begin(self, key: OffenceKey, finding: Finding, tracks: Tracks, since_s: float) -> Violation:
        row = finding.row
        who = road_user(tracks, row)
        number = event_id(self.context.site, key[0], self.kind(), finding.roi_id, key[1], finding.key, ms(since_s))
        facts = dict(finding.facts)
        if self.snapshot:
            try:
                if path := save_snapshot(self.context.data / "snapshots", number, tracks, row):
                    facts["snapshot"] = path
            except OSError as error:
                self.context.log.warning("no snapshot of %s: %s", number, error)
        episode = self._open[key] = Episode(
            id=number,
            started_s=since_s,
            last_s=tracks.time_s,
            told_s=tracks.time_s,
            severity=finding.severity or self.severity,
            seen=(without_picture(tracks), row, finding.lane_id),
            latest=(without_picture(tracks), row),
            roi_id=finding.roi_id,
            facts=facts,
            description=finding.description or f"{who.label} {who.track_id}: {self.kind().replace('_', ' ')}",
            confidence=who.confidence,
        )
        return self._event("new", key[0], episode, tracks.time_s)

    def _settle(self, tracks: Tracks, events: list[Violation]) -> None:
        """End what was not found any more, and forget who did not hold out."""
        time_s, camera = tracks.time_s, tracks.camera_id
        over = [k for k, e in self._open.items() if k[0] == camera and time_s - e.last_s > self.end_after_s - 1e-6]
        for key in over:
            episode = self._open.pop(key)
            if self.once_per == "track" or key[2]:
                self._done[key] = time_s
                self._over.append((key, episode))
            events.append(self._event("end", camera, episode, episode.last_s))
        gone = [
            key for key, (_, last_s) in self._waiting.items() if key[0] == camera and not self._goes_on(tracks, last_s)
        ]
        for key in gone:
            del self._waiting[key]

    def _event(self, phase: Literal["new", "update", "end"], camera: str, episode: Episode, time_s: float) -> Violation:
        evidence = dict(episode.facts)
        tracks, row, lane_id = episode.seen
        who = road_user(tracks, row)
        if phase == "new":
            evidence["samples"] = self._history.evidence(camera, who.track_id)
        return Violation(
            time_s=time_s,
            camera_id=camera,
            id=episode.id,
            violation_type=self.kind(),
            severity=episode.severity,
            phase=phase,
            location=location(tracks, row, lane_id),
            object=who,
            evidence=evidence,
            started_s=episode.started_s,
            ended_s=time_s if phase == "end" else None,
            roi_id=episode.roi_id,
            confidence=episode.confidence,
            description=episode.description,
        )


def _apart_m(a: Floats, b: Floats) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


class SignalRule(Rule):
    """A rule that knows signal phases. A phase that is unknown, or older than `max_age_s`, is none: no violation."""

    signal: Feed = ""
    max_age_s: Annotated[float, setting("A signal state reported longer ago than this is unknown.", gt=0, le=60)] = 2.0

    def on_signal(self, state: SignalState) -> None:
        """Reports of the signal source named by `signal`."""
        self._timeline.report(state)

    def phase(self, group: str, time_s: float) -> SignalPhase | None:
        """What a group showed at a capture time; None where that is not known well enough."""
        return self._timeline.at(group, time_s, self.max_age_s) if group else None
