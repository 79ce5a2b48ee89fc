"""roi: which tracks are in which zone, and which crossed which line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from flowrt import (
    CameraView,
    Context,
    LineName,
    Location,
    RoadUser,
    SceneName,
    Tracks,
    Transform,
    ZoneEvent,
    ZoneName,
    event_id,
    scene_of,
    setting,
)
from flowrt.capture_time import set_back
from flowrt.traffic.event_parts import known
from flowrt.traffic.geometry.camera_view import CameraViews
from flowrt.traffic.geometry.plane import Array, LineSet, Mask
from flowrt.traffic.rules.track_table import TrackTable
from flowrt_nodes._lib.crossing import REACH, LineWatch
from flowrt_nodes._lib.split_tracks import TrackPieces


class Roi(Transform):
    """Fill in the zones that tracks are in, and report entries, exits, long stays and line crossings.

    Tracks go on with `zones`, `in_zone` and `zone_since_s` filled, beside what an earlier `roi` filled. Membership changes
    when it has lasted `debounce_s` of capture time; its time is that of the first picture that showed the change.
    """

    scene: SceneName
    zones: Annotated[list[ZoneName], setting("Zones to look at; all of the scene when empty.")] = []
    lines: Annotated[list[LineName], setting("Lines to look at; all of the scene when empty.")] = []
    anchor: Annotated[
        Literal["ground", "centre", "overlap"],
        setting(
            "What must be inside: the object's ground point (the middle of its footprint behind a `speed` node, else its "
            "box's bottom centre), its box's centre, or a part of its box."
        ),
    ] = "ground"
    min_overlap: Annotated[
        float, setting("Part of the box that must be inside, with `anchor: overlap`.", gt=0, le=1)
    ] = 0.3
    keep: Annotated[Literal["inside", "all"], setting("Which tracks go on: those in some zone, or all.")] = "inside"
    dwell_s: Annotated[float, setting("A stay this long is reported as `dwell`; 0 for never.", ge=0)] = 0.0
    debounce_s: Annotated[float, setting("How long a change must last before it counts.", ge=0, le=10)] = 0.2
    lost_s: Annotated[float, setting("A track unseen for this long has left its zones.", gt=0, le=60)] = 2.0

    provides: ClassVar[frozenset[str]] = frozenset({"zones"})
    repeatable: ClassVar[bool] = True
    example: ClassVar[str] = """\
