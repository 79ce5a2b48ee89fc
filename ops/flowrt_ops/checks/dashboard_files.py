"""Rules of dashboards as Grafana's pages read them: panel types and their options, transformations, matchers, units, macros, variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flowrt_ops.checks import grafana_names as known
from flowrt_ops.checks.finding import Finding
from flowrt_ops.checks.queries import panels_of, queries_of

_SCHEMA_MOST = {11: 39, 12: 41, 13: 42}
"""Major version to the newest schemaVersion that each of its releases reads."""
_MACROS = ("$timeFilter", "$__interval_ms", "$__interval", "$interval")
_BUILT_IN = re.compile(r"__\w+")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_FORM = re.compile(r"(\w+)(?:\.\w+|\[[^\]]*\])*(?::(\w+))?(?::[^}]*)?")
_DOLLAR = re.compile(r"\$\w+")
_PAGED = ("state-timeline", "status-history")
_PAGE_OF_GRAFANA = 20


def check_dashboard(dashboard: Mapping[str, Any], version: int) -> Iterator[Finding]:
    """What breaks a rule."""
    if "spec" in dashboard or str(dashboard.get("apiVersion", "")).startswith("dashboard.grafana.app"):
        yield Finding(
            "classic-json", "is in the format of version 2, which file provisioning refuses; export it as classic JSON"
        )
        return
    schema = dashboard.get("schemaVersion")
    if not isinstance(schema, int) or schema > _SCHEMA_MOST[version]:
        yield Finding(
            "classic-json",
            f"schemaVersion is {schema}; Grafana {version} migrates up to {_SCHEMA_MOST[version]} and leaves newer ones as they are",
        )
    for panel in panels_of(dashboard):
        place = f"panel '{panel.get('title')}'"
        for finding in _panel(panel):
            yield Finding(finding.rule, f"{place} {finding.text}")
    yield from _queries(dashboard)
    yield from _variables(dashboard)


def _panel(panel: Mapping[str, Any]) -> Iterator[Finding]:
    kind = str(panel.get("type"))
    if kind not in known.OPTIONS:
        yield Finding("panel-type", f"is of type '{kind}'; known: {', '.join(sorted(known.OPTIONS))}")
        return
    options = panel.get("options", {})
    yield from _unknown("panel-options", "option", options, known.OPTIONS[kind].split())
    field = panel.get("fieldConfig", {})
    custom = known.CUSTOM.get(kind, "").split()
    yield from _unknown("panel-options", "field option custom.", field.get("defaults", {}).get("custom", {}), custom)
    yield from _values(field.get("defaults", {}))
    if kind == "stat" and options.get("reduceOptions", {}).get("fields") == "/.*/":
        yield Finding("stat-time", "shows the field Time as a number of its own; write `/^(?!Time$).*/` for `/.*/`")
    if kind in _PAGED and options.get("perPage", _PAGE_OF_GRAFANA) <= _PAGE_OF_GRAFANA:
        yield Finding("rows-per-page", f"turns pages after {_PAGE_OF_GRAFANA} rows; set options.perPage")
    for transformation in panel.get("transformations", ()):
        if transformation.get("id") not in known.TRANSFORMATIONS:
            yield Finding("transformations", f"has an unknown transformation '{transformation.get('id')}'")
    for override in field.get("overrides", ()):
        yield from _override(override, custom)


def _override(override: Mapping[str, Any], custom: list[str]) -> Iterator[Finding]:
    matcher = override.get("matcher", {})
    if matcher.get("id") not in known.MATCHERS:
        yield Finding(
            "matchers", f"has an override by '{matcher.get('id')}'; known: {', '.join(sorted(known.MATCHERS))}"
        )
    values = {item.get("id"): item.get("value") for item in override.get("properties", ())}
    for name in values:
        group, _, rest = str(name).partition(".")
        if not (name in known.PROPERTIES or (group == "custom" and rest.partition(".")[0] in custom)):
            yield Finding("properties", f"overrides '{name}' of '{matcher.get('options')}', which nothing reads")
    yield from _values(values)


def _values(field: Mapping[Any, Any]) -> Iterator[Finding]:
    """The values of field options, of the defaults or of an override."""
    unit = field.get("unit")
    if unit is not None and unit not in known.UNITS and not str(unit).startswith(known.UNIT_FORMS):
        yield Finding(
            "units", f"has the unit '{unit}', which is shown as written; for a word of your own write 'suffix: {unit}'"
        )
    mode = (field.get("color") or {}).get("mode")
    if mode is not None and mode not in known.COLOR_MODES:
        yield Finding("colors", f"has the colour mode '{mode}'; known: {', '.join(sorted(known.COLOR_MODES))}")


def _unknown(rule: str, what: str, given: Mapping[str, Any], names: list[str]) -> Iterator[Finding]:
    for name in given:
        if name not in names:
            yield Finding(rule, f"has an unknown {what} '{name}'; known: {', '.join(sorted(names)) or 'none'}")


def _queries(dashboard: Mapping[str, Any]) -> Iterator[Finding]:
    for query in queries_of(dashboard):
        rest = query.text
        for macro in _MACROS:
            rest = rest.replace(macro, "")
        for word in _DOLLAR.findall(rest):
            yield Finding(
                "macros", f"{query.place} has '{word}'; InfluxQL knows {', '.join(_MACROS)}, and variables as ${{name}}"
            )


def _variables(dashboard: Mapping[str, Any]) -> Iterator[Finding]:
    defined = {variable.get("name") for variable in dashboard.get("templating", {}).get("list", ())}
    text = json.dumps(dashboard, ensure_ascii=False)
    for inside in sorted(set(_VARIABLE.findall(text))):
        form = _FORM.fullmatch(inside.replace('\\"', '"'))
        if form is None:
            yield Finding("variables", f"${{{inside}}} is no variable; write ${{name}} or ${{name:format}}")
            continue
        name, style = form.groups()
        if name not in defined and not _BUILT_IN.fullmatch(name):
            yield Finding("variables", f"variable '{name}' is used and not defined")
        if style is not None and style not in known.VARIABLE_FORMATS:
            yield Finding("variables", f"${{{inside}}} has an unknown format '{style}'")
    for name in sorted(set(re.findall(r"\[\[(\w+)", text)) & {str(one) for one in defined}):
        yield Finding("variables", f"[[{name}]] is the form of long ago; write ${{{name}}}")


__all__ = ["check_dashboard"]
