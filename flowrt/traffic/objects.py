"""Pictures, and what was seen in them: objects, detections and tracks, as columns of arrays.

Methods import numpy themselves, so that these types can be named before it is there.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from flowrt.message import Bools, Column, Count, Floats, Fraction, Image, Ints, Message, NonNegative, Times
from flowrt.traffic.kinds import PEDESTRIANS, VEHICLES, Position, ViewFault

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Frame(Message, frozen=True, kw_only=True, eq=False):
    """One picture. image: u8, shape (height, width, 3), BGR, not to be written to. position: what the camera watches.

    view_fault, view_cuts: see `Objects`.
    """

    port: ClassVar[str] = "frames"
    replaceable: ClassVar[bool] = True

    image: Image
    number: int = 0
    position: Position = ""
    view_fault: ViewFault = ""
    view_cuts: int = 0

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


class DetectedObject(msgspec.Struct, frozen=True, kw_only=True, rename={"label": "class"}):
    """One object of a `detection` payload. Boxes are x_min, y_min, x_max, y_max."""

    label: str
    confidence: Fraction
    box_px: tuple[float, float, float, float]
    ground_px: tuple[float, float]
    track_id: int | None = None
    ground_m: tuple[float, float] | None = None
    speed_kmh: NonNegative | None = None
    heading_deg: float | None = None
    zones: list[str] | None = None


class DetectionPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a `detection` payload has besides the envelope."""

    frame_number: Count
    processing_time_ms: NonNegative
    model: str = ""
    object_count: Count
    vehicle_count: Count
    pedestrian_count: Count
    confidence_avg: Fraction | None = None
    objects: list[DetectedObject]


_DETECTION_COLUMNS = (
    Column("boxes_px", "<f4", 4), Column("confidence", "<f4"), Column("class_id", "<u2", wider="i8"),
    Column("footprints_px", "<f4", 6, optional=True),
)  # fmt: skip
_TRACK_COLUMNS = (
    *_DETECTION_COLUMNS, Column("track_id", "<u4", wider="i8"), Column("age_s", "<f4"), Column("velocity_px_s", "<f4", 2),
    Column("ground_m", "<f4", 2), Column("velocity_m_s", "<f4", 2), Column("speed_kmh", "<f4"), Column("speed_sigma_kmh", "<f4"),
    Column("heading_deg", "<f4"), Column("length_m", "<f4"), Column("length_sigma_m", "<f4"), Column("in_zone", "|b1", -1),
    Column("zone_since_s", "<f8", -1), Column("rider", "|b1", optional=True), Column("scale_sigma", "<f4", optional=True),
    Column("first_boxes_px", "<f4", 4, optional=True),
)  # fmt: skip


