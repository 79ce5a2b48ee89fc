from collections.abc import Iterator
from typing import Annotated

import numpy as np

from flowrt import CameraView, Finding, Rule, Tracks, ZoneName, setting


class BusLane(Rule, kw_only=True):
    """A car, van or truck drives in a bus lane."""

    lane: Annotated[ZoneName, setting("The bus lane, a zone of the scene.")]

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        banned = tracks.of_class(frozenset({"car", "van", "truck"}))
        for row in np.flatnonzero(banned & tracks.zone_mask(self.lane)).tolist():
            yield Finding(row=row, roi_id=self.lane)