at_stop_line: {type: roi, from: tracks, scene: north, zones: [n_in_1, crosswalk], dwell_s: 30}
"""

    def open(self, context: Context) -> None:
        self._views = CameraViews(scene_of(context))
        self._table: TrackTable | None = None
        self._names: list[str] = []
        self._picture_s: dict[str, float] = {}
        self._inherited: Any = None

    def reconfigured(self, changed: frozenset[str]) -> None:
        if changed & {"scene", "zones", "lines", "lost_s"}:
            self._views = CameraViews(scene_of(self.context))

    def process(self, tracks: Tracks) -> Iterator[Tracks | ZoneEvent]:
        view, fresh = self._views.fit(tracks)
        if fresh:
            self._prepare(view)
        table, camera = self._memory, tracks.camera_id
        was_set = set_back(
            self._picture_s.get(camera, -np.inf), tracks.time_s
        )  # the clock: all tracks before that have ended
        self._picture_s[camera] = tracks.time_s
        yield from self._exits(camera, np.inf if was_set else tracks.time_s - self.lost_s)
        rows = table.rows(tracks)
        points = view.position_px(tracks)
        self._pieces.join(table, rows, tracks, points, self._watch.columns())
        raw = self._inside(tracks, points)
        inside, since_s, flipped = self._debounce(table, rows, raw, tracks.time_s)
        result = self._filled(tracks, inside, since_s)
        if self.keep == "inside":
            there = np.flatnonzero((inside | raw).any(axis=1))
            result = result if len(there) == len(rows) else result[there]
        yield result
        last = (tracks.boxes_px, tracks.ground_m, tracks.confidence[:, None], tracks.speed_kmh[:, None])
        table["last"][rows] = np.concatenate(last, axis=1)
        table["label"][rows] = _label_array(tracks.labels).take(tracks.class_id)
        yield from self._changes(tracks, rows, inside, flipped)
        if self.dwell_s:
            yield from self._dwellers(tracks, rows, inside)
        yield from self._crossers(tracks, rows, points)

    def finish(self) -> Iterable[ZoneEvent]:
        """Tracks still inside exit where they were last seen."""
        if self._table is not None and self._names:
            for camera in self._table.cameras():
                yield from self._exits(camera, np.inf)

    def export_state(self) -> Any:
        return None if self._table is None else {"names": self._names, "table": self._table.export()}

    def import_state(self, state: Any) -> None:
        self._inherited = state

    def _prepare(self, view: CameraView) -> None:
        """Lay out the geometry for this picture size. Memory about zones that stay is kept."""
        scene = view.scene
        before, names = self._names, self.zones or list(scene.zones)
        old = self._table.export() if self._table is not None else None
        if self._inherited is not None:
            before, old, self._inherited = self._inherited["names"], self._inherited["table"], None
        self._names, self._zone_names, self._polygons = names, tuple(names), view.polygons(names)
        self._line_names = self.lines or list(scene.lines)
        self._scene = scene
        self._pieces = TrackPieces()
        self._watch = LineWatch(LineSet([scene.lines[name].points for name in self._line_names], reach=REACH))
        count = (len(names),)
        self._table = self._memory = TrackTable(
            max(self.lost_s * 2, 5.0),
            inside=(bool, count, False),
            since_s=(np.float64, count, np.nan),
            changing_s=(np.float64, count, np.nan),
            dwelled=(bool, count, False),
            last=(np.float32, (8,), np.nan),
            label=(object, (), ""),
            **self._watch.columns(),
            **self._pieces.columns(),
        )
        if old is not None:
            stays = [(z, before.index(name)) for z, name in enumerate(names) if name in before]
            for column in ("inside", "since_s", "changing_s", "dwelled"):
                dtype, _, start = self._memory.columns()[column]
                moved = np.full((len(old["keys"]), len(names)), start, dtype)
                for z, old_z in stays:
                    moved[:, z] = old["columns"][column][:, old_z]
                old["columns"][column] = moved
            self._memory.take_over(old)

    def _inside(self, tracks: Tracks, points: Array) -> Mask:
        boxes = tracks.boxes_px
        if self.anchor == "ground":
            return self._polygons.contains(points)
        if self.anchor == "centre":
            return self._polygons.contains((boxes[:, :2] + boxes[:, 2:]) / 2)
        return np.asarray(self._polygons.share(boxes) >= self.min_overlap)

    def _debounce(self, table: TrackTable, rows: Any, raw: Mask, time_s: float) -> tuple[Mask, Array, Mask]:
        """(N, Z) each: what is inside, since when, and what changed with this picture."""
        inside, since_s = table["inside"].take(rows, axis=0), table["since_s"].take(rows, axis=0)
        differs = raw != inside
        changing_s = table["changing_s"].take(rows, axis=0)
        changing_s = np.where(differs, np.fmin(changing_s, time_s), np.nan)
        flipped = differs & (time_s - changing_s >= self.debounce_s - 1e-6)
        self._left_s = np.where(flipped & inside, changing_s - since_s, np.nan)
        inside = inside ^ flipped
        since_s = np.where(flipped, changing_s, since_s)
        table["inside"][rows], table["since_s"][rows] = inside, since_s
        table["changing_s"][rows] = np.where(flipped, np.nan, changing_s)
        table["dwelled"][rows] &= ~flipped
        return inside, np.where(inside, since_s, np.nan), flipped

    def _filled(self, tracks: Tracks, inside: Mask, since_s: Array) -> Tracks:
        if not tracks.zones:
            return tracks.replace(zones=self._zone_names, in_zone=inside, zone_since_s=since_s)
        others = [i for i, name in enumerate(tracks.zones) if name not in self._names]
        return tracks.replace(
            zones=(*(tracks.zones[i] for i in others), *self._names),
            in_zone=np.hstack((tracks.in_zone[:, others], inside)),
            zone_since_s=np.hstack((tracks.zone_since_s[:, others], since_s)),
        )

    def _changes(self, tracks: Tracks, rows: Any, inside: Mask, flipped: Mask) -> Iterator[ZoneEvent]:
        for i, z in np.argwhere(flipped).tolist():
            entered = bool(inside[i, z])
            yield self._event(
                "entry" if entered else "exit",
                zone=z,
                time_s=float(self._memory["since_s"][rows[i], z]),
                camera=tracks.camera_id,
                user=RoadUser.of(tracks, i),
                where=Location.of(tracks, i),
                dwell_s=0.0 if entered else float(self._left_s[i, z]),
                count=int(inside[:, z].sum()),
            )

    def _dwellers(self, tracks: Tracks, rows: Any, inside: Mask) -> Iterator[ZoneEvent]:
        since_s, dwelled = self._memory["since_s"][rows], self._memory["dwelled"][rows]
        due = inside & ~dwelled & (tracks.time_s - since_s >= self.dwell_s - 1e-6)
        if not due.any():
            return
        self._memory["dwelled"][rows] = dwelled | due
        for i, z in np.argwhere(due).tolist():
            yield self._event(
                "dwell",
                zone=z,
                time_s=tracks.time_s,
                camera=tracks.camera_id,
                user=RoadUser.of(tracks, i),
                where=Location.of(tracks, i),
                dwell_s=float(tracks.time_s - since_s[i, z]),
                count=int(inside[:, z].sum()),
            )

    def _crossers(self, tracks: Tracks, rows: Any, points: Array) -> Iterator[ZoneEvent]:
        for crossing in self._pieces.whole(self._watch.update(self._memory, rows, points, tracks), tracks):
            name = self._line_names[crossing.line]
            user = RoadUser.of(tracks, crossing.row)
            direction = "forward" if crossing.forward else "backward"
            parts = ("crossing", name, user.track_id, crossing.time_s, direction)
            yield ZoneEvent(
                time_s=crossing.time_s,
                camera_id=tracks.camera_id,
                id=event_id(self.context.site, tracks.camera_id, *parts),
                roi_id=name,
                roi_type="line",
                event_type="crossing",
                object=user,
                location=Location.of(tracks, crossing.row),
                direction=direction,
            )

    def _exits(self, camera: str, unseen_since_s: float) -> Iterator[ZoneEvent]:
        """Exits of tracks not seen since, at the time they were last seen."""
        table = self._memory
        for key, row, seen_s in table.last_seen(camera):
            if seen_s >= unseen_since_s:
                continue
            inside = table["inside"][row]
            if not inside.any():
                continue
            edges = table["last"][row].tolist()
            box = tuple(round(edge, 1) for edge in edges[:4])
            user = RoadUser(
                track_id=key[1],
                label=str(table["label"][row]),
                confidence=round(edges[6], 3),
                box_px=(box[0], box[1], box[2], box[3]),
                speed_kmh=known(edges[7]),
            )
            x_m, y_m = known(edges[4]), known(edges[5])
            where = Location(x_px=round((box[0] + box[2]) / 2, 1), y_px=box[3], x_m=x_m, y_m=y_m)
            for z in np.flatnonzero(inside).tolist():
                inside[z] = False
                stay_s = seen_s - float(table["since_s"][row, z])
                yield self._event(
                    "exit", zone=z, time_s=seen_s, camera=camera, user=user, where=where, dwell_s=stay_s, count=0
                )

    def _event(
        self,
        kind: Literal["entry", "exit", "dwell"],
        *,
        zone: int,
        time_s: float,
        camera: str,
        user: RoadUser,
        where: Location,
        dwell_s: float,
        count: int,
    ) -> ZoneEvent:
        declared = self._scene.zones[self._names[zone]]
        return ZoneEvent(
            time_s=time_s,
            camera_id=camera,
            id=event_id(self.context.site, camera, kind, declared.name, user.track_id, time_s),
            roi_id=declared.name,
            roi_type=declared.kind,
            event_type=kind,
            object=user,
            location=where,
            dwell_time=round(max(dwell_s, 0.0), 3),
            direction=declared.direction,
            object_count=count,
        )


@lru_cache(maxsize=64)
def _label_array(labels: tuple[str, ...]) -> Any:
    """The class names of a model as an array, to look up many at once."""
    return np.array(labels or ("",), object)
