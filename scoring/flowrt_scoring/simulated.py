"""A flow with the simulation in the place of its cameras and signals, with faults on request.

The flow's own detector works on drawn pictures, or the truth's boxes and footprints take its place. That needs no drawing and no
model, is over ten times faster, and scores the rules alone: on perfect detections of all road users in the picture, or of
the visible ones. All cameras film the same world, which is stepped once.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from zlib import crc32

import numpy as np

from flowrt import Detections, Diagnostic, FlowError, Frame, Message, SignalState
from flowrt.capture_time import CaptureClock
from flowrt.flow import Flow
from flowrt.testing.replay import substitute, upstream
from flowrt.traffic import Position
from flowrt_scoring.noise.disturb import Disturbance
from flowrt_scoring.noise.profile import Profile
from flowrt_sim import CLASSES
from flowrt_sim.source import SimCamera, open_signals
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.uri import SimOptions, parse

CLOCK_HZ = 1000
"""Pictures may be taken at any millisecond."""

Boxes = Literal["model", "truth", "visible"]
DELAY_CORRELATED_S = 0.5
"""A queue in the network holds up a picture and its neighbours alike."""
CONNECTED_S = 300.0
"""For so long such a camera, which tells its own time of day, has been connected."""
LEAST_VISIBLE = 0.3
"""`visible` boxes are those of which at least this share is not hidden."""


@dataclass(frozen=True)
class Faults:
    """Faults of the input. drop: share of pictures lost; jitter: largest shift of a picture's time, as a share of the interval.

    no_signal: signal sources are silent. noise_px: standard deviation of a truth box's edges. stamp_jitter_ms: the network delays each
    picture by the size of a normal number of this standard deviation, correlated over `DELAY_CORRELATED_S`, and capture times are made as a live camera's.
    noise: the truth as a detector with this profile sees it.
    """

    drop: float = 0.0
    jitter: float = 0.0
    no_signal: bool = False
    noise_px: float = 0.0
    stamp_jitter_ms: float = 0.0
    noise: Profile | None = None


def cameras(flow: Flow) -> dict[str, SimOptions]:
    """The simulated cameras of a flow: node name to options. Raises FlowError where there is none."""
    options = {name: parse(uri) for name, uri in _addresses(flow, Frame).items()}
    if not options:
        hint = "score a flow whose cameras have `uri: sim://…`, or set one: --set NODE.uri=sim://four-way?camera=north"
        raise FlowError(
            [Diagnostic(file=str(flow.path), line=0, column=0, path="", message="no simulated camera", hint=hint)]
        )
    return options


def on_simulation(flow: Flow, world: SimOptions, motion: Motion, *, boxes: Boxes, faults: Faults) -> Flow:
    """The flow on simulated time of one world, whose seed, scenario, weather, rate, start and duration count.

    motion: that world, which all cameras film.
    """
    given: dict[str, Iterable[Message]] = {}
    placed = {name: _in_world(options, world) for name, options in cameras(flow).items()}
    films = {name: _Film(name, flow, options, faults, motion) for name, options in placed.items()}
    if boxes != "model":
        least_visible = LEAST_VISIBLE if boxes == "visible" or faults.noise else 0.0
        for name in detecting(flow):
            behind = upstream(flow, [name])
            seen = [film for camera, film in films.items() if camera in behind]
            if faults.noise:
                px = getattr(flow.nodes[name].settings, "input_px", None) or faults.noise.input_px
                given[name] = _Merged([_Disturbed(film, least_visible, faults.noise, px) for film in seen])
            else:
                given[name] = _Merged([_Boxes(film, least_visible) for film in seen])
    given |= {name: film for name, film in films.items() if not _cut(flow, name, given)}
    for name, uri in _addresses(flow, SignalState).items():
        given[name] = () if faults.no_signal else _Signals(_in_world(parse(uri), world))
    return substitute(flow, given)


def detecting(flow: Flow) -> list[str]:
    """The nodes that detect on the simulated cameras' pictures."""
    films = cameras(flow)
    return [
        name
        for name, spec in flow.nodes.items()
        if Detections in spec.type.ports.outputs
        and not _detects_before(flow, name)
        and films.keys() & upstream(flow, [name])
    ]


def speed_nodes(flow: Flow) -> list[str]:
    """The nodes that fill in speeds."""
    return [name for name, spec in flow.nodes.items() if "speed" in spec.type.cls.provides]


def _addresses(flow: Flow, kind: type[Message]) -> dict[str, str]:
    uris = {
        name: str(getattr(spec.settings, "uri", ""))
        for name, spec in flow.nodes.items()
        if spec.type.role == "source" and kind in spec.type.ports.outputs
    }
    return {name: uri for name, uri in uris.items() if uri.startswith("sim://")}


def _in_world(options: SimOptions, world: SimOptions) -> SimOptions:
    shared = {name: getattr(world, name) for name in ("seed", "scenario", "weather", "rate", "start", "duration_s")}
    return replace(options, **shared)


def _detects_before(flow: Flow, name: str) -> bool:
    return any(Detections in flow.nodes[other].type.ports.outputs for other in upstream(flow, [name]))


def _cut(flow: Flow, camera: str, given: Iterable[str]) -> bool:
    return camera in upstream(flow, list(given))


