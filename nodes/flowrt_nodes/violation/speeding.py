"""violation.speeding: the median speed over a section of road is above the limit plus a tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np

from flowrt import (
    VEHICLES,
    CameraView,
    CheckView,
    Diagnostic,
    Finding,
    Rule,
    Severity,
    Tracks,
    ZoneName,
    scene_in,
    setting,
)
from flowrt.traffic.geometry.camera_view import homography_diagnostics
from flowrt.traffic.geometry.plane import Array
from flowrt.traffic.rules.history import Sample
from flowrt_nodes._lib.lanes import Lanes, lanes_of

# Margins: docs/rules.md says what each is for.
FEWEST = 4
GRAVE_KMH: tuple[tuple[float, Severity], ...] = ((40.0, "critical"), (20.0, "high"), (10.0, "medium"))


class Speeding(Rule):
    """The median speed over the last `section_m` metres, all of them in lanes, lies above the lane's limit plus a tolerance.

    Needs: a `speed` node upstream, capture times, and a limit (`limit_kmh` of the lane, or of this node). The tolerance is for
    the law's margin; the uncertainty of the measurement comes on top: `sigmas` times the standard deviation of the median, that is of a speed's
    noise over the root of their number, and of the homography's scale, which is the same for all of them. The section's length over its time must be above limit and tolerance as well, since measured speeds lag
    behind braking.

    No violation: single high readings, as of a jumping box, where the section was not driven so fast on average; sections shorter
    than `section_m`, with fewer than four readings, or with a speed noisier than
    `max_sigma_kmh` after it had been known, as that of a vehicle coming out from behind another.
    """

    lanes: Annotated[list[ZoneName], setting("Zones with a limit; all lanes when empty.")] = []
    limit_kmh: Annotated[float, setting("Limit where a lane names none; 0 for none.", ge=0, le=300)] = 50.0
    tolerance_kmh: Annotated[float, setting("Added to the limit.", ge=0, le=50)] = 5.0
    section_m: Annotated[float, setting("Length of the section.", gt=0, le=500)] = 20.0
    sigmas: Annotated[
        float,
        setting("How many standard deviations the median must lie above: 0 finds most, 2 leaves no doubt.", ge=0, le=5),
    ] = 0.25
    max_sigma_kmh: Annotated[
        float,
        setting(
            "Speeds noisier than this (standard deviation, without that of the scale) are no evidence.", gt=0, le=50
        ),
    ] = 6.0

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "speeding"
    example: ClassVar[str] = """\
