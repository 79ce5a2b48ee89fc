"""What all violation rules have in common: from an offence seen in a picture to the events of a violation.

A rule says which tracks offend in the present picture (`find`). This base turns findings into events:
- A finding that has lasted `hold_s` becomes a violation: `new`, then `update` every `update_s`, then `end` once it was
  missing for `end_after_s` (also when the track was lost), or when the flow ends.
- The id depends on site, camera, rule, offence and start only, so a repeated run gives the same events.
- The same offence (`Finding.key`) of the same track is reported once; with `once_per: episode`, again after it ended.
- While the camera does not show what the scene was drawn on (`Objects.view_fault`), there are none, and those in progress end.
- A new track that continues a lost offender (see `continuation.py`) is the same offender, and is not reported again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from flowrt.capture_time import set_back
from flowrt.message import event_id
from flowrt.node import Context, Transform, setting
from flowrt.traffic.events import Location, RoadUser, Violation
from flowrt.traffic.geometry.camera_view import CameraView, CameraViews
from flowrt.traffic.kinds import Severity
from flowrt.traffic.objects import Tracks
from flowrt.traffic.rules.continuation import Sighting, continues
from flowrt.traffic.rules.evidence import save_snapshot
from flowrt.traffic.rules.history import History, row_by_id, without_picture
from flowrt.traffic.rules.signals import SignalPhase, SignalTimeline
from flowrt.traffic.rules.track_table import Column, TrackTable
from flowrt.traffic.scene import SceneName, SignalSource, scene_of
from flowrt.traffic.states import SignalState

# Margins: docs/rules.md says what each is for.
GAP_S = 0.35
LOST_PICTURES_S = 1.0
REMEMBER_S = 600.0

_WITHIN_A_NAME = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

OffenceKey = tuple[str, int, str]
"""camera_id, track_id, and what tells one offence of a track from another."""


class Finding(msgspec.Struct, kw_only=True):
    """A track that offends in this picture.

    row: of the tracks. since_s: when it began, where that is known better than by the first finding.
    key: what tells this offence from others of the same track (a signal cycle); roi_id: zone or line.
    own: the track itself was watched doing it, from before, so it does not continue a lost offender.
    """

    row: int
    since_s: float | None = None
    key: str = ""
    roi_id: str = ""
    lane_id: str | None = None
    facts: dict[str, Any] = {}
    severity: Severity | None = None
    description: str = ""
    own: bool = False


class Episode(msgspec.Struct, kw_only=True):
    """A violation in progress. seen: where it was last found; latest: where the offender was last, offending or not."""

    id: str
    started_s: float
    last_s: float
    reported_s: float
    severity: Severity
    seen: Sighting
    latest: Sighting
    lane_id: str | None
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
    memory: ClassVar[tuple[str, ...]] = (
        "_pending", "_open", "_ended", "_reported", "_undecided", "_picture_s", "_timeline", "_history", "_table"
    )  # fmt: skip
    """What a successor takes over when the flow is edited."""

    def open(self, context: Context) -> None:
        self._forget()
        self._picture_s: dict[str, float] = {}  # when each camera's last picture was taken
        self._timeline = SignalTimeline()

    def _forget(self) -> None:
        """Begin without memory of any track, with the geometry to be prepared."""
        self._views = CameraViews(scene_of(self.context))
        self._history = History(self.evidence_s)
        self._pending: dict[
            OffenceKey, tuple[float, float]
        ] = {}  # first and last finding, until it has lasted long enough
        self._open: dict[OffenceKey, Episode] = {}
        self._ended: list[tuple[OffenceKey, Episode]] = []
        self._reported: dict[OffenceKey, float] = {}
        self._undecided: dict[Any, Any] = {}
        """For rules that know only some seconds later whether something was an offence."""
        self._clean_s = float("-inf")
        self._table: TrackTable | None = None

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._views = CameraViews(scene_of(self.context))  # the next picture prepares the geometry again

    def history_s(self) -> float:
        """How much of the past `find` needs."""
        return 0.0

    def prepare(self, view: CameraView) -> None:
        """Lay out geometry for pictures of a new size, or for another scene or other settings."""

    def find(self, tracks: Tracks, view: CameraView) -> Iterable[Finding]:
        """The tracks that offend in this picture."""
        raise NotImplementedError

    def kind(self) -> str:
        """The name of the violation: `violation_type`, else that of the class (`BusLane` is `bus_lane`)."""
        return self.violation_type or _WITHIN_A_NAME.sub("_", type(self).__name__).lower()

    def process(self, tracks: Tracks) -> Sequence[Violation]:
        events: list[Violation] = []
        if tracks.view_fault or set_back(self._picture_s.get(tracks.camera_id, float("-inf")), tracks.time_s):
            events += self.finish()
            self._forget()
        if tracks.view_fault:  # lines and zones lie elsewhere than they were drawn
            self._picture_s[tracks.camera_id] = tracks.time_s
            return events
        view, fresh = self._views.fit(tracks)
        if fresh:
            self._history.keep_s = max(self.evidence_s, self.history_s())
            self.prepare(view)
        self._history.add(tracks)
        for finding in self.find(tracks, view):
            self._apply(finding, tracks, events)
        if self._open or self._pending:
            self._end_missing(tracks, events)
        if self._open or self._ended:
            self._follow_offenders(tracks)
        self._picture_s[tracks.camera_id] = tracks.time_s
        if tracks.time_s >= self._clean_s:
            self._clean_s = tracks.time_s + REMEMBER_S / 10
            oldest_s = tracks.time_s - REMEMBER_S
            self._reported = {key: at_s for key, at_s in self._reported.items() if at_s > oldest_s}
            self._ended = [each for each in self._ended if each[1].latest.tracks.time_s > oldest_s]
        return events

    def finish(self) -> Iterable[Violation]:
        """Violations in progress end where they were last seen."""
        ended = [self._event("end", key[0], episode, episode.last_s) for key, episode in self._open.items()]
        self._open = {}
        return ended

    def export_state(self) -> Any:
        return {name: getattr(self, name) for name in self.memory}

    def import_state(self, state: Any) -> None:
        for name in self.memory:
            setattr(self, name, state[name])

    def status(self) -> dict[str, Any]:
        return {"open": len(self._open), "remembered": len(self._reported)}

    def table(self, columns: dict[str, Column], forget_after_s: float = 10.0) -> TrackTable:
        """The rule's memory about tracks; one with the same columns is kept."""
        if self._table is None or self._table.columns() != columns:
            self._table = TrackTable(forget_after_s, **columns)
        return self._table

    def _apply(self, finding: Finding, tracks: Tracks, events: list[Violation]) -> None:
        row, time_s = finding.row, tracks.time_s
        key = (tracks.camera_id, int(tracks.track_id[row]), finding.key)
        if (episode := self._open.get(key)) is not None:
            episode.last_s, episode.lane_id = time_s, finding.lane_id
            episode.seen = Sighting(without_picture(tracks), row)
            episode.facts = {**episode.facts, **finding.facts}
            episode.description = finding.description or episode.description
            if time_s - episode.reported_s >= self.update_s - 1e-6:
                episode.reported_s = time_s
                events.append(self._event("update", tracks.camera_id, episode, time_s))
            return
        if key in self._reported:
            self._reported[key] = time_s
            return
        first_s, last_s = self._pending.get(key, (time_s, time_s))
        if not self._lasts(tracks, last_s):
            first_s = time_s
        since_s = first_s if finding.since_s is None else finding.since_s
        self._pending[key] = first_s, time_s
        if time_s - since_s < self.hold_s - 1e-6:
            return
        del self._pending[key]
        lost = None if finding.own else self._lost_offender(tracks, row, finding.key)
        if lost is None:
            events.append(self._begin(key, finding, tracks, since_s))
        elif lost in self._open:
            self._open[key] = self._open.pop(lost)
            self._apply(finding, tracks, events)
        else:
            self._reported[key] = time_s

    def _lasts(self, tracks: Tracks, last_s: float) -> bool:
        """Whether something last found at a time may have lasted until now."""
        missing_s = tracks.time_s - last_s
        in_last_picture = last_s >= self._picture_s.get(tracks.camera_id, float("inf"))
        return missing_s <= GAP_S or (in_last_picture and missing_s <= LOST_PICTURES_S)

    def _follow_offenders(self, tracks: Tracks) -> None:
        rows = row_by_id(tracks)
        for key, episode in [*self._open.items(), *self._ended]:
            if key[0] == tracks.camera_id and (row := rows.get(key[1])) is not None:
                episode.latest = Sighting(without_picture(tracks), row)

    def _lost_offender(self, tracks: Tracks, row: int, offence: str) -> OffenceKey | None:
        """The offence whose offender was lost and goes on as the track in this row."""
        if not (self._open or self._ended):
            return None
        samples = self._history.of(tracks.camera_id, int(tracks.track_id[row]), float("-inf"))
        for key, episode in [*self._open.items(), *self._ended]:
            if (key[0], key[2]) == (tracks.camera_id, offence):
                same = row_by_id(tracks).get(key[1])
                if continues(tracks, row, samples, episode.seen, episode.latest, same):
                    return key
        return None

    def _begin(self, key: OffenceKey, finding: Finding, tracks: Tracks, since_s: float) -> Violation:
        row = finding.row
        offender = RoadUser.of(tracks, row)
        number = event_id(self.context.site, key[0], self.kind(), finding.roi_id, key[1], finding.key, since_s)
        facts = dict(finding.facts)
        if self.snapshot:
            try:
                if path := save_snapshot(self.context.data / "snapshots", number, tracks, row):
                    facts["snapshot"] = path
                    if links := self.context.links:
                        facts["snapshot_url"] = links.address(path, self.context.clock.now_s())
            except OSError as error:
                self.context.log.warning("no snapshot of %s: %s", number, error)
        here = Sighting(without_picture(tracks), row)
        episode = self._open[key] = Episode(
            id=number,
            started_s=since_s,
            last_s=tracks.time_s,
            reported_s=tracks.time_s,
            severity=finding.severity or self.severity,
            seen=here,
            latest=here,
            lane_id=finding.lane_id,
            roi_id=finding.roi_id,
            facts=facts,
            description=finding.description or f"{offender.label} {offender.track_id}: {self.kind().replace('_', ' ')}",
            confidence=offender.confidence,
        )
        return self._event("new", key[0], episode, tracks.time_s)

    def _end_missing(self, tracks: Tracks, events: list[Violation]) -> None:
        """End violations that were not found any more, and forget findings that did not last."""
        time_s, camera = tracks.time_s, tracks.camera_id
        missing = [k for k, e in self._open.items() if k[0] == camera and time_s - e.last_s > self.end_after_s - 1e-6]
        for key in missing:
            episode = self._open.pop(key)
            if self.once_per == "track" or key[2]:
                self._reported[key] = time_s
                self._ended.append((key, episode))
            events.append(self._event("end", camera, episode, episode.last_s))
        for key, (_, last_s) in list(self._pending.items()):
            if key[0] == camera and not self._lasts(tracks, last_s):
                del self._pending[key]

    def _event(self, phase: Literal["new", "update", "end"], camera: str, episode: Episode, time_s: float) -> Violation:
        evidence = dict(episode.facts)
        offender = RoadUser.of(episode.seen.tracks, episode.seen.row)
        if phase == "new":
            evidence["samples"] = self._history.evidence(camera, offender.track_id)
        return Violation(
            time_s=time_s,
            camera_id=camera,
            id=episode.id,
            violation_type=self.kind(),
            severity=episode.severity,
            phase=phase,
            location=Location.of(episode.seen.tracks, episode.seen.row, episode.lane_id),
            object=offender,
            evidence=evidence,
            started_s=episode.started_s,
            ended_s=time_s if phase == "end" else None,
            roi_id=episode.roi_id,
            confidence=episode.confidence,
            description=episode.description,
        )


class SignalRule(Rule):
    """A rule that knows signal phases. A phase that is unknown, or older than `max_age_s`, is none: no violation."""

    signal: SignalSource = ""
    max_age_s: Annotated[float, setting("A signal state reported longer ago than this is unknown.", gt=0, le=60)] = 2.0

    def on_signal(self, state: SignalState) -> None:
        """Reports of the signal source named by `signal`."""
        self._timeline.report(state)

    def phase(self, group: str, time_s: float) -> SignalPhase | None:
        """What a group showed at a capture time; None where that is unknown or stale."""
        return self._timeline.at(group, time_s, self.max_age_s) if group else None
