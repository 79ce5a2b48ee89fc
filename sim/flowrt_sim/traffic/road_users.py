"""Vehicles and pedestrians: their driving style, and their state while they are in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowrt_sim.bodies.colours import Colour, colours_of
from flowrt_sim.bodies.shapes import VARIANTS, Body, body
from flowrt_sim.street.route import Route


@dataclass(frozen=True)
class Style:
    """Car following parameters of a class (Treiber, Hennecke and Helbing 2000): m/s^2, s, m, and the usual speed in m/s."""

    acceleration: float
    braking: float
    headway_s: float
    gap_m: float
    speed_ms: tuple[float, float]


STYLES = {
    "car": Style(1.9, 2.4, 1.25, 2.2, (11.2, 13.7)),
    "van": Style(1.6, 2.3, 1.35, 2.3, (10.8, 13.2)),
    "truck": Style(1.0, 2.0, 1.6, 2.8, (9.8, 12.2)),
    "bus": Style(1.0, 1.9, 1.6, 2.8, (9.5, 12.0)),
    "motorcycle": Style(2.3, 2.6, 1.25, 2.0, (11.2, 13.7)),
    "bicycle": Style(0.9, 1.8, 1.3, 1.8, (4.8, 6.4)),
}


@dataclass(slots=True, eq=False)
class Vehicle:
    """A vehicle; `s` is where its front is along its route.

    `mode` is the intention that `incidents.Director` sets: run_red, creep, overshoot, hard_stop, amber_acceleration, or "" for
    none; `stop_at_s` and `hold_s` are where and how long it stops. A `careless` driver does not see pedestrians in its way.
    """

    number: int
    kind: str
    shape: Body
    colours: tuple[Colour, Colour, Colour]
    route: Route
    style: Style
    desired_speed: float
    s: float
    speed: float
    acceleration: float = 0.0
    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0
    mode: str = ""
    stop_at_s: float = -1.0
    hold_s: float = 0.0
    hold_until_s: float = -1.0
    amber_speed: float = -1.0
    stopped_since_s: float = -1.0
    red_turn: bool = False
    may_turn_on_red: bool = False
    careless: bool = False
    length: float = 0.0
    width: float = 0.0

    def __post_init__(self) -> None:
        self.length, self.width = self.shape.length_m, self.shape.width_m
        self.place()

    @property
    def to_line(self) -> float:
        """Metres from the front to the stop line; negative behind it."""
        return self.route.stop_s - self.s

    @property
    def in_exit(self) -> float:
        """Metres of the front past the beginning of the exit lane."""
        return self.s - self.route.exit_s

    def place(self) -> None:
        """Put the middle of the footprint on the route."""
        self.x, self.y, self.heading = self.route.at(self.s - self.length / 2)

    def front(self) -> tuple[float, float]:
        """World position of the middle of the front bumper."""
        half = self.length / 2
        return self.x + half * float(np.cos(self.heading)), self.y + half * float(np.sin(self.heading))


@dataclass(slots=True, eq=False)
class Pedestrian:
    """A pedestrian that follows `points` and waits at `gate` (an index of points) until the crossing is free.

    `leg` is the leg crossed ("" for none), `mode` the intention set by `incidents.Director`: jaywalk, jaywalk_mid, dash, step_out,
    linger, or "" for none. `hurry` is a factor on the speed while crossing. `patience_s` is how long the pedestrian waits at the gate before it goes back (0: for ever),
    `let_pass_s` when a vehicle was last in the way, `held_s` how long vehicles have held the pedestrian up on this crossing.
    """

    number: int
    shape: Body
    colours: tuple[Colour, Colour, Colour]
    points: list[tuple[float, float]]
    pace: float
    leg: str = ""
    gate: int = -1
    mode: str = ""
    hurry: float = 1.0
    patience_s: float = 0.0
    next: int = 1
    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0
    speed: float = 0.0
    stride: float = 0.0
    waiting_since_s: float = -1.0
    let_pass_s: float = -9.0
    held_s: float = 0.0
    crossing: bool = False
    out: float = 0.0
    side: float = 0.0
    side_speed: float = 0.0

    def __post_init__(self) -> None:
        self.x, self.y = self.points[0]


def new_vehicle(
    number: int, kind: str, route: Route, rng: np.random.Generator, desired_speed: float | None = None
) -> Vehicle:
    """A vehicle at the start of a route."""
    shape = body(kind, int(rng.integers(VARIANTS[kind])))
    style = STYLES[kind]
    own = float(rng.uniform(*style.speed_ms))
    colours = colours_of(kind, rng)
    return Vehicle(number, kind, shape, colours, route, style, desired_speed or own, shape.length_m, 0.0)


def pedestrian_look(rng: np.random.Generator) -> tuple[Body, tuple[Colour, Colour, Colour]]:
    """Shape and colours of a pedestrian."""
    return body("pedestrian", int(rng.integers(VARIANTS["pedestrian"]))), colours_of("pedestrian", rng)