class Objects(Message, frozen=True, kw_only=True, eq=False, dict=True):
    """Objects of one picture, as columns of length N.

    boxes_px: float32 (N, 4), x_min, y_min, x_max, y_max in pixels of the picture.
    confidence: float32 (N,), 0 to 1.
    class_id: int64 (N,), an index into `labels`.
    labels: the class names of the model.
    picture_px: width and height of the picture.
    footprints_px: float32 (N, 6), how each object stands, of models that tell, else None: x, y of the middle of its footprint;
        x, y from there to the middle of its front or rear edge (not known which of the two); standard deviation of
        the middle, and of that edge. All in pixels of the picture, and perhaps outside it.
    frame: the picture itself; None in replayed runs.
    processing_time_ms: what inference took for this picture.
    view_fault: why the picture is not that which the scene was drawn on, so that no place in it means what it meant: the camera has moved,
        shows another view, is blind, or gives the same picture again and again; empty while all is well.
    view_cuts: how often the picture was cut to another view so far.

    What nodes derive from the columns may be kept in `__dict__` for the nodes after them; it is no part of the message.
    """

    port: ClassVar[str] = "objects"
    identity: ClassVar[tuple[str, ...]] = ("frame_number",)
    payload_type: ClassVar[type[msgspec.Struct] | None] = DetectionPayload
    text_facts: ClassVar[tuple[str, ...]] = ("camera_position",)
    transient: ClassVar[tuple[str, ...]] = ("frame",)

    boxes_px: Floats
    confidence: Floats
    class_id: Ints
    labels: tuple[str, ...]
    picture_px: tuple[int, int]
    footprints_px: Floats | None = None
    frame_number: int = 0
    frame: Frame | None = None
    processing_time_ms: float = 0.0
    view_fault: ViewFault = ""
    view_cuts: int = 0

    def __len__(self) -> int:
        return len(self.boxes_px)

    @property
    def ground_px(self) -> Floats:
        """(N, 2): bottom centre of each box, where wheels or feet touch the ground."""
        feet = self.__dict__.get("ground_px")
        if feet is None:
            import numpy as np

            boxes = self.boxes_px
            feet = np.empty((len(boxes), 2), boxes.dtype)
            feet[:, 0], feet[:, 1] = (boxes[:, 0] + boxes[:, 2]) * 0.5, boxes[:, 3]
            feet.flags.writeable = False
            self.__dict__["ground_px"] = feet
        return feet

    @property
    def camera_position(self) -> Position:
        """The approach that the camera watches; empty where it is unknown, as in replayed runs."""
        return self.frame.position if self.frame else ""

    @property
    def label(self) -> list[str]:
        """Class name of each object."""
        return [self.labels[i] for i in self.class_id]

    def facts(self) -> dict[str, Any]:
        """Time, camera, and the counts and means of the picture."""
        return {
            **self._counts(),
            "time_s": self.time_s,
            "camera_id": self.camera_id,
            "camera_position": self.camera_position,
        }

    def _counts(self) -> dict[str, Any]:
        n = len(self)
        return {
            "frame_number": self.frame_number,
            "processing_time_ms": round(float(self.processing_time_ms), 3),
            "model": getattr(self, "model", ""),
            "object_count": n,
            "vehicle_count": int(self.of_class(VEHICLES).sum()),
            "pedestrian_count": int(self.of_class(PEDESTRIANS).sum()),
            "confidence_avg": round(float(self.confidence.mean()), 4) if n else None,
        }

    def payload_fields(self) -> dict[str, Any]:
        """The counts and means of the picture, and each object."""
        fields = {name: value for name, value in self._counts().items() if value is not None and value != ""}
        columns = self._object_columns()
        names = tuple(columns)
        rows = zip(*columns.values(), strict=True)
        fields["objects"] = [
            {name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows
        ]
        return fields

    def _object_columns(self) -> dict[str, list[Any]]:
        return {
            "class": self.label,
            "confidence": _rounded(self.confidence, 4),
            "box_px": _rounded(self.boxes_px, 1),
            "ground_px": _rounded(self.ground_px, 1),
        }

    def of_class(self, names: frozenset[str]) -> Bools:
        """(N,): which objects belong to one of the named classes."""
        known: dict[object, Bools] = self.__dict__  # type: ignore[assignment]  # remembered beside the properties, under the names
        found = known.get(names)
        if found is None:
            found = _members(self.labels, names).take(self.class_id, mode="clip")
            found.flags.writeable = False
            known[names] = found
        return found


@lru_cache(maxsize=64)
def _members(labels: tuple[str, ...], names: frozenset[str]) -> Bools:
    """Which classes of a model are among the named ones, and last, for a model without class names, that others are not."""
    import numpy as np

    return np.array([*(name in names for name in labels), False])


def _rounded(column: Any, digits: int) -> list[Any]:
    """A float32 column as numbers of that many decimals: 0.9, not 0.8999999761581421."""
    import numpy as np

    rows: list[Any] = np.round(np.asarray(column, np.float64), digits).tolist()
    return rows


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


class Detections(Objects, frozen=True, kw_only=True, eq=False):
    """What a detector found in one picture."""

    port: ClassVar[str] = "detections"
    columns: ClassVar[tuple[Column, ...]] = _DETECTION_COLUMNS

    model: str = ""


class Tracks(Objects, frozen=True, kw_only=True, eq=False):
    """The confirmed tracks seen in one picture.

    track_id: int64 (N,), positive, unique per camera node for the life of the tracker.
    age_s: float32 (N,), seconds since the track was first seen.
    velocity_px_s: float32 (N, 2), picture velocity of the ground point.
    ground_m, velocity_m_s: float32 (N, 2), metres on the ground plane; NaN until a `speed` node has filled them.
    speed_kmh, speed_sigma_kmh, heading_deg: float32 (N,); NaN until a `speed` node has filled them. Heading is
        counted from the ground plane's +x axis towards +y, in degrees, -180 to 180.
    length_m, length_sigma_m: float32 (N,), the length and its standard deviation, where a `speed` node learned it; else NaN.
    zones: names of the zones looked at by the `roi` nodes upstream; in_zone: bool (N, Z), column z for zones[z].
    zone_since_s: float64 (N, Z), time at which the object entered the zone; NaN outside of it.
    scale_sigma: float32 (N,), how uncertain the homography's scale is there, as a share; part of `speed_sigma_kmh`, and common to all
        speeds that were measured about there. None without a `speed` node.
    rider: bool (N,), two-wheelers seen with the person that rides them; None where there are none.
    first_boxes_px: float32 (N, 4), the box in the first picture that showed the track, `age_s` ago: a tracker needs some pictures before
        it tells of a track; None where it does not say.
    """

    port: ClassVar[str] = "tracks"
    recorded: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = _TRACK_COLUMNS
    wide_as: ClassVar[str] = "zones"

    track_id: Ints
    age_s: Floats
    velocity_px_s: Floats
    ground_m: Floats
    velocity_m_s: Floats
    speed_kmh: Floats
    speed_sigma_kmh: Floats
    heading_deg: Floats
    length_m: Floats
    length_sigma_m: Floats
    zones: tuple[str, ...] = ()
    in_zone: Bools
    zone_since_s: Times
    rider: Bools | None = None
    scale_sigma: Floats | None = None
    first_boxes_px: Floats | None = None
    model: str = ""

    @classmethod
    def of(
        cls,
        seen: Objects,
        rows: NDArray[Any],
        *,
        track_id: Ints,
        age_s: Floats,
        velocity_px_s: Floats,
        boxes_px: Floats | None = None,
    ) -> Tracks:
        """Tracks for the given rows of a picture's objects, with speed unknown and no zones looked at."""
        import numpy as np

        n = len(rows)
        nothing = np.full(n, np.nan, np.float32)
        nowhere = np.full((n, 2), np.nan, np.float32)
        return cls(
            time_s=seen.time_s,
            camera_id=seen.camera_id,
            boxes_px=seen.boxes_px[rows] if boxes_px is None else boxes_px,
            confidence=seen.confidence[rows],
            class_id=seen.class_id[rows],
            labels=seen.labels,
            picture_px=seen.picture_px,
            footprints_px=None if seen.footprints_px is None else seen.footprints_px[rows],
            frame_number=seen.frame_number,
            frame=seen.frame,
            processing_time_ms=seen.processing_time_ms,
            view_fault=seen.view_fault,
            view_cuts=seen.view_cuts,
            track_id=track_id,
            age_s=age_s,
            velocity_px_s=velocity_px_s,
            ground_m=nowhere,
            velocity_m_s=nowhere,
            speed_kmh=nothing,
            speed_sigma_kmh=nothing,
            heading_deg=nothing,
            length_m=nothing,
            length_sigma_m=nothing,
            in_zone=np.zeros((n, 0), bool),
            zone_since_s=np.zeros((n, 0), np.float64),
            model=getattr(seen, "model", ""),
        )

    def _object_columns(self) -> dict[str, list[Any]]:
        return {
            **super()._object_columns(),
            "track_id": self.track_id.tolist(),
            "ground_m": [None if isnan(x + y) else [x, y] for x, y in _rounded(self.ground_m, 3)],
            "speed_kmh": [_finite(value) for value in _rounded(self.speed_kmh, 2)],
            "heading_deg": [_finite(value) for value in _rounded(self.heading_deg, 1)],
            "zones": [list(itertools.compress(self.zones, row)) or None for row in self.in_zone.tolist()],
        }

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        """The same picture with only the rows of a mask (N,) or index array."""
        chosen = rows.nonzero()[0] if rows.dtype == bool else rows
        columns = {
            name: column.take(chosen, axis=0)
            for name, *_ in _TRACK_COLUMNS
            if (column := getattr(self, name)) is not None
        }
        return msgspec.structs.replace(self, **columns)

    def replace(self, **columns: Any) -> Self:
        """The same picture with some columns exchanged."""
        return msgspec.structs.replace(self, **columns)

    def zone_mask(self, zone: str) -> Bools:
        """(N,): which objects are in the zone; none where no `roi` upstream knows the zone."""
        import numpy as np

        if zone not in self.zones:
            return np.zeros(len(self), bool)
        return self.in_zone[:, self.zones.index(zone)]
