"""Values of settings: YAML nodes read as the types of a struct's fields."""

from flowrt.config.values.reader import Reference, SettingsReader
from flowrt.config.values.scalars import INVALID
from flowrt.config.values.units import unit_of
from flowrt.config.values.words import expected, unwrap

__all__ = ["INVALID", "Reference", "SettingsReader", "expected", "unit_of", "unwrap"]
