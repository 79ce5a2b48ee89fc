"""YAML documents with the place of every key and value, read so that no input can hurt. Nothing here knows of flows."""

from flowrt.config.yaml.composer import MAX_NODES, compose
from flowrt.config.yaml.reading import MAX_BYTES, parse, read_document, read_text
from flowrt.config.yaml.syntax import MAX_DEPTH
from flowrt.config.yaml.tree import (
    UNKNOWN,
    Mapping,
    Scalar,
    Sequence,
    Unreadable,
    Yaml,
    core_value,
    describe,
    join,
    shorten,
)

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "UNKNOWN",
    "Mapping",
    "Scalar",
    "Sequence",
    "Unreadable",
    "Yaml",
    "compose",
    "core_value",
    "describe",
    "join",
    "parse",
    "read_document",
    "read_text",
    "shorten",
]
