"""Kinds of arguments that several commands have."""

from __future__ import annotations

import argparse
import math


def seconds(text: str) -> float:
    """A length of time above 0. Raises ArgumentTypeError, as argparse wants it."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:  # neither NaN
        raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text}")
    return value


def port(text: str) -> int:
    """A port. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 65_536:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, found {text}")
    return int(text)
