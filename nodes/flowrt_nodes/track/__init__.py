"""Objects followed from picture to picture: one number for each, for as long as it is in sight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from flowrt import CheckView, Context, Detections, Diagnostic, Tracks, Transform, setting

if TYPE_CHECKING:
    from flowrt_nodes.track._byte_track import ByteTrack


class Track(Transform):
    """Objects followed from picture to picture, in the manner of ByteTrack and by capture time.

    Gives the confirmed tracks of every picture, also when there are none. Pictures of several cameras may arrive: each camera has
    tracks of its own, and no two tracks of the node share a number. All end where the picture is cut to another view. A person and the motorcycle or bicycle it rides are one track, of
    the machine's class, with `rider` set.
    """

    example = """
tracks: {type: track, from: objects, confirm_s: 0.3, lost_s: 1.5}
"""

    high_confidence: Annotated[
        float, setting("Detections of at least this confidence are matched first, and may begin a track.", ge=0, le=1)
    ] = 0.35
    low_confidence: Annotated[
        float, setting("Detections below this are not looked at; those between only continue a track.", ge=0, le=1)
    ] = 0.1
    new_confidence: (
        Annotated[float, setting("Least confidence that begins a track; without it `high_confidence`.", ge=0, le=1)]
        | None
    ) = None
    match_iou: Annotated[
        float, setting("Least overlap between where a track should be and what was found.", gt=0, lt=1)
    ] = 0.2
    confirm_s: Annotated[
        float,
        setting(
            "How long an object must be seen, in more than half of the pictures, before it is a track. What it did meanwhile is not "
            "lost: nodes that count and judge know where each track was seen first.",
            ge=0,
            le=10,
        ),
    ] = 0.3
    confirm_frames: (
        Annotated[int, setting("Former way to say `confirm_s`: pictures in a row, however far apart.", ge=1, le=100)]
        | None
    ) = None
    lost_s: Annotated[float, setting("A track not seen for this long has ended.", gt=0, le=60)] = 1.5

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.low_confidence > self.high_confidence:
            yield Diagnostic(
                ("low_confidence",), f"{self.low_confidence} is more than high_confidence ({self.high_confidence})"
            )
        if self.confirm_frames is not None:
            yield Diagnostic(
                ("confirm_frames",),
                "how long `confirm_frames` pictures take depends on the camera, and is longer where pictures get lost",
                "write `confirm_s: 0.3`, the time in seconds",
                severity="warning",
            )

    def open(self, context: Context) -> None:
        self._cameras: dict[str, ByteTrack] = {}
        self._cuts: dict[str, int] = {}
        self._next_number = 1
        self._set_limits()

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._set_limits()

    def _set_limits(self) -> None:
        from flowrt_nodes.track._byte_track import ByteTrack, Limits

        self._tracker = ByteTrack
        self._limits = Limits(
            high_confidence=self.high_confidence,
            low_confidence=self.low_confidence,
            new_confidence=self.high_confidence if self.new_confidence is None else self.new_confidence,
            match_iou=self.match_iou,
            confirm_s=self.confirm_s,
            confirm_frames=self.confirm_frames,
            lost_s=self.lost_s,
        )

    def process(self, detections: Detections) -> Tracks:
        tracker = self._cameras.get(detections.camera_id)
        if detections.view_cuts != self._cuts.get(detections.camera_id, 0):
            self._cuts[detections.camera_id] = detections.view_cuts
            tracker = None  # the picture was cut: what it shows now is somewhere else
        if tracker is None:
            tracker = self._cameras[detections.camera_id] = self._tracker(detections.labels)
        elif tracker.labels is not detections.labels:
            tracker.relabel(detections.labels)
        tracker.picture_px = detections.picture_px
        seen, self._next_number = tracker.update(
            detections.time_s,
            detections.boxes_px,
            detections.confidence,
            detections.class_id,
            self._limits,
            self._next_number,
        )
        tracks = Tracks.of(
            detections,
            seen.row,
            track_id=seen.number,
            age_s=seen.age_s,
            velocity_px_s=seen.velocity_px_s,
            boxes_px=seen.boxes,
        )
        return tracks.replace(
            class_id=seen.class_id,
            rider=seen.rider if seen.rider.any() else None,
            first_boxes_px=seen.first_boxes,
        )

    def export_state(self) -> Any:
        cameras = {name: tracker.export() for name, tracker in self._cameras.items()}
        return {"next_number": self._next_number, "cameras": cameras, "cuts": self._cuts}

    def import_state(self, state: Any) -> None:
        self._next_number, self._cuts = state["next_number"], state["cuts"]
        self._cameras = {name: self._tracker.restored(saved) for name, saved in state["cameras"].items()}

    def status(self) -> dict[str, Any]:
        return {"tracks": self._next_number - 1, "cameras": len(self._cameras)}
