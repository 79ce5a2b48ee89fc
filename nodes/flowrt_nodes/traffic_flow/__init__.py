"""traffic_flow: counts, speeds, occupancy, queues and turning movements per lane and interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar

import numpy as np

from flowrt import (
    VEHICLES,
    CameraView,
    CheckView,
    Context,
    Diagnostic,
    LaneInterval,
    SceneName,
    Tracks,
    Transform,
    ZoneName,
    scene_in,
    scene_of,
    setting,
)
from flowrt.capture_time import set_back
from flowrt.traffic.geometry.camera_view import CameraViews, cut_off
from flowrt.traffic.geometry.footprint import sizes_m
from flowrt.traffic.geometry.plane import Array, LineSet, Mask
from flowrt.traffic.rules.track_table import Column, TrackTable
from flowrt_nodes._lib.before_confirmation import way_px
from flowrt_nodes._lib.crossing import REACH, LineWatch
from flowrt_nodes._lib.lanes import Lanes, lanes_of
from flowrt_nodes._lib.saved_state import SavedState
from flowrt_nodes._lib.split_tracks import TrackPieces
from flowrt_nodes.traffic_flow._lane_interval import (
    LaneCount,
    Levels,
    SavedInterval,
    SavedIntervals,
    interval_of,
    movement_of,
)

COUNTING = ("count", "stop_line", "exit", "entry")
"""Kinds of lines at which a lane is counted, the best first."""
LONGEST_GAP_S = 2.0
"""A longer gap between pictures counts as not watched."""
SAVED_S = 2.0
"""What is counted is saved as often, by capture time."""


class TrafficFlow(Transform):
    """Traffic of each lane over intervals of capture time.

    - A vehicle counts when it crosses the lane's counting line (the first line of kind count, stop_line, exit or entry that
      touches the lane) in the lane's direction; in a lane without one, when it has stayed in it for `settle_s`. Once per lane.
    - Speeds (a `speed` node upstream) are taken at the count: mean and 85th percentile, with their number.
    - Occupancy is the share of the watched time in which a vehicle stands over the counting line (over the lane, without one).
    - The queue is the line of vehicles slower than `queue_kmh` that is joined to the line, with gaps up to `queue_gap_m`.
    - Turning movements go from the entry lane's approach (the counting line's `approach`, else the lane) to the `approach` of the
      line of kind exit that the same track crosses later; they are reported with the entry lane: as left, through, right or
      u_turn where both approaches are points of the compass, else as `from-to`.

    Intervals begin at multiples of `interval_s` since midnight UTC and end by capture time, with or without traffic. The first and
    the last one are shorter, and say so in `interval_s`. Intervals in which no picture came are not reported. While the camera shows something else
    than the scene was drawn on, nothing counts, and the time is not observed. Where the clock is set back the
    interval ends there, and those that come a second time have ids of their own and end a millisecond later.
    """

    scene: SceneName
    lanes: Annotated[list[ZoneName], setting("Lanes; all zones of kind lane when empty.")] = []
    interval_s: Annotated[float, setting("Length of an interval.", ge=1, le=86400)] = 60.0
    settle_s: Annotated[float, setting("Stay that counts in a lane without a counting line.", ge=0, le=60)] = 0.5
    queue_kmh: Annotated[float, setting("Slower vehicles queue.", gt=0, le=50)] = 8.0
    queue_gap_m: Annotated[
        float, setting("Largest gap within a queue, and before its first vehicle.", gt=0, le=100)
    ] = 12.0
    medium_occupancy: Annotated[float, setting("Occupancy from which congestion is medium.", ge=0, le=1)] = 0.25
    high_occupancy: Annotated[float, setting("Occupancy from which congestion is high.", ge=0, le=1)] = 0.5

    repeatable: ClassVar[bool] = True
    example: ClassVar[str] = """\