@dataclass
class _Film:
    """One camera: pictures on request."""

    node: str
    flow: Flow
    options: SimOptions
    faults: Faults
    motion: Motion

    def stamped(self) -> Iterator[tuple[int, float, float]]:
        """(number, time, capture time as the camera node would say) of every picture that is not lost."""
        sigma_s = self.faults.stamp_jitter_ms / 1e3
        if not sigma_s:
            yield from ((number, time_s, time_s) for number, time_s in self.times())
            return
        clock, rng = CaptureClock(), np.random.default_rng((self.options.seed, 13))
        before = [(-1, i / self.options.fps) for i in range(-round(CONNECTED_S * self.options.fps), 0)]
        queue_s, arrival_s, last_s = 0.0, -CONNECTED_S, -CONNECTED_S
        for number, time_s in itertools.chain(before, self.times()):
            kept = 0.5 ** ((time_s - last_s) / DELAY_CORRELATED_S)
            queue_s = kept * queue_s + (1 - kept**2) ** 0.5 * float(rng.normal(0, sigma_s))
            arrival_s, last_s = max(time_s + abs(queue_s), arrival_s + 1e-3), time_s
            stamp = clock.stamp(arrival_s, arrival_s, time_s, time_s)
            if number >= 0:
                yield number, time_s, max(stamp.time_s, 0.0)

    def times(self) -> Iterator[tuple[int, float]]:
        """(number, time) of every picture that is not lost."""
        faults, fps = self.faults, self.options.fps
        rng = np.random.default_rng((self.options.seed, 11))
        last_ms = -1
        for number in range(round(self.options.duration_s * fps)):
            shift, lost = rng.uniform(-1, 1), rng.random() < faults.drop
            at_ms = round((number + faults.jitter * shift) / fps * CLOCK_HZ)
            if at_ms <= last_ms or lost:
                continue
            last_ms = at_ms
            yield number, at_ms / CLOCK_HZ

    def camera(self) -> SimCamera:
        """A fresh camera whose picture `n` is that of millisecond n."""
        return SimCamera(replace(self.options, fps=float(CLOCK_HZ)), self.motion)

    def __iter__(self) -> Iterator[Frame]:
        camera = self.camera()
        position: Position = getattr(self.flow.nodes[self.node].settings, "position", "")
        for number, time_s, stamp_s in self.stamped():
            image = camera.frame(round(time_s * CLOCK_HZ)).image
            image.flags.writeable = False
            yield Frame(time_s=stamp_s, camera_id=self.node, image=image, number=number, position=position)


@dataclass
class _Boxes:
    """The truth's boxes of one camera in the place of detections, those of which at least `least_visible` is not hidden."""

    film: _Film
    least_visible: float

    def __iter__(self) -> Iterator[Detections]:
        film, camera = self.film, self.film.camera()
        rng = np.random.default_rng((film.options.seed, 12))
        for number, time_s, stamp_s in film.stamped():
            truth = camera.truth(round(time_s * CLOCK_HZ))
            rows = truth.visible >= self.least_visible
            boxes = truth.boxes_px[rows]
            boxes = boxes + rng.normal(0, film.faults.noise_px, boxes.shape)
            exact = np.zeros((len(boxes), 2))  # footprints without error
            yield Detections(
                time_s=stamp_s,
                camera_id=film.node,
                boxes_px=boxes.astype(np.float32),
                confidence=np.ones(len(boxes), np.float32),
                class_id=truth.class_ids[rows],
                footprints_px=np.hstack((truth.footprints_px[rows], exact)).astype(np.float32),
                labels=CLASSES,
                picture_px=film.options.size,
                frame_number=number,
                model="truth",
            )


@dataclass
class _Disturbed:
    """The truth's boxes as a detector sees them, without footprints. Their labels are the simulator's, with COCO's where it has none."""

    film: _Film
    least_visible: float
    profile: Profile
    input_px: tuple[int, int]

    def __iter__(self) -> Iterator[Detections]:
        film, camera = self.film, self.film.camera()
        noise = Disturbance(
            self.profile, film.options.size, self.input_px, (film.options.seed, 14, crc32(film.node.encode()))
        )
        for number, time_s, stamp_s in film.stamped():
            truth = camera.truth(round(time_s * CLOCK_HZ))
            rows = truth.visible >= self.least_visible
            labels = [CLASSES[i] for i in truth.class_ids[rows]]
            seen = noise.see(time_s, truth.ids[rows].tolist(), labels, truth.boxes_px[rows])
            yield Detections(
                time_s=stamp_s,
                camera_id=film.node,
                boxes_px=seen.boxes.astype(np.float32),
                confidence=np.array(seen.confidence, np.float32),
                class_id=np.array([CLASSES.index(label) for label in seen.labels], np.int64),
                labels=CLASSES,
                picture_px=film.options.size,
                frame_number=number,
                model=self.profile.detector,
            )


@dataclass
class _Merged:
    parts: Sequence[_Boxes | _Disturbed]

    def __iter__(self) -> Iterator[Detections]:
        return heapq.merge(*self.parts, key=lambda message: message.time_s)


@dataclass
class _Signals:
    options: SimOptions

    def __iter__(self) -> Iterator[SignalState]:
        for time_s, phases in open_signals(self.options, 0.5):
            yield SignalState(
                time_s=time_s,
                states={group: state for group, (state, _) in phases.items()},
                since_s={group: since for group, (_, since) in phases.items()},
            )
