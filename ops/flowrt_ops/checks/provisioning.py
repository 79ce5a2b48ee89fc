"""Rules of Grafana's provisioning files: alert rules, contact points, policies, templates, data sources, and dashboard providers.

Which values are expanded differs: `$NAME` and `$$` are read in labels, in contact points' settings and in data sources; annotations, queries and
notification templates are taken as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from flowrt_ops.checks.finding import Finding
from flowrt_ops.checks.queries import panels_of

_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
_DURATION = re.compile(r"0|(?:\d+(?:ms|[ywdhms]))+")
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_DOLLAR = re.compile(r"\$\{?(\w+)")
_GIVEN = {"labels", "values", "value"}
"""Variables that Grafana defines in the templates of annotations and labels."""
_NO_DATA = ("Alerting", "NoData", "OK", "KeepLast")
_ERROR = ("Alerting", "Error", "OK", "KeepLast")
_SETTINGS = {"webhook": "url", "email": "addresses"}
"""Kind of receiver to the setting that it can't do without."""
_OPERATORS = ("=", "!=", "=~", "!~")
_DEFAULT_TEMPLATES = re.compile(r"default\.\w+|__\w+|email\.\w+|teams\.\w+")


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, by file."""

    dashboards: Mapping[str, Any]
    alerting: Mapping[str, Any]
    datasources: Mapping[str, Any]

    def all(self, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """File and entry of each list of this name in the alerting files: `groups`, `contactPoints`, `policies`, …"""
        for file, content in self.alerting.items():
            for entry in content.get(key) or ():
                yield file, entry


def check_provisioning(files: Files, providers: Mapping[str, Any]) -> Iterator[Finding]:
    """What breaks a rule, in any of the files. providers: the files that say where the dashboards lie."""
    yield from _rules(files)
    yield from _folders(files, providers)
    yield from _uids(files)
    yield from _contact_points(files)
    yield from _policies(files)
    yield from _templates(files)
    yield from _datasources(files)
    yield from _providers(providers)


# -- alert rules ------------------------------------------------------------------------------------------------------


def _rules(files: Files) -> Iterator[Finding]:
    seen: Counter[tuple[str, str]] = Counter()
    for file, group in files.all("groups"):
        if not _DURATION.fullmatch(str(group.get("interval", ""))):
            yield Finding(
                "rule-durations", f"group '{group.get('name')}': interval '{group.get('interval')}' is no time", file
            )
        for rule in group.get("rules") or ():
            title = str(rule.get("title"))
            seen[str(group.get("folder")), title] += 1
            if seen[str(group.get("folder")), title] == 2:
                yield Finding("rule-unique", f"two rules of a folder are called '{title}'", file)
            for finding in _rule(rule, files.dashboards):
                yield Finding(finding.rule, f"rule '{title}': {finding.text}", file)


def _rule(rule: Mapping[str, Any], dashboards: Mapping[str, Any]) -> Iterator[Finding]:
    annotations = rule.get("annotations") or {}
    yield from _panel_of(annotations, dashboards)
    for name, text in annotations.items():
        yield from _raw_template("annotations-raw", f"annotation {name}", str(text))
    for name, text in (rule.get("labels") or {}).items():
        for variable in _DOLLAR.findall(str(text).replace("$$", "")):
            yield Finding(
                "labels-expanded",
                f"label {name}: ${variable} is read from the environment; write $${variable} for a template's variable",
            )
    for key, states in (("noDataState", _NO_DATA), ("execErrState", _ERROR)):
        if key in rule and rule[key] not in states:
            yield Finding("rule-states", f"{key} is '{rule[key]}'; known: {', '.join(states)}")
    for key in ("for", "keepFiringFor"):
        if key in rule and not _DURATION.fullmatch(str(rule[key])):
            yield Finding("rule-durations", f"{key} '{rule[key]}' is no time; write it as 30s, 5m or 1h30m")
    yield from _steps(rule)


def _panel_of(annotations: Mapping[str, Any], dashboards: Mapping[str, Any]) -> Iterator[Finding]:
    uid, panel = annotations.get("__dashboardUid__"), annotations.get("__panelId__")
    if bool(uid) != bool(panel):
        there, missing = ("__dashboardUid__", "__panelId__") if uid else ("__panelId__", "__dashboardUid__")
        yield Finding(
            "annotation-pair", f"{there} stands without {missing}, and Grafana does not start; give both or neither"
        )
        return
    if not uid:
        return
    if not isinstance(panel, str) or not panel.isdigit():
        yield Finding("annotation-pair", f"__panelId__ is {panel!r}; write the panel's number as a text: '7'")
        return
    known = {one.get("uid"): {str(p.get("id")) for p in panels_of(one)} for one in dashboards.values()}
    if uid not in known:
        yield Finding("annotation-pair", f"there is no dashboard '{uid}'")
    elif panel not in known[uid]:
        yield Finding("annotation-pair", f"dashboard '{uid}' has no panel {panel}")


def _raw_template(rule: str, place: str, text: str) -> Iterator[Finding]:
    """A template that is taken as it is: `$` only before variables, only within `{{ }}`."""
    if "$$" in text:
        yield Finding(
            rule, f"{place}: '$$' ends in \"bad character U+0024\"; annotations are not expanded, write a single $"
        )
        return
    for variable in _DOLLAR.findall(_ACTION.sub("", text)):
        yield Finding(
            rule, f"{place}: ${variable} stays as it is written; annotations know no environment, write its value"
        )
    for action in _ACTION.findall(text):
        given = (
            _GIVEN
            | set(re.findall(r"\$(\w+)\s*(?:,\s*\$\w+\s*)?:=", text))
            | set(re.findall(r",\s*\$(\w+)\s*:=", text))
        )
        for variable in _DOLLAR.findall(action):
            if variable not in given:
                yield Finding(rule, f"{place}: ${variable} is not defined; Grafana defines $labels, $values and $value")


def _steps(rule: Mapping[str, Any]) -> Iterator[Finding]:
    data = rule.get("data") or ()
    refs = [step.get("refId") for step in data]
    if not data:
        yield Finding("rule-steps", "has no data")
    elif rule.get("condition") not in refs:
        yield Finding("rule-steps", f"condition is '{rule.get('condition')}', which is no refId of its data")
    for step in data:
        model = step.get("model") or {}
        if "expression" in model and model["expression"] not in refs and "$" not in str(model["expression"]):
            yield Finding(
                "rule-steps", f"{step.get('refId')} reads '{model['expression']}', which is no refId of its data"
            )
        if "$$" in str(model.get("query", "")):
            yield Finding(
                "rule-query-raw", f"{step.get('refId')}: a query is taken as it is; write $timeFilter with one $"
            )


# -- folders and uids -------------------------------------------------------------------------------------------------


def _folders(files: Files, providers: Mapping[str, Any]) -> Iterator[Finding]:
    titles = {str(group.get("folder")) for _, group in files.all("groups")}
    for file, content in providers.items():
        for provider in content.get("providers") or ():
            if provider.get("folderUid") and provider.get("folder") in titles:
                yield Finding(
                    "one-folder",
                    f"folder '{provider['folder']}' has a folderUid, and alert rules make one of the same title with another uid: "
                    "leave folderUid out",
                    file,
                )


def _uids(files: Files) -> Iterator[Finding]:
    groups = {
        "dashboards": [(file, one.get("uid")) for file, one in files.dashboards.items()],
        "rules": [(file, rule.get("uid")) for file, group in files.all("groups") for rule in group.get("rules") or ()],
        "receivers": [
            (file, receiver.get("uid"))
            for file, point in files.all("contactPoints")
            for receiver in point.get("receivers") or ()
        ],
        "data sources": [
            (file, one.get("uid"))
            for file, content in files.datasources.items()
            for one in content.get("datasources") or ()
        ],
    }
    for what, uids in groups.items():
        counted = Counter(uid for _, uid in uids)
        for file, uid in uids:
            if not isinstance(uid, str) or not _UID.fullmatch(uid):
                yield Finding("uids", f"uid {uid!r} is none: up to 40 letters, digits, - and _", file)
            elif counted[uid] > 1:
                yield Finding("uids", f"{counted[uid]} {what} have the uid '{uid}'", file)


# -- notifications ----------------------------------------------------------------------------------------------------


def _contact_points(files: Files) -> Iterator[Finding]:
    for file, point in files.all("contactPoints"):
        for receiver in point.get("receivers") or ():
            place = f"contact point '{point.get('name')}', {receiver.get('type')}"
            settings = receiver.get("settings") or {}
            needed = _SETTINGS.get(str(receiver.get("type")))
            if not settings or (needed and not settings.get(needed)):
                yield Finding("contact-points", f"{place}: has no {needed or 'settings'}", file)
            for name, text in settings.items():
                for action in _ACTION.findall(str(text)):
                    if _DOLLAR.search(action.replace("$$", "")):
                        yield Finding("contact-points", f"{place}: {name} is expanded; write $$ in {action}", file)


def _policies(files: Files) -> Iterator[Finding]:
    receivers = {point.get("name") for _, point in files.all("contactPoints")}
    times = {one.get("name") for _, one in files.all("muteTimes")}
    for file, policy in files.all("policies"):
        for route in _routes(policy):
            if "receiver" in route and route["receiver"] not in receivers:
                yield Finding("policies", f"receiver '{route['receiver']}' is no contact point", file)
            for name in route.get("mute_time_intervals") or ():
                if name not in times:
                    yield Finding("policies", f"mute time '{name}' is not defined", file)
            for matcher in route.get("object_matchers") or ():
                if len(matcher) != 3 or matcher[1] not in _OPERATORS:
                    yield Finding(
                        "policies", f"matcher {matcher} is not [label, operator, value]; operators: {_OPERATORS}", file
                    )
        if not policy.get("receiver"):
            yield Finding("policies", "the root policy has no receiver", file)


def _routes(policy: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    yield policy
    for route in policy.get("routes") or ():
        yield from _routes(route)


def _templates(files: Files) -> Iterator[Finding]:
    defined: set[str] = set()
    for file, template in files.all("templates"):
        text = str(template.get("template", ""))
        defined |= set(re.findall(r'\{\{-?\s*define\s+"([^"]+)"', text))
        if text.count("{{") != text.count("}}"):
            yield Finding("templates", f"template '{template.get('name')}': {{{{ and }}}} are not as many", file)
        words = [action.strip("{}- \n").partition(" ")[0] for action in _ACTION.findall(text)]
        opened = sum(word in ("define", "range", "if", "with", "block") for word in words)
        if opened != words.count("end"):
            yield Finding(
                "templates",
                f"template '{template.get('name')}': {opened} blocks are opened, {words.count('end')} closed",
                file,
            )
        if "$$" in text:
            yield Finding("templates", f"template '{template.get('name')}': is taken as it is; write a single $", file)
    for file, point in files.all("contactPoints"):
        for name in sorted(set(re.findall(r'template\s+"([^"]+)"', str(point.get("receivers"))))):
            if name not in defined and not _DEFAULT_TEMPLATES.fullmatch(name):
                yield Finding(
                    "templates",
                    f"contact point '{point.get('name')}' uses the template '{name}', which is not defined",
                    file,
                )


# -- data sources and providers ---------------------------------------------------------------------------------------


def _datasources(files: Files) -> Iterator[Finding]:
    known = set()
    for file, content in files.datasources.items():
        for source in content.get("datasources") or ():
            known.add(source.get("uid"))
            place = f"data source '{source.get('name')}'"
            if "database" in source:
                yield Finding("datasources", f"{place}: `database` is no longer read; write jsonData.dbName", file)
            for name, text in (source.get("secureJsonData") or {}).items():
                if not str(text).startswith(("$__file{", "$__env{", "${", "$")):
                    yield Finding(
                        "datasources", f"{place}: {name} stands in the file; write $__file{{/run/secrets/NAME}}", file
                    )
            if source.get("type") == "influxdb" and not (source.get("jsonData") or {}).get("dbName"):
                yield Finding("datasources", f"{place}: has no jsonData.dbName, which InfluxQL needs", file)
    if not files.datasources:  # a folder of dashboards alone; they are provisioned elsewhere
        return
    uses = {
        (file, str(one.get("datasource", {}).get("uid")))
        for file, dashboard in files.dashboards.items()
        for panel in panels_of(dashboard)
        for one in (panel, *panel.get("targets", ()))
        if isinstance(one.get("datasource"), dict)
    }
    uses |= {
        (file, str(step.get("datasourceUid")))
        for file, group in files.all("groups")
        for rule in group.get("rules") or ()
        for step in rule.get("data") or ()
    }
    for file, uid in sorted(uses):
        if uid not in known and uid not in ("__expr__", "-- Grafana --") and not uid.startswith("$"):
            yield Finding("known-datasource", f"data source '{uid}' is not provisioned", file)


def _providers(providers: Mapping[str, Any]) -> Iterator[Finding]:
    for file, content in providers.items():
        if content.get("apiVersion") != 1:
            yield Finding("providers", f"apiVersion is {content.get('apiVersion')}, not 1", file)
        for provider in content.get("providers") or ():
            if provider.get("type", "file") != "file" or not (provider.get("options") or {}).get("path"):
                yield Finding(
                    "providers",
                    f"provider '{provider.get('name')}' has no options.path, or a type other than file",
                    file,
                )
