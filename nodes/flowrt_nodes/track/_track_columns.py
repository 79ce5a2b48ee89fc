"""The tracks of a camera as columns: filters of position and size, and votes on the class.

The filter is the exact discrete form of white-noise acceleration (Bar-Shalom, Li, Kirubarajan, Estimation with Applications to
Tracking and Navigation, section 6.2.2). Centre and size are four independent filters of position and velocity, so covariances
are columns of three numbers each.

Invariants: row i of every column is one track. `number` is 0 until a track is confirmed, and no number is given twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowrt import Bools, Floats, Ints

Doubles = NDArray[np.float64]

# Noise in units of the box's size, the root of its area.
MEASURED = np.array([0.05, 0.05, 0.08, 0.08])
"""Standard deviation of centre x, y, width and height as a detector measures them."""
SWERVE = np.array([2.0, 2.0, 0.5, 0.5])
"""Process noise of the velocities: per second, in one second."""
UNKNOWN = np.array([5.0, 5.0, 0.5, 0.5])
"""Standard deviation of the velocities of an object seen once: sizes per second."""
RESIZING_S = 0.1
"""A size goes on changing for so long: the box of a car that turns grows and shrinks again within a second."""
ANOTHER_S, ANOTHER_PICTURES = 2.0, 8
"""A track whose latest pictures all show another class, for this long and this many, has passed to another object, say from a bus to
the car behind it: its earlier votes are void."""


@dataclass
class Columns:
    """Tracks as columns of length T. first_box: (T, 4) corners in the first picture. state, speed: (T, 4) centre x, y, width, height in pixels, and per second.

    pp, pv, vv: (T, 4) covariance of each with its speed. hits, pictures: how many
    pictures showed it, of how many since the first. votes: (T, L), summed confidence per class. latest_class,
    latest_since_s, latest_pictures: the class in its latest pictures, since when, and in how many.

    Of riders, see `_riders`. rider: a person rides this two-wheeler. person_s, machine_s: when each of the two was seen last; stood: it
    stood in the last picture with its machine, or since;
    both_since_s, seat: since when both are seen, and how far the person's middle was off the machine's then, in widths of the box around
    both; person_in, machine_in: (T, 4) their boxes as shares of that box; movement: (T, 2) mean velocity of about the last second.
    """

    number: Ints
    state: Doubles
    speed: Doubles
    pp: Doubles
    pv: Doubles
    vv: Doubles
    first_s: Doubles
    first_box: Doubles
    last_s: Doubles
    hits: Ints
    pictures: Ints
    votes: Doubles
    latest_class: Ints
    latest_since_s: Doubles
    latest_pictures: Ints
    rider: Bools
    person_s: Doubles
    machine_s: Doubles
    stood: Bools
    both_since_s: Doubles
    seat: Doubles
    person_in: Doubles
    machine_in: Doubles
    movement: Doubles

    @classmethod
    def none(cls, labels: int) -> Columns:
        """No tracks."""
        return cls.born(np.zeros((0, 4)), 0.0, np.zeros((0, labels)))

    @classmethod
    def born(cls, state: Doubles, time_s: float, votes: Doubles) -> Columns:
        """One track for each box seen for the first time."""
        n = len(state)
        size = size_of(state)
        return cls(
            number=np.zeros(n, np.int64),
            state=state,
            speed=np.zeros((n, 4)),
            pp=(MEASURED * size) ** 2,
            pv=np.zeros((n, 4)),
            vv=(UNKNOWN * size) ** 2,
            first_s=np.full(n, time_s),
            first_box=_corners(state),
            last_s=np.full(n, time_s),
            hits=np.ones(n, np.int64),
            pictures=np.ones(n, np.int64),
            votes=votes,
            latest_class=np.full(n, -1),
            latest_since_s=np.full(n, time_s),
            latest_pictures=np.zeros(n, np.int64),
            rider=np.zeros(n, bool),
            person_s=np.full(n, -np.inf),
            machine_s=np.full(n, -np.inf),
            stood=np.zeros(n, bool),
            both_since_s=np.full(n, np.nan),
            seat=np.zeros(n),
            person_in=np.full((n, 4), np.nan),
            machine_in=np.full((n, 4), np.nan),
            movement=np.zeros((n, 2)),
        )

    def __len__(self) -> int:
        return len(self.number)

    @property
    def boxes(self) -> Doubles:
        """(T, 4): corners."""
        return _corners(self.state)

    def take(self, rows: NDArray[Any]) -> Columns:
        """Only these tracks."""
        return Columns(*(column[rows] for column in self.__dict__.values()))

    def with_more(self, other: Columns) -> Columns:
        """These and the other tracks."""
        return Columns(*map(np.concatenate, zip(self.__dict__.values(), other.__dict__.values(), strict=True)))

    def vote(self, rows: Ints, class_id: Ints, confidence: Floats, time_s: float) -> None:
        """Count the classes in which one picture shows these tracks."""
        same = self.latest_class[rows] == class_id
        self.latest_class[rows] = class_id
        self.latest_since_s[rows] = np.where(same, self.latest_since_s[rows], time_s)
        self.latest_pictures[rows] = np.where(same, self.latest_pictures[rows] + 1, 1)
        self.votes[rows, class_id] += confidence
        long = (time_s - self.latest_since_s[rows] >= ANOTHER_S) & (self.latest_pictures[rows] >= ANOTHER_PICTURES)
        passed = rows[long & (self.votes[rows].argmax(axis=1) != class_id)]
        if len(passed):
            now = self.latest_class[passed]
            own = self.votes[passed, now]
            self.votes[passed] = 0.0
            self.votes[passed, now] = own

    def predict(self, dt_s: float, lost: Bools) -> None:
        """Move on by `dt_s`. A lost track keeps its size."""
        if lost.any():
            self.speed[lost, 2:] = 0.0
        drift = (SWERVE * size_of(self.state)) ** 2
        self.state[:, :2] += self.speed[:, :2] * dt_s
        self.state[:, 2:] += self.speed[:, 2:] * min(dt_s, RESIZING_S)
        np.maximum(self.state[:, 2:], 1.0, out=self.state[:, 2:])
        self.pp += dt_s * (2 * self.pv + dt_s * self.vv) + drift * (dt_s**3 / 3)
        self.pv += dt_s * self.vv + drift * (dt_s**2 / 2)
        self.vv += drift * dt_s

    def correct(self, rows: Ints, measured: Doubles) -> None:
        """Apply the measured boxes of these tracks."""
        pp, pv = self.pp[rows], self.pv[rows]
        total = pp + (MEASURED * size_of(measured)) ** 2
        gain, speed_gain = pp / total, pv / total
        surprise = measured - self.state[rows]
        self.state[rows] += gain * surprise
        self.speed[rows] += speed_gain * surprise
        self.pp[rows] = (1 - gain) * pp
        self.pv[rows] = (1 - gain) * pv
        self.vv[rows] -= speed_gain * pv


def _corners(state: Doubles) -> Doubles:
    """(T, 4): boxes by their corners."""
    half = state[:, 2:] * 0.5
    return np.concatenate((state[:, :2] - half, state[:, :2] + half), axis=1)


def size_of(state: Doubles) -> Doubles:
    """(T, 1): root of the area."""
    return np.sqrt(state[:, 2:3] * state[:, 3:4])
