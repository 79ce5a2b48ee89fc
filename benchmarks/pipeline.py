"""The whole flow as fast as it goes, beside the best loop by hand and beside the same nodes called by hand.

All three are made ready once and then take turns, each for a second or so, in rounds whose order changes, while the other two stand
still: a machine that others use as well is as slow for the one as for the other. Of each turn, pictures per second of wall time, as
the issue asks, and CPU milliseconds a picture of the whole process, which others' work disturbs less. The loop by hand is a reader
thread, asynchronous requests, boxes decoded, non-maximum suppression, and nothing else. `benchmark_app` is OpenVINO's own.
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
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks._running import left_out, running, switching, test_data, workshop
from benchmarks.pairs import Row, row

FRAMES, WARM = 80, 15
"""Pictures of a turn that count, and those before them, in which queues and caches fill."""
APP_EVERY = 4
"""`benchmark_app` runs by itself, beside the flow's turn of every fourth round."""
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
  gate: {{type: gate, from: objects}}
  tracks: {{type: track, from: gate}}
  speeds: {{type: speed, from: tracks, scene: view}}
  zones: {{type: roi, from: speeds, scene: view}}
  wrong_way: {{type: violation.wrong_way, from: zones, scene: view}}
  speeding: {{type: violation.speeding, from: zones, scene: view}}
  to_file: {{type: file_out, from: [zones.zone_events, wrong_way, speeding], path: events.ndjson}}
