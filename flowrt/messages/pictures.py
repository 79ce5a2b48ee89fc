"""Pictures, and what was seen in them: objects, detections and tracks, as columns of arrays.

Methods import numpy themselves, so that these types can be named before it is there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from flowrt.messages.base import Bools, Floats, Image, Ints, Message, Position, Times

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Frame(Message, frozen=True, kw_only=True, eq=False):
    """One picture. image: u8, shape (height, width, 3), BGR, not to be written to. position: what the camera watches."""

    port: ClassVar[str] = "frames"

    image: Image
    number: int = 0
    position: Position = ""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


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

    What nodes derive from the columns may be kept in `__dict__` for the nodes after them; it is no part of the message.
    """

    port: ClassVar[str] = "objects"

    boxes_px: Floats
    confidence: Floats
    class_id: Ints
    labels: tuple[str, ...]
    picture_px: tuple[int, int]
    footprints_px: Floats | None = None
    frame_number: int = 0
    frame: Frame | None = None
    processing_time_ms: float = 0.0

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


class Detections(Objects, frozen=True, kw_only=True, eq=False):
    """What a detector found in one picture."""

    port: ClassVar[str] = "detections"

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
    """

    port: ClassVar[str] = "tracks"

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

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        """The same picture with only the rows of a mask (N,) or index array."""
        chosen = rows.nonzero()[0] if rows.dtype == bool else rows
        columns = {
            name: column.take(chosen, axis=0) for name in _TRACK_COLUMNS if (column := getattr(self, name)) is not None
        }
        return msgspec.structs.replace(self, **columns)

    def replace(self, **columns: Any) -> Self:
        """The same picture with some columns exchanged."""
        return msgspec.structs.replace(self, **columns)

    def zone_mask(self, zone: str) -> Bools:
        """(N,): who is in the zone; nobody where no `roi` upstream looked at it."""
        import numpy as np

        if zone not in self.zones:
            return np.zeros(len(self), bool)
        return self.in_zone[:, self.zones.index(zone)]


_TRACK_COLUMNS = (
    "boxes_px", "confidence", "class_id", "track_id", "age_s", "velocity_px_s", "ground_m", "velocity_m_s",
    "speed_kmh", "speed_sigma_kmh", "heading_deg", "length_m", "length_sigma_m", "in_zone",
    "zone_since_s", "footprints_px",
)  # fmt: skip
