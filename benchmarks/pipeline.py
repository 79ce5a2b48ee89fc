"""The whole flow as fast as it goes, beside the best loop by hand and beside the same nodes called by hand.

Frames per second of wall time, as the issue asks; every run decodes the same pictures, several rounds of a short video. The loop by hand is
a reader thread, asynchronous requests, boxes decoded, non-maximum suppression, and nothing else. `benchmark_app` is OpenVINO's own.
"""

from __future__ import annotations

import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from benchmarks._running import left_out, running, switching, test_data, workshop
from benchmarks.pairs import Row, row

FRAMES = 250
SCENE = """
scene:
  view:
    picture_px: [{width}, {height}]
    homography: {{image_px: [[0, 0], [{width}, 0], [{width}, {height}], [0, {height}]], ground_m: [[0, 40], [30, 40], [30, 0], [0, 0]]}}
    lines: {{across: {{line: [[0, {middle}], [{width}, {middle}]]}}}}
    zones:
      left: {{zone: [[0, 0], [{half}, 0], [{half}, {height}], [0, {height}]], kind: lane, heading: [0, 1], limit_kmh: 50}}
      right: {{zone: [[{half}, 0], [{width}, 0], [{width}, {height}], [{half}, {height}]], kind: lane, heading: [0, 1], limit_kmh: 50}}
"""
FLOW = """
nodes:
  camera: {{type: camera, uri: "{video}", pace: asap, loop: true}}
  objects: {{type: detect, from: camera, model: "{model}", min_confidence: 0.3}}
  marked: {{type: mark, from: objects}}
  tracks: {{type: track, from: marked}}
  speeds: {{type: speed, from: tracks, scene: view}}
  zones: {{type: roi, from: speeds, scene: view}}
  wrong_way: {{type: violation.wrong_way, from: zones, scene: view}}
  speeding: {{type: violation.speeding, from: zones, scene: view}}
  to_file: {{type: file_out, from: [zones.zone_events, wrong_way, speeding], path: events.ndjson}}
"""


def run(pairs: int) -> list[Row]:
    model = test_data("yolox_nano.onnx")
    videos = [(test_data("bridge-traffic.mp4"), (1280, 720)), (test_data("parking-lot-cars.mp4"), (768, 432))]
    rows: list[Row] = []
    for number, (video, size) in enumerate(videos):
        if video is not None and model is not None:
            rows += _of_video(video, size, model, pairs, beside_app=number == 0)
    return rows


