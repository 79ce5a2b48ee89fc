"""Where the CPU time of one picture goes: the flow's own nodes, called one after the other on one thread.

python -m benchmarks._stages            # prints a table for docs/performance.md
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks._running import running, test_data, workshop
from benchmarks.pipeline import _write

PICTURES = 300


def main() -> int:
    """Print milliseconds of CPU a picture by stage, for both videos."""
    model = test_data("yolox_nano.onnx")
    for name, size in (("bridge-traffic.mp4", (1280, 720)), ("parking-lot-cars.mp4", (768, 432))):
        video = test_data(name)
        if video is None or model is None:
            return 1
        took = _measure(video, size, model)
        print(name)
        for stage, spent_s in took.items():
            print(f"  {stage:28} {spent_s / PICTURES * 1e3:8.3f} ms")
    return 0


def _measure(video: Path, size: tuple[int, int], model: Path) -> dict[str, float]:
    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(name: str, clock: Any = time.thread_time) -> Iterator[None]:
        began_s = clock()
        yield
        spent[name] += clock() - began_s

    with workshop() as folder, running(_write(folder, video, size, model), threads=False) as runtime:
        node: dict[str, Any] = {name: runner.node for name, runner in runtime.runners.items()}
        pictures = (m for m in node["camera"].produce() if m.port == "frames")
        for number in range(PICTURES + 20):
            if number == 20:
                spent.clear()
            with stage("decode (camera)"):
                frame = next(pictures)
            with stage("resize, start (detect)"):
                pending = node["objects"].submit(frame)
            with stage("inference (all its threads)", time.process_time):
                pending.request.outputs()
            with stage("boxes, suppression (detect)"):
                found = node["objects"].collect(pending)
            with stage("track"):
                tracks = node["tracks"].process(found)
            with stage("speed"):
                tracks = node["speeds"].process(tracks)
            with stage("roi"):
                made = list(node["zones"].process(tracks))
            with stage("two rules"):
                tracks = next(out for out in made if out.port == "tracks")
                events = [out for out in made if out.port == "zone_events"]
                for rule in ("wrong_way", "speeding"):
                    events += list(node[rule].process(tracks) or ())
            with stage("encode, journal"):
                for event in events:
                    runtime.delivery.accept("to_file", list(node["to_file"].encode(event)))
    return spent


if __name__ == "__main__":
    sys.exit(main())