flow: {type: traffic_flow, from: speeds, scene: north, interval_s: 60}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        if scene is not None and not lanes_of(scene, self.lanes):
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no lanes", "give their zones `kind: lane`")
        if self.high_occupancy < self.medium_occupancy:
            yield Diagnostic(("high_occupancy",), "high congestion begins below medium", "make it the larger one")

    def open(self, context: Context) -> None:
        self._views = CameraViews(scene_of(context))
        self._table: TrackTable | None = None
        self._counts: dict[str, LaneCount] = {}
        self._last_passed_s: dict[str, float] = {}
        self._begin_s = self._last_s = math.nan
        self._newest_s, self._again = -math.inf, 0
        self._camera = self._position = ""
        self._total = 0
        self._state = SavedState(context, SavedIntervals)
        self._recovered = self._state.load()
        self._closed: list[SavedInterval] = []
        self._saved_s = math.nan

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._views = CameraViews(scene_of(self.context))

    def process(self, tracks: Tracks) -> list[LaneInterval]:
        view, fresh = self._views.fit(tracks)
        if fresh:
            self._prepare(view)
        ended = self._recover(tracks.time_s)
        self._camera = tracks.camera_id
        self._position = view.scene.position or tracks.camera_position
        if math.isnan(self._begin_s):
            self._begin_s = tracks.time_s
        elif set_back(self._last_s, tracks.time_s):
            ended += self.finish()
            self._newest_s, self._again = max(self._newest_s, self._last_s), self._again + 1
            self._begin_s, self._last_s = tracks.time_s, math.nan
            self._last_passed_s = {}
        elif tracks.time_s >= self._end_s():
            end_s = self._end_s()
            ended += self._close(end_s)
            gone = tracks.time_s >= end_s + self.interval_s
            self._begin_s = tracks.time_s if gone else end_s
        elapsed_s = tracks.time_s - self._last_s if not math.isnan(self._last_s) else 0.0
        self._last_s = tracks.time_s
        if not tracks.view_fault:
            self._observe(tracks, view, elapsed_s if 0 < elapsed_s <= LONGEST_GAP_S else 0.0)
        if ended or not abs(tracks.time_s - self._saved_s) < SAVED_S:
            self._save()
        return ended

    def finish(self) -> Iterator[LaneInterval]:
        """The interval in progress, with its true length."""
        if self._last_s > self._begin_s:
            yield from self._close(self._last_s)
            self._begin_s = self._last_s
        self._closed = []
        self._state.clear()

    def _save(self) -> None:
        """Save the open interval, and those that ended since the last time: their messages may not be kept yet."""
        self._state.save(SavedIntervals(intervals=[*self._closed, self._interval(None)]))
        self._saved_s, self._closed = self._last_s, []

    def _interval(self, end_s: float | None) -> SavedInterval:
        return SavedInterval(
            begin_s=self._begin_s,
            last_s=self._last_s,
            end_s=end_s,
            newest_s=self._newest_s if math.isfinite(self._newest_s) else None,
            again=self._again,
            camera=self._camera,
            position=self._position,
            counts=self._counts,
            last_passed_s=dict(self._last_passed_s),
        )

    def _recover(self, time_s: float) -> list[LaneInterval]:
        """Go on with the interval that a killed process had open; what had just ended is told again, under the same ids."""
        saved, self._recovered = self._recovered, None
        if saved is None or not math.isnan(self._begin_s) or time_s < saved.intervals[-1].last_s:
            return []
        told: list[LaneInterval] = []
        for one in saved.intervals:
            self._begin_s, self._last_s, self._again = one.begin_s, one.last_s, one.again
            self._newest_s = -math.inf if one.newest_s is None else one.newest_s
            self._camera, self._position = one.camera, one.position
            self._counts, self._last_passed_s = one.counts, one.last_passed_s
            if one.end_s is not None:
                told += self._close(one.end_s)
        return told

    def export_state(self) -> Any:
        names = (
            "_table",
            "_counts",
            "_last_passed_s",
            "_begin_s",
            "_last_s",
            "_newest_s",
            "_again",
            "_camera",
            "_position",
            "_total",
        )
        return {name: getattr(self, name) for name in names}

    def import_state(self, state: Any) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def status(self) -> dict[str, Any]:
        return {"counted": self._total}

    def _end_s(self) -> float:
        return (math.floor(self._begin_s / self.interval_s + 1e-9) + 1) * self.interval_s

    def _close(self, end_s: float) -> Iterator[LaneInterval]:
        levels = Levels(medium_occupancy=self.medium_occupancy, high_occupancy=self.high_occupancy)
        self._closed.append(self._interval(end_s))
        for zone in self._lanes.zones:
            count = self._counts.get(zone.name, LaneCount())
            yield interval_of(
                count,
                site=self.context.site,
                camera_id=self._camera,
                camera_position=self._position,
                lane_id=zone.name,
                direction=zone.direction,
                begin_s=self._begin_s,
                end_s=end_s,
                levels=levels,
                metric=self._lanes.view.metric,
                last_passed_s=self._last_passed_s.get(zone.name),
                again=self._again if self._begin_s < self._newest_s else 0,
            )
            if count.passed_s:
                self._last_passed_s[zone.name] = count.passed_s[-1]
        self._counts = {}

    def _prepare(self, view: CameraView) -> None:
        self._lanes = Lanes.of(view, self.lanes)
        scene = view.scene
        lines = [line for kind in COUNTING for line in scene.lines_of(kind)]
        self._lines = lines
        self._line_of = [self._counting_line(view, lane) for lane in range(len(self._lanes))]
        # What crosses a line that is there to count one lane counts, also where it is seen beside the lane.
        self._only_lane = {
            line: lane
            for lane, line in enumerate(self._line_of)
            if line is not None and lines[line].kind == "count" and self._line_of.count(line) == 1
        }
        self._exits = {i for i, line in enumerate(lines) if line.kind == "exit"}
        self._pieces = TrackPieces()
        self._watch = LineWatch(LineSet([line.points for line in lines], reach=REACH))
        plane = [view.metres(line.points) if view.metric else line.points for line in lines]
        self._plane = LineSet(plane)
        count = (len(self._lanes),)
        columns: dict[str, Column] = {
            **self._watch.columns(),
            "lane": (np.int64, (), -1),
            "lane_s": (np.float64, (), -np.inf),
            "inside_s": (np.float64, count, np.nan),
            "counted": (bool, count, False),
            "entry": (np.int64, (), -1),
            "cut": (bool, (), False),
            "passed": (np.int64, (), -1),  # a line crossed on the way to the lane behind it, not yet counted
            "passed_s": (np.float64, (), -np.inf),
            "passed_forward": (bool, (), False),
        }
        self._joined = list(columns)
        columns |= self._pieces.columns()
        if self._table is None or self._table.columns() != columns:
            self._table = TrackTable(10.0, **columns)
        self._memory = self._table

    def _counting_line(self, view: CameraView, lane: int) -> int | None:
        """The line at which a lane is counted: the best kind among those that touch it.

        A line may lie just off its lane's end; so the search goes further out, but only where nothing was nearer: in a slanting
        view a little further out lies the neighbour's.
        """
        polygon = view.polygons([self._lanes.names[lane]])
        touching = np.zeros((len(self._lines), 25), bool)
        for share in (0.0, 0.01, 0.02):  # of the picture's width
            for i, line in enumerate(self._lines):
                start, end = np.asarray(line.points, float)
                way = end - start
                across = np.array([-way[1], way[0]]) / max(float(np.hypot(*way)), 1e-9)
                along = start + np.linspace(0.02, 0.98, 25)[:, None] * way
                for room in (share, -share):
                    touching[i] |= polygon.contains(along + room * view.picture_px[0] * across)[:, 0]
            found = np.flatnonzero(touching.mean(axis=1) > 0.15)
            if len(found):
                return int(found[0])
        return None

    def _observe(self, tracks: Tracks, view: CameraView, elapsed_s: float) -> None:
        table = self._memory
        inside = np.zeros((0, len(self._lanes)), bool)
        on_line = np.zeros((0, len(self._lines)), bool)
        if len(tracks):
            rows = table.rows(tracks)
            cut = cut_off(tracks)
            back = rows[table["cut"].take(rows) & ~cut]  # from the border, perhaps another than left there
            table["counted"][back], table["entry"][back] = False, -1
            table["cut"][rows] = cut
            points = view.position_px(tracks)
            self._pieces.join(table, rows, tracks, points, self._joined)
            vehicles = tracks.of_class(VEHICLES)
            inside = self._lanes.inside(tracks) & vehicles[:, None]
            somewhere = np.asarray(inside.any(axis=1))
            there = rows[somewhere]
            table["lane"][there], table["lane_s"][there] = inside.argmax(axis=1)[somewhere], tracks.time_s
            self._recall_first(tracks, rows, points, somewhere)
            for found in self._pieces.whole(self._watch.update(table, rows, points, tracks), tracks):
                if vehicles[found.row]:
                    self._crossed(tracks, found.row, int(rows[found.row]), found.line, found.forward, found.time_s)
            self._arrive(tracks, rows, somewhere)
            self._count_settled(tracks, rows, inside)
            on_line = self._over_lines(tracks, view) & vehicles[:, None]
        self._occupy(tracks, view, inside, on_line, elapsed_s)

    def _recall_first(self, tracks: Tracks, rows: Any, points: Array, somewhere: Mask) -> None:
        """A new track outside of all lanes may have been in one before it was confirmed."""
        table = self._memory
        new = np.flatnonzero(~somewhere & np.isnan(table["point_s"].take(rows)) & tracks.of_class(VEHICLES))
        if not len(new):
            return
        inside = self._lanes.at(points[new] - way_px(tracks)[new])
        found = inside.any(axis=1)
        there = rows[new[found]]
        table["lane"][there] = inside.argmax(axis=1)[found]
        table["lane_s"][there] = tracks.time_s - tracks.age_s[new[found]].astype(np.float64)

    def _lane_count(self, lane: int) -> LaneCount:
        return self._counts.setdefault(self._lanes.names[lane], LaneCount())

    def _crossed(self, tracks: Tracks, row: int, memory: int, line: int, forward: bool, time_s: float) -> None:
        table = self._memory
        entry = int(table["entry"][memory])
        if line in self._exits and entry >= 0:
            begin = self._lines[self._line_of[entry] or 0].approach if self._line_of[entry] is not None else ""
            end = self._lines[line]
            movement = movement_of(begin or self._lanes.names[entry], end.approach or end.name)
            turns = self._lane_count(entry).turns
            turns[movement] = turns.get(movement, 0) + 1
            table["entry"][memory] = -1
        lane = int(table["lane"][memory])
        if line in self._only_lane:
            lane = self._only_lane[line]
        elif lane < 0 or self._line_of[lane] != line or tracks.time_s - table["lane_s"][memory] > LONGEST_GAP_S:
            table["passed"][memory], table["passed_s"][memory], table["passed_forward"][memory] = line, time_s, forward
            return
        if self._lawful(lane, line, forward) and not table["counted"][memory, lane]:
            self._count(tracks, row, memory, lane, time_s)

    def _arrive(self, tracks: Tracks, rows: Any, somewhere: Mask) -> None:
        """Count vehicles that have come into a lane over the line at its beginning."""
        table = self._memory
        for row in np.flatnonzero(somewhere & (table["passed"].take(rows) >= 0)).tolist():
            memory = int(rows[row])
            lane, line = int(table["lane"][memory]), int(table["passed"][memory])
            passed_s = float(table["passed_s"][memory])
            if self._line_of[lane] != line or tracks.time_s - passed_s > LONGEST_GAP_S:
                continue
            table["passed"][memory] = -1
            if self._lawful(lane, line, bool(table["passed_forward"][memory])) and not table["counted"][memory, lane]:
                self._count(tracks, row, memory, lane, passed_s)

    def _count(self, tracks: Tracks, row: int, memory: int, lane: int, time_s: float) -> None:
        self._memory["counted"][memory, lane] = True
        if self._line_of[lane] not in self._exits:
            self._memory["entry"][memory] = lane
        self._total += 1
        self._lane_count(lane).passed(tracks.labels[tracks.class_id[row]], time_s, float(tracks.speed_kmh[row]))

    def _lawful(self, lane: int, line: int, forward: bool) -> bool:
        heading = self._lanes.zones[lane].heading
        if heading is None:
            return True
        (ax, ay), (bx, by) = self._lines[line].points
        to_right = -(by - ay) * heading[0] + (bx - ax) * heading[1]
        return (to_right > 0) == forward

    def _count_settled(self, tracks: Tracks, rows: Any, inside: Mask) -> None:
        """Count vehicles that have settled in lanes without a counting line."""
        table = self._memory
        if None not in self._line_of:
            return
        since_s = table["inside_s"].take(rows, axis=0)
        since_s = np.where(inside, np.fmin(since_s, tracks.time_s), np.nan)
        table["inside_s"][rows] = since_s
        for lane, line in enumerate(self._line_of):
            if line is not None:
                continue
            settled = (tracks.time_s - since_s[:, lane] >= self.settle_s) & ~table["counted"][rows, lane]
            for row in np.flatnonzero(settled).tolist():
                self._count(tracks, row, int(rows[row]), lane, float(since_s[row, lane]))

    def _over_lines(self, tracks: Tracks, view: CameraView) -> Mask:
        """(N, L): whose footprint is over which counting line."""
        if not self._lines:
            return np.zeros((len(tracks), 0), bool)
        if view.metric:
            places, half = view.ground_m(tracks), sizes_m(tracks)[:, :1] / 2
        else:
            boxes = tracks.boxes_px
            places = np.asarray(tracks.ground_px, np.float64)
            half = (boxes[:, 3:4] - boxes[:, 1:2]) / 2
        distance, along = self._plane.place(places)
        return np.asarray((np.abs(distance) < half) & (along > -0.1) & (along < 1.1))

    def _occupy(self, tracks: Tracks, view: CameraView, inside: Mask, on_line: Mask, elapsed_s: float) -> None:
        table = self._memory
        occupied: set[int] = set()
        waiting = np.zeros((0, len(self._lanes)), bool)
        queues: set[int] = set()
        if len(tracks):
            lane_of = table["lane"].take(table.rows(tracks))
            standing = [(int(lane_of[row]), int(line)) for row, line in zip(*on_line.nonzero(), strict=True)]
            occupied = {lane for lane, line in standing if lane >= 0 and self._line_of[lane] == line}
            waiting = inside & (tracks.speed_kmh < self.queue_kmh)[:, None]
            queues = set(waiting.nonzero()[1].tolist()) if view.metric else queues
            if None in self._line_of:
                occupied |= {lane for lane in inside.nonzero()[1].tolist() if self._line_of[lane] is None}
        for lane, line in enumerate(self._line_of):
            count = self._lane_count(lane)
            count.watched_s += elapsed_s
            if lane in occupied:
                count.occupied_s += elapsed_s
            if line is not None and lane in queues:
                some = waiting[:, lane]
                self._queue(count, view.ground_m(tracks)[some], sizes_m(tracks)[some, 0], line)

    def _queue(self, count: LaneCount, places: Array, lengths: Array, line: int) -> None:
        """Join slow vehicles to the line, the nearest first."""
        away = np.abs(self._plane.place(places)[0][:, line])
        end_m, vehicles = 0.0, 0
        for i in np.argsort(away).tolist():
            if away[i] - lengths[i] / 2 - end_m > self.queue_gap_m:
                break
            end_m, vehicles = float(away[i] + lengths[i] / 2), vehicles + 1
        count.queue_vehicles = max(count.queue_vehicles, vehicles)
        count.queue_m = max(count.queue_m, end_m if vehicles else 0.0)
