"""Units: the ending of a setting's name is its unit, and what is given in another one is converted for the hint."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from flowrt.config.yaml import Scalar, Yaml

UNITS: Mapping[str, str] = {
    "_s": "seconds",
    "_ms": "milliseconds",
    "_px": "pixels",
    "_m": "metres",
    "_kmh": "km/h",
    "_deg": "degrees",
    "_mb": "megabytes",
    "_hz": "hertz",
}
"""The end of a setting's name to its unit."""


class _Unit(NamedTuple):
    """What is measured, and how many of the base unit it is."""

    kind: str
    factor: float


def _units(kind: str, **words: float) -> dict[str, _Unit]:
    return {word: _Unit(kind, factor) for word, factor in words.items()}


_WORDS: Mapping[str, _Unit] = {
    **_units("time", s=1, sec=1, secs=1, second=1, seconds=1, ms=1e-3, msec=1e-3, milliseconds=1e-3),
    **_units(
        "time", min=60, mins=60, minute=60, minutes=60, h=3600, hr=3600, hour=3600, hours=3600, d=86400, days=86400
    ),
    **_units("length", m=1, metre=1, metres=1, meter=1, meters=1, km=1e3, cm=1e-2, mm=1e-3),
    **_units(
        "length",
        ft=0.3048,
        feet=0.3048,
        foot=0.3048,
        inch=0.0254,
        inches=0.0254,
        yd=0.9144,
        mi=1609.344,
        miles=1609.344,
    ),
    **_units("speed", kmh=1, kph=1, mph=1.609344, mps=3.6, kn=1.852, knots=1.852),
    "km/h": _Unit("speed", 1),
    "m/s": _Unit("speed", 3.6),
    **_units("angle", deg=1, degrees=1, rad=57.29577951308232),
    **_units("memory", mb=1, kb=1e-3, gb=1e3),
    **_units("frequency", hz=1, khz=1e3),
    **_units("picture", px=1, pixels=1),
}
_MEASURE = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-z/]+)")


def unit_of(name: str) -> str:
    """The unit that a setting's name ends with; empty where it has none."""
    ending = _ending(name)
    return UNITS[ending] if ending else ""


def unit_in_value(name: str, text: str) -> str:
    """What to write for `5 min` where the setting is in seconds; empty where the text is no measure."""
    ending, measure = _ending(name), _MEASURE.fullmatch(text.strip())
    if measure is None:
        return ""
    given = _WORDS.get(measure[2].lower())
    if not ending:
        return f"write the number alone: {measure[1]}" if given else ""
    own = _WORDS[ending[1:]]
    if given is None or given.kind != own.kind:
        return f"write a number, in {UNITS[ending]}"
    return f"write the number in {UNITS[ending]}: {_converted(float(measure[1]), given, own)}"


def other_unit(name: str, value: Yaml, known: Collection[str]) -> str:
    """What to write for an unknown setting such as `limit_mph` where there is a `limit_kmh`; empty where there is none."""
    stem, _, word = name.rpartition("_")
    given = _WORDS.get(word.lower())
    if given is None or not stem:
        return ""
    for ending, unit in UNITS.items():
        own = _WORDS[ending[1:]]
        if f"{stem}{ending}" not in known or own.kind != given.kind:
            continue
        number = value.value if isinstance(value, Scalar) else None
        if isinstance(number, int | float) and not isinstance(number, bool):
            return f"write `{stem}{ending}: {_converted(number, given, own)}`, in {unit}"
        return f"write `{stem}{ending}`, in {unit}"
    return ""


def _ending(name: str) -> str:
    return next((ending for ending in sorted(UNITS, key=len, reverse=True) if name.endswith(ending)), "")


def _converted(number: float, given: _Unit, own: _Unit) -> str:
    return f"{round(number * given.factor / own.factor, 2):.10g}"
