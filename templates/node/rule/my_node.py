"""my_node: a rule; `flowrt run my_node.yaml` runs it."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np

from flowrt import VEHICLES, CameraView, Finding, Rule, Tracks, ZoneName, setting


class MyNode(Rule, kw_only=True):
    """A vehicle is in a zone where it must not be."""

    zone: Annotated[ZoneName, setting("The zone.")]

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        for row in np.flatnonzero(tracks.of_class(VEHICLES) & tracks.zone_mask(self.zone)).tolist():
            yield Finding(row=row, roi_id=self.zone)
