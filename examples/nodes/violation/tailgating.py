from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from flowrt import VEHICLES, CameraView, Finding, Rule, Tracks, setting


class Tailgating(Rule):
    """A vehicle follows another at a headway below `headway_s`."""

    headway_s: Annotated[float, setting("Shortest lawful time from front to front.", gt=0, le=10)] = 1.0
    hold_s: Annotated[float, setting("How long it must last.", ge=0, le=60)] = 1.0
    violation_type: ClassVar[str] = "tailgating"

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        vehicles = tracks.of_class(VEHICLES)
        place, velocity, speed = view.ground_m(tracks), view.velocity_m_s(tracks), view.speed_m_s(tracks)
        for row in np.flatnonzero(vehicles & (speed > 5.0)).tolist():
            ahead, offset = velocity[row] / speed[row], place - place[row]
            along_m, aside_m = offset @ ahead, np.abs(offset @ [-ahead[1], ahead[0]])
            leaders = vehicles & (along_m > 0) & (aside_m < 1.5)
            headway_s = float(along_m[leaders].min(initial=np.inf) / speed[row])
            if headway_s < self.headway_s:
                yield Finding(row=row, facts={"headway_s": round(headway_s, 2)})
