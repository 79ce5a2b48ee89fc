from flowrt import Tracks, Transform


class SpeedGate(Transform):
    """Pass on only the vehicles faster than a limit."""

    faster_than_kmh: float = 50.0

    def process(self, tracks: Tracks) -> Tracks:
        return tracks[tracks.speed_kmh > self.faster_than_kmh]