speeding: {type: violation.speeding, from: speeds, scene: north, tolerance_kmh: 5}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        yield from homography_diagnostics(scene)
        if scene is not None and self.limit_kmh == 0:
            for zone in lanes_of(scene, self.lanes):
                if zone.limit_kmh is None:
                    hint = "add `limit_kmh` to the lane or to this node"
                    yield Diagnostic(("limit_kmh",), f"lane '{zone.name}' has no speed limit", hint)

    def history_s(self) -> float:
        return max(4.0, self.section_m / 4.0)  # down to 14 km/h

    def prepare(self, view: CameraView) -> None:
        self._lanes = Lanes.of(view, self.lanes)
        limits = [zone.limit_kmh or self.limit_kmh or np.inf for zone in self._lanes.zones]
        self._limits_kmh = np.array(limits, float)
        self._least_kmh = float(self._limits_kmh.min(initial=np.inf)) + self.tolerance_kmh
        # A section driven so fast on average has a fast reading in it, and lasts about this long at most.
        self._within_s = 3.6 * self.section_m / self._least_kmh
        self._memory = self.table({"entered_s": (np.float64, (), np.nan), "fast_s": (np.float64, (), np.nan)})

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._memory
        if not len(tracks) or not len(self._lanes):
            return
        inside = self._lanes.inside(tracks)
        rows = table.rows(tracks)
        entered_s = np.fmin(table["entered_s"].take(rows), tracks.time_s)
        table["entered_s"][rows] = entered_s = np.where(self._lanes.somewhere(tracks), entered_s, np.nan)
        fast_s = np.where(tracks.speed_kmh > self._least_kmh, tracks.time_s, table["fast_s"].take(rows))
        table["fast_s"][rows] = fast_s
        fast = tracks.time_s - fast_s <= self._within_s
        if not np.count_nonzero(fast):
            return
        fast = fast & (_noise_kmh(tracks) <= self.max_sigma_kmh) & tracks.of_class(VEHICLES)
        for row in np.flatnonzero(fast).tolist():
            lanes = np.flatnonzero(inside[row])
            if not len(lanes):
                continue
            lane = int(lanes[np.argmin(self._limits_kmh[lanes])])
            limit = float(self._limits_kmh[lane])
            finding = self._measure(tracks, row, self._lanes.names[lane], limit, float(entered_s[row]))
            if finding is not None:
                yield finding

    def _measure(self, tracks: Tracks, row: int, lane: str, limit_kmh: float, entered_s: float) -> Finding | None:
        track_id = int(tracks.track_id[row])
        since_s = max(entered_s, tracks.time_s - self.history_s())
        section = self._section(self._history.of(tracks.camera_id, track_id, since_s))
        readings = [sample.speed_kmh for sample in section if not _unknown(sample)]
        if len(readings) < FEWEST:
            return None
        median = float(np.median(readings))
        length_m = float(np.hypot(section[-1].x_m - section[0].x_m, section[-1].y_m - section[0].y_m))
        mean = 3.6 * length_m / max(section[-1].time_s - section[0].time_s, 1e-3)
        # More readings lessen the noise, but not the error of the scale, which is the same in all of them.
        noise_kmh = float(_noise_kmh(tracks)[row]) / len(readings) ** 0.5
        scale = float(np.mean([sample.scale_sigma for sample in section]))
        sigma_kmh = float(np.hypot(noise_kmh, scale * median))
        allowed = limit_kmh + self.tolerance_kmh
        if median <= allowed + self.sigmas * sigma_kmh or mean <= allowed:
            return None
        over = median - limit_kmh
        severity: Severity = next((grave for least, grave in GRAVE_KMH if over >= least), "low")
        return Finding(
            row=row,
            since_s=section[0].time_s,
            roi_id=lane,
            lane_id=lane,
            facts={
                "limit_kmh": limit_kmh,
                "median_kmh": round(median, 1),
                "sigma_kmh": round(float(tracks.speed_sigma_kmh[row]), 1),
                "median_sigma_kmh": round(sigma_kmh, 1),
                "scale_sigma": round(scale, 3),
                "section_m": round(length_m, 1),
                "readings": len(readings),
            },
            severity=severity,
            description=f"{median:.0f} km/h where {limit_kmh:.0f} are allowed",
        )

    def _section(self, samples: list[Sample]) -> list[Sample]:
        """The readings of the last `section_m`; none where the track is not that long yet, or its speed was uncertain on it.

        A vehicle that comes out from behind another is seen in part at first, and seems to be elsewhere.
        """
        if not samples:
            return []
        last = samples[-1]
        first_known = next((i for i, sample in enumerate(samples) if not _unknown(sample)), len(samples))
        for i in range(len(samples) - 2, -1, -1):
            if i > first_known and not _noise(samples[i]) <= self.max_sigma_kmh:
                return []
            if np.hypot(last.x_m - samples[i].x_m, last.y_m - samples[i].y_m) >= self.section_m:
                return samples[i:]
        return []


def _noise_kmh(tracks: Tracks) -> Array:
    """(N,): the standard deviation of the measured speeds without the error of the scale."""
    sigma = np.asarray(tracks.speed_sigma_kmh, np.float64)
    if tracks.scale_sigma is None:
        return sigma
    return np.asarray(np.sqrt(np.maximum(sigma**2 - (tracks.scale_sigma * tracks.speed_kmh) ** 2, 0.0)))


def _noise(sample: Sample) -> float:
    return float(max(sample.speed_sigma_kmh**2 - (sample.scale_sigma * sample.speed_kmh) ** 2, 0.0) ** 0.5)


def _unknown(sample: Sample) -> bool:
    return sample.speed_kmh != sample.speed_kmh
