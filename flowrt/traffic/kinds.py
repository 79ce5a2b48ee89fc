"""Words that several messages of the traffic domain share: classes of road users, severities, approaches, kinds of zones."""

from __future__ import annotations

from typing import Literal

VEHICLES = frozenset({"car", "van", "truck", "bus", "motorcycle", "bicycle", "train", "vehicle"})
PEDESTRIANS = frozenset({"person", "pedestrian"})

Severity = Literal["low", "medium", "high", "critical"]
Phase = Literal["new", "update", "end"]
Position = Literal["", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
"""The approach a camera watches; empty where it is not given."""
RoiType = Literal[
    "lane", "crosswalk", "sidewalk", "carriageway", "box", "conflict", "no_stopping", "intersection", "other", "line"
]
"""What a zone is, as in scenes, or a line."""
ViewFault = Literal["", "moved", "other", "blind", "frozen"]
"""Why a picture is not that which a scene was drawn on; empty while it is."""