"""


class Turn(NamedTuple):
    """What one turn showed. outside, resize: shares of the CPU time in %, of the flow alone."""

    fps: float
    cpu_ms: float
    outside: float = 0.0
    resize: float = 0.0


Contestant = Callable[[], Turn]


def run(pairs: int) -> list[Row]:
    model = test_data("yolox_nano.onnx")
    videos = [(test_data("bridge-traffic.mp4"), (1280, 720)), (test_data("parking-lot-cars.mp4"), (768, 432))]
    rows: list[Row] = []
    for number, (video, size) in enumerate(videos):
        if video is not None and model is not None:
            rows += _of_video(video, size, model, pairs, beside_app=number == 0)
    return rows


def _of_video(video: Path, size: tuple[int, int], model: Path, pairs: int, beside_app: bool) -> list[Row]:
    """Rounds of turns, the first round being a warm-up."""
    turns: dict[str, list[Turn]] = {"flow": [], "loop by hand": [], "same nodes by hand": []}
    of_app: list[float] = []
    app = shutil.which("benchmark_app", path=str(Path(sys.executable).parent)) if beside_app else None
    if beside_app and app is None:
        left_out("pipeline beside benchmark_app: it is not installed with OpenVINO here")
    with ExitStack() as stack:
        stack.enter_context(switching())
        takes_turn: dict[str, Contestant] = {
            "flow": stack.enter_context(_flow(video, size, model)),
            "loop by hand": stack.enter_context(_loop(video, model)),
            "same nodes by hand": stack.enter_context(_same_nodes(video, size, model)),
        }
        names = list(turns)
        for number in range(pairs + 1):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                turn = takes_turn[name]()
                if number:
                    turns[name].append(turn)
            if number and app is not None and number % APP_EVERY == 1:
                of_app.append(turns["flow"][-1].fps / _benchmark_app(app, model))
            if number:
                told = ", ".join(
                    f"{name} {took[-1].fps:.0f} ({took[-1].cpu_ms:.1f} ms)" for name, took in turns.items()
                )
                print(f"  {video.name}, round {number}: pictures/s (CPU a picture): {told}", file=sys.stderr)
    flow = turns["flow"]
    rows = []
    for name, at_least in (("loop by hand", 0.93), ("same nodes by hand", 0.98)):
        pairs_of = list(zip(flow, turns[name], strict=True))
        facts = {"ours_fps": [ours.fps for ours, _ in pairs_of], "fps": [theirs.fps for _, theirs in pairs_of]}
        wall = [ours.fps / theirs.fps for ours, theirs in pairs_of]
        cpu = [theirs.cpu_ms / ours.cpu_ms for ours, theirs in pairs_of]
        rows.append(row("pipeline", f"{video.name}: flow / {name}", wall, "x", at_least=at_least, **facts))
        rows.append(row("pipeline", f"{video.name}: the same by CPU time", cpu, "x", at_least=at_least))
    if of_app:
        rows.append(row("pipeline", f"{video.name}: flow / benchmark_app", of_app, "x"))
    outside, resize = [turn.outside for turn in flow], [turn.resize for turn in flow]
    rows.append(row("pipeline", f"{video.name}: CPU outside decode and inference", outside, "%", at_most=8.0))
    rows.append(row("pipeline", f"{video.name}: of it resize into the model's input", resize, "%"))
    return rows


def _write(folder: Path, video: Path, size: tuple[int, int], model: Path) -> Path:
    width, height = size
    path = folder / "flow.yaml"
    text = "flow: pipeline\nsite: bench\n" + SCENE.format(
        width=width, height=height, half=width // 2, middle=height // 2
    )
    path.write_text(text + FLOW.format(video=video, model=model))
    return path


@contextmanager
def _flow(video: Path, size: tuple[int, int], model: Path) -> Iterator[Contestant]:
    """The flow. It stands still between turns because the node `gate`, behind inference, lets nothing through.

    The share outside: what Python's threads took, less what the camera node took to make its pictures, of what the process took.
    Inference runs on OpenVINO's threads; the resize into its input is part of the share and told by itself.
    """
    with workshop() as folder, _measured() as spent_s, running(_write(folder, video, size, model)) as runtime:
        gate: Any = runtime.runners["gate"].node

        def turn() -> Turn:
            gate.let_through(WARM)
            before_s = [_python_cpu_s(), *spent_s.values()]
            stopwatch = Stopwatch()
            gate.let_through(FRAMES)
            fps, cpu_ms = stopwatch.of(FRAMES)
            python_s, decode_s, resize_s = (
                after - before for after, before in zip([_python_cpu_s(), *spent_s.values()], before_s, strict=True)
            )
            share = 100 / (cpu_ms * FRAMES / 1e3)
            return Turn(fps, cpu_ms, share * (python_s - decode_s), share * resize_s)

        yield turn
        gate.open_for_good()


class Stopwatch:
    """Wall and CPU time from now on, the latter of the whole process."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def of(self, pictures: int) -> tuple[float, float]:
        """Pictures per second, and CPU milliseconds a picture."""
        wall_s, cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        return pictures / wall_s, 1e3 * cpu_s / pictures


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Meanwhile, the CPU seconds that nodes take to make pictures, and to resize them into the model's input."""
    from flowrt_nodes.camera import Camera
    from flowrt_nodes.detect._openvino import Request

    spent_s = {"decode": 0.0, "resize": 0.0}
    produce, resize = Camera.produce, Request._resize

    @wraps(produce)
    def produced(camera: Camera) -> Iterator[Any]:
        made = produce(camera)
        while True:
            began_s = time.thread_time()
            message = next(made, None)
            spent_s["decode"] += time.thread_time() - began_s
            if message is None:
                return
            yield message

    @wraps(resize)
    def resized(*args: Any) -> None:
        began_s = time.thread_time()
        resize(*args)
        spent_s["resize"] += time.thread_time() - began_s

    Camera.produce, Request._resize = produced, resized  # type: ignore[assignment, method-assign]
    try:
        yield spent_s
    finally:
        Camera.produce, Request._resize = produce, resize  # type: ignore[method-assign]


def _python_cpu_s() -> float:
    """CPU seconds of Python's threads, where Linux tells them in nanoseconds; else in its ticks of 10 ms."""
    mine = {thread.native_id for thread in threading.enumerate()}
    try:
        return sum(int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[0]) for thread in mine) / 1e9
    except OSError:
        return sum(t.user_time + t.system_time for t in psutil.Process().threads() if t.id in mine)


