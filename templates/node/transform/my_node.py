"""my_node: a transform; `flowrt run my_node.yaml` runs it."""

from typing import Annotated

from flowrt import Tracks, Transform, setting


class MyNode(Transform):
    """Pass on only the road users that were seen for a while."""

    older_than_s: Annotated[float, setting("How long a track must have been seen.", ge=0)] = 1.0

    def process(self, tracks: Tracks) -> Tracks:
        return tracks[tracks.age_s > self.older_than_s]
