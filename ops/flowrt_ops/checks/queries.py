"""The queries of dashboards: extracted from panels, variables and annotations, parsed, and interpolated.

The input is the JSON that Grafana reads, so that a file edited by hand is checked like a generated one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

Where = Literal["panel", "variable", "annotation", "alert"]

_FROM = re.compile(r'\bFROM\s+"([^"]+)"', re.IGNORECASE)
_NAMED = re.compile(r'\bAS\s+"([^"]+)"', re.IGNORECASE)
_QUOTED = re.compile(r'"([^"]+)"')
_TAG_KEY = re.compile(r'\bWITH\s+KEY\s*=\s*"([^"]+)"', re.IGNORECASE)
_GROUPS = re.compile(r"\bGROUP\s+BY\s+(.+?)(?:\bfill\b|\bORDER\b|\bLIMIT\b|\)\s*WHERE|$)", re.IGNORECASE)
_MATCHED = re.compile(r'"([^"]+)"\s*[=!]~')
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}")


class PlacedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One query and where it is. name: of the panel, variable, annotation or alert."""

    dashboard: str
    where: Where
    name: str
    text: str
    source: str
    table: bool = False
    ref: str = "A"

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.dashboard}, {self.where} '{self.name}'" + (f" {self.ref}" if self.where == "panel" else "")

    @property
    def measurements(self) -> list[str]:
        """What it reads."""
        return list(dict.fromkeys(_FROM.findall(self.text)))

    @property
    def names(self) -> set[str]:
        """Tags and fields that it names."""
        own = {*self.measurements, *_NAMED.findall(self.text)}
        return set(_QUOTED.findall(self.text)) - own

    @property
    def groups(self) -> set[str]:
        """Names that it groups by."""
        return {name for groups in _GROUPS.findall(self.text) for name in _QUOTED.findall(groups)}

    @property
    def tags(self) -> set[str]:
        """Names that have to be tags: grouped by, matched by a pattern, or asked for their values."""
        return (self.groups | set(_MATCHED.findall(self.text)) | set(_TAG_KEY.findall(self.text))) - set(
            _NAMED.findall(self.text)
        )

    @property
    def variables(self) -> set[str]:
        """Names in `${…}`."""
        return {name for name, _ in VARIABLE.findall(self.text)}


def panels_of(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, those in collapsed rows included, rows left out."""
    for panel in dashboard.get("panels", ()):
        if panel.get("type") == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def queries_of(dashboard: Mapping[str, Any]) -> Iterator[PlacedQuery]:
    """Every query of a dashboard."""
    title = str(dashboard.get("title", ""))
    for panel in panels_of(dashboard):
        for target in panel.get("targets", ()):
            yield PlacedQuery(
                dashboard=title,
                where="panel",
                name=str(panel.get("title", "")),
                text=target["query"],
                source=target["datasource"]["uid"],
                table=target.get("resultFormat") == "table",
                ref=target["refId"],
            )
    for variable in dashboard.get("templating", {}).get("list", ()):
        if variable["type"] == "query":
            yield PlacedQuery(
                dashboard=title,
                where="variable",
                name=variable["name"],
                text=variable["query"],
                source=variable["datasource"]["uid"],
                table=True,
            )
    for annotation in dashboard.get("annotations", {}).get("list", ()):
        if not annotation.get("builtIn"):
            yield PlacedQuery(
                dashboard=title,
                where="annotation",
                name=annotation["name"],
                text=annotation["target"]["query"],
                source=annotation["datasource"]["uid"],
                table=True,
            )


def interpolated(text: str, *, from_ms: int, to_ms: int, step: str, chosen: Mapping[str, str] | None = None) -> str:
    """The text as Grafana sends it. chosen: variable to value; what is not chosen is All, which matches everything."""
    values = chosen or {}

    def value(match: re.Match[str]) -> str:
        name, form = match.group(1), match.group(2)
        if name not in values:
            return ".*"
        return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", values[name]) if form == "regex" else values[name]

    text = VARIABLE.sub(value, text)
    return text.replace("$timeFilter", f"time >= {from_ms}ms and time <= {to_ms}ms").replace("$__interval", step)