def _of_video(video: Path, size: tuple[int, int], model: Path, pairs: int, beside_app: bool) -> list[Row]:
    """The flow and everything it is compared with, in turn, each round in another order, the first round being a warm-up."""
    shares: list[float] = []

    def flow() -> float:
        fps, share = _flow(video, size, model)
        shares.append(share)
        return fps

    measures: dict[str, Callable[[], float]] = {
        "flow": flow,
        "loop by hand": lambda: _loop(video, model),
        "same nodes by hand": lambda: _same_nodes(video, size, model),
    }
    app = shutil.which("benchmark_app", path=str(Path(sys.executable).parent))
    if beside_app and app is not None:
        measures["benchmark_app"] = lambda: _benchmark_app(app, model)
    elif beside_app:
        left_out("pipeline beside benchmark_app: it is not installed with OpenVINO here")
    fps: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    for number in range(pairs + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            value = measures[name]()
            if number:
                fps[name].append(value)
        if number:
            told = ", ".join(f"{name} {values[-1]:.0f}" for name, values in fps.items())
            print(f"  {video.name}, round {number}: pictures/s: {told}", file=sys.stderr)
    targets: dict[str, dict[str, float]] = {
        "loop by hand": {"at_least": 0.93},
        "same nodes by hand": {"at_least": 0.98},
    }
    rows = []
    for name in names[1:]:
        ratio = [ours / theirs for ours, theirs in zip(fps["flow"], fps[name], strict=True)]
        facts: dict[str, Any] = {"ours_fps": fps["flow"], "fps": fps[name], **targets.get(name, {})}
        rows.append(row("pipeline", f"{video.name}: flow / {name}", ratio, "x", **facts))
    return [
        *rows,
        row("pipeline", f"{video.name}: CPU outside decode and inference", shares[1:], "%", at_most=8.0),
    ]


def _write(folder: Path, video: Path, size: tuple[int, int], model: Path) -> Path:
    width, height = size
    path = folder / "flow.yaml"
    text = "flow: pipeline\nsite: bench\n" + SCENE.format(
        width=width, height=height, half=width // 2, middle=height // 2
    )
    path.write_text(text + FLOW.format(video=video, model=model))
    return path


def _flow(video: Path, size: tuple[int, int], model: Path) -> tuple[float, float]:
    """Pictures per second, and the share of CPU time in % spent outside of decoding and inference.

    The share: what Python's threads took, less what the camera node took to make its pictures, of what the process took. Inference
    runs on OpenVINO's threads; the resize into its input is not counted as inference.
    """
    with (
        workshop() as folder,
        _decoding() as decoded_s,
        running(_write(folder, video, size, model), start=False) as runtime,
        switching(),
    ):
        runtime.start()
        times_s: list[float] = runtime.cells["marked"].node.__dict__.setdefault("times_s", [])
        warm = FRAMES // 5
        _until(lambda: len(times_s) > warm)
        before = _python_cpu_s() - decoded_s[0]
        process_before = sum(psutil.Process().cpu_times()[:2])
        first = len(times_s)
        _until(lambda: len(times_s) > first + FRAMES)
        last = len(times_s) - 1
        outside_s = _python_cpu_s() - decoded_s[0] - before
        process_s = sum(psutil.Process().cpu_times()[:2]) - process_before
        fps = (last - first) / (times_s[last] - times_s[first])
    return fps, 100 * outside_s / process_s


@contextmanager
def _decoding() -> Iterator[list[float]]:
    """Meanwhile, the CPU seconds that the camera node's thread takes to make messages, in a list of one."""
    from flowrt_nodes.camera import Camera

    took_s = [0.0]
    produce = Camera.produce

    @wraps(produce)
    def measured(camera: Camera) -> Iterator[Any]:
        made = produce(camera)
        while True:
            began_s = time.thread_time()
            message = next(made, None)
            took_s[0] += time.thread_time() - began_s
            if message is None:
                return
            yield message

    Camera.produce = measured  # type: ignore[assignment, method-assign]
    try:
        yield took_s
    finally:
        Camera.produce = produce  # type: ignore[method-assign]


def _python_cpu_s() -> float:
    mine = {thread.native_id for thread in threading.enumerate()}
    return sum(t.user_time + t.system_time for t in psutil.Process().threads() if t.id in mine)


def _pictures(video: Path) -> Iterator[Any]:
    from flowrt_nodes._cv import cv2

    while True:
        capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        while (got := capture.read())[0]:
            yield got[1]
        capture.release()


def _loop(video: Path, model: Path) -> float:
    """The best loop by hand: a reader thread, requests in turn, boxes decoded, suppression."""
    import numpy as np
    import openvino

    from flowrt_nodes._cv import cv2
    from flowrt_nodes._decoders import layout_of, suppress
    from flowrt_nodes._model_info import read_info
    from flowrt_nodes._preparing import prepared

    core = openvino.Core()
    network = core.read_model(model)
    info = read_info(network)
    layout = layout_of([""], [tuple(network.outputs[0].shape)], (416, 416), info, None)
    plan = info.preparation(layout.decoder, None, None)
    compiled = core.compile_model(prepared(network, plan), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1
    buffers = [np.full((1, 416, 416, 3), 114, np.uint8) for _ in range(count)]
    requests = [compiled.create_infer_request() for _ in range(count)]
    for request, buffer in zip(requests, buffers, strict=True):
        request.set_input_tensor(openvino.Tensor(buffer, shared_memory=True))
    pictures: queue.SimpleQueue[Any] = queue.SimpleQueue()
    room = threading.Semaphore(4)
    stopping = threading.Event()

    def read() -> None:
        for picture in _pictures(video):
            room.acquire()
            if stopping.is_set():
                return
            pictures.put(picture)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    warm, began_s = FRAMES // 5, 0.0
    for number in range(warm + FRAMES + 1):
        slot = number % count
        if number >= count:
            requests[slot].wait()
            found = layout.decode([requests[slot].output_tensors[0].data], 0.3)
            found.take(suppress(found, 0.45, False))
        picture = pictures.get()
        room.release()
        height, width = picture.shape[:2]
        scale = min(416 / width, 416 / height)
        size = round(width * scale), round(height * scale)
        cv2.resize(picture, size, dst=buffers[slot][0, : size[1], : size[0]], interpolation=cv2.INTER_LINEAR)
        requests[slot].start_async()
        if number == warm:
            began_s = time.perf_counter()
    ended_s = time.perf_counter()
    stopping.set()
    room.release()
    for request in requests:
        request.wait()
    reader.join(5)
    return FRAMES / (ended_s - began_s)


def _same_nodes(video: Path, size: tuple[int, int], model: Path) -> float:
    """The flow's own nodes, opened by the runtime and called by hand: one thread to `submit`, one to `collect` and go on."""
    with workshop() as folder, running(_write(folder, video, size, model), threads=False) as runtime, switching():
        node: dict[str, Any] = {name: cell.node for name, cell in runtime.cells.items()}
        waiting: queue.Queue[Any] = queue.Queue(node["objects"].in_flight)
        stopping = threading.Event()

        def submit() -> None:
            for message in node["camera"].produce():
                if stopping.is_set():
                    return
                if message.port == "frames":
                    waiting.put(node["objects"].submit(message))

        thread = threading.Thread(target=submit, daemon=True)
        thread.start()
        began_s = 0.0
        for number in range(FRAMES + FRAMES // 5):
            if number == FRAMES // 5:
                began_s = time.perf_counter()
            tracks = node["tracks"].process(node["objects"].collect(waiting.get()))
            for out in node["zones"].process(node["speeds"].process(tracks)):
                events = [out] if out.port == "zone_events" else []
                if not events:
                    for rule in ("wrong_way", "speeding"):
                        events += list(node[rule].process(out) or ())
                for event in events:
                    runtime.delivery.accept("to_file", list(node["to_file"].encode(event)))
        ended_s = time.perf_counter()
        stopping.set()
        while thread.is_alive():
            if not waiting.empty():
                node["objects"].collect(waiting.get())
            thread.join(0.01)
        while not waiting.empty():
            node["objects"].collect(waiting.get())
    return FRAMES / (ended_s - began_s)


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the flow stands still")
        time.sleep(0.01)


def _benchmark_app(app: str, model: Path) -> float:
    """Pictures per second of OpenVINO's own benchmark, for inference alone."""
    command = [app, "-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", "4", "-shape", "[1,3,416,416]"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"Throughput:\s+([\d.]+)", said)
    if found is None:
        raise RuntimeError("benchmark_app told no throughput")
    return float(found.group(1))
