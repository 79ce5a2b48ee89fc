"""Conformance with Grafana: the rules by which its server reads provisioning files and its pages read dashboards.

Each rule names the source file of Grafana's that it follows. A file that breaks one ends the server at its start, or shows nothing, or shows
something wrong without a word; a dashboard or a rule written by hand is checked like a generated one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from flowrt_ops.checks.dashboard_files import check_dashboard
from flowrt_ops.checks.finding import SOURCES, Finding
from flowrt_ops.checks.provisioning import Files, check_provisioning

VERSIONS = {11: "v11.6.0", 12: "v12.2.0", 13: "v13.0.0"}
"""Major version to the tag that the links lead to."""
_SOURCE = "https://github.com/grafana/grafana/blob/{tag}/{path}"
_FOLDERS = ("alerting", "dashboards", "datasources")

Loader = Callable[[str], Any]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check. files: how many were read."""

    files: int
    lines: tuple[str, ...]


def check(folder: Path, version: int) -> Report:
    """Check a grafana folder, with `dashboards` and `provisioning` in it. version: a key of VERSIONS."""
    findings: list[Finding] = []
    dashboards = _read(sorted((folder / "dashboards").glob("*.json")), json.loads, findings)
    provisioned = {
        name: _read(
            sorted(file for file in (folder / "provisioning" / name).glob("*") if file.suffix in (".yaml", ".yml")),
            yaml.safe_load,
            findings,
        )
        for name in _FOLDERS
    }
    for file, dashboard in dashboards.items():
        findings += (finding.in_file(file) for finding in check_dashboard(dashboard, version))
    read = len(dashboards) + sum(len(files) for files in provisioned.values())
    providers = provisioned.pop("dashboards")
    findings += check_provisioning(Files(dashboards=dashboards, **provisioned), providers)
    lines = [f"{finding.file}: {finding.text} [{finding.rule}: {_link(finding.rule, version)}]" for finding in findings]
    return Report(files=read, lines=tuple(lines))


def _link(rule: str, version: int) -> str:
    return _SOURCE.format(tag=VERSIONS[version], path=SOURCES[rule])


def _read(files: Iterable[Path], loads: Loader, findings: list[Finding]) -> Mapping[str, Any]:
    """The content of each file; one that can't be read is a finding and left out."""
    found: dict[str, Any] = {}
    for file in files:
        try:
            content = loads(file.read_text("utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            findings.append(Finding("readable", f"can't be read: {' '.join(str(error).split())}", str(file)))
            continue
        if isinstance(content, dict):
            found[str(file)] = content
        else:
            findings.append(Finding("readable", "is no mapping of names to values", str(file)))
    return found