def _pictures(video: Path) -> Iterator[Any]:
    from flowrt_nodes._lib.cv import cv2

    while True:
        capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        while (got := capture.read())[0]:
            yield got[1]
        capture.release()


@contextmanager
def _loop(video: Path, model: Path) -> Iterator[Contestant]:
    """The best loop by hand: a reader thread, requests in turn, boxes decoded, suppression."""
    import numpy as np
    import openvino

    from flowrt_nodes._lib.cv import cv2
    from flowrt_nodes.detect._decoding.candidates import Ports, suppress
    from flowrt_nodes.detect._decoding.layouts import layout_of
    from flowrt_nodes.detect._letterbox import prepared
    from flowrt_nodes.detect._model.metadata import read_metadata

    core = openvino.Core()
    network = core.read_model(model)
    ports = Ports([""], [tuple(network.outputs[0].shape)], (416, 416))
    layout = layout_of(ports, read_metadata(network, model), None)
    compiled = core.compile_model(prepared(network, layout.preparation), "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1
    buffers = [np.full((1, 416, 416, 3), 114, np.uint8) for _ in range(count)]
    requests = [compiled.create_infer_request() for _ in range(count)]
    outputs = [np.zeros(tuple(compiled.outputs[0].shape), np.float32) for _ in range(count)]
    for request, buffer, output in zip(requests, buffers, outputs, strict=True):
        request.set_input_tensor(openvino.Tensor(buffer, shared_memory=True))
        request.set_output_tensor(openvino.Tensor(output, shared_memory=True))
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
    begun = 0

    def go(frames: int) -> None:
        nonlocal begun
        for _ in range(frames):
            slot = begun % count
            if begun >= count:
                requests[slot].wait()
                found = layout.decode([outputs[slot]], 0.3)
                found.take(suppress(found, 0.45, False))
            picture = pictures.get()
            room.release()
            height, width = picture.shape[:2]
            scale = min(416 / width, 416 / height)
            size = round(width * scale), round(height * scale)
            cv2.resize(picture, size, dst=buffers[slot][0, : size[1], : size[0]], interpolation=cv2.INTER_LINEAR)
            requests[slot].start_async()
            begun += 1

    yield _in_turns(go)
    stopping.set()
    room.release()
    for request in requests:
        request.wait()
    reader.join(5)


def _in_turns(go: Callable[[int], None]) -> Contestant:
    """A contestant that is a function which carries so many pictures."""

    def turn() -> Turn:
        go(WARM)
        stopwatch = Stopwatch()
        go(FRAMES)
        return Turn(*stopwatch.of(FRAMES))

    return turn


@contextmanager
def _same_nodes(video: Path, size: tuple[int, int], model: Path) -> Iterator[Contestant]:
    """The flow's own nodes, opened by the runtime and called by hand: one thread to `submit`, one to `collect` and go on."""
    with workshop() as folder, running(_write(folder, video, size, model), threads=False) as runtime:
        node: dict[str, Any] = {name: runner.node for name, runner in runtime.runners.items()}
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

        def go(frames: int) -> None:
            for _ in range(frames):
                tracks = node["tracks"].process(node["objects"].collect(waiting.get()))
                for out in node["zones"].process(node["speeds"].process(tracks)):
                    events = [out] if out.port == "zone_events" else []
                    if not events:
                        for rule in ("wrong_way", "speeding"):
                            events += list(node[rule].process(out) or ())
                    for event in events:
                        runtime.delivery.accept("to_file", list(node["to_file"].encode(event)))

        yield _in_turns(go)
        stopping.set()
        while thread.is_alive():
            if not waiting.empty():
                node["objects"].collect(waiting.get())
            thread.join(0.01)
        while not waiting.empty():
            node["objects"].collect(waiting.get())


def _benchmark_app(app: str, model: Path) -> float:
    """Pictures per second of OpenVINO's own benchmark, for inference alone."""
    command = [app, "-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", "4", "-shape", "[1,3,416,416]"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"Throughput:\s+([\d.]+)", said)
    if found is None:
        raise RuntimeError("benchmark_app told no throughput")
    return float(found.group(1))
