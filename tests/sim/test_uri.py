"""sim:// addresses: values, and clear words about bad ones."""

from __future__ import annotations

import re

import pytest

from flowrt_sim.scenarios import SCENARIOS
from flowrt_sim.uri import SimOptions, parse


def test_defaults() -> None:
    assert parse("sim://four-way") == SimOptions()


def test_every_parameter() -> None:
    found = parse(
        "sim://four-way?seed=9&camera=west&fps=12.5&weather=night-rain&scenario=red_light&size=640x360"
        "&duration_s=60&start=5&rate=0.5&jpeg=80&shake=1.5&blur=0"
    )
    assert found == SimOptions(
        "four-way", 9, "west", 12.5, "night-rain", "red_light", (640, 360), 60.0, 5.0, 0.5, 80, 1.5, 0.0
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_name_in_addresses(name: str) -> None:
    assert parse(f"sim://four-way?scenario={name}").scenario == name


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("rtsp://x", "sim://"),
        ("sim://threeway", "four-way"),
        ("sim://four-way?sed=7", "'sed', did you mean 'seed'"),
        ("sim://four-way?camera=nort", "camera: unknown 'nort', did you mean 'north'"),
        ("sim://four-way?scenario=redlight", "scenario: unknown 'redlight', did you mean 'red_light'"),
        ("sim://four-way?weather=fog", "weather: unknown 'fog'"),
        ("sim://four-way?seed=x", "seed: expected a whole number, found 'x'"),
        ("sim://four-way?seed=-1", "seed: expected 0 to"),
        ("sim://four-way?fps=0", "fps: expected 0.1 to 120, found 0"),
        ("sim://four-way?fps=nan", "fps: expected"),
        ("sim://four-way?size=big", "size: expected WIDTHxHEIGHT"),
        ("sim://four-way?size=10x10", "size: expected 160x120"),
        ("sim://four-way?seed=1&seed=2", "seed: given twice"),
        ("sim://four-way?seed=", "seed: expected a whole number, found ''"),
    ],
)
def test_bad_addresses_name_what_is_wrong(address: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(address)
