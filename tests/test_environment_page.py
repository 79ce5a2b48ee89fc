"""docs/environment.md names every variable that the code reads, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from flowrt.services import FROM_ENVIRONMENT

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"(?:FLOWRT|MQTTS?|INFLUX|GRAFANA)_[A-Z_]+")
ELSEWHERE = {
    "GRAFANA_NEWEST", "MQTT_USERS", "MQTT_ERR_SUCCESS",  # constants
    "GRAFANA_ANONYMOUS", "FLOWRT_UID", "FLOWRT_GID",  # of the compose file, described in the `.env` that is written
}  # fmt: skip


def read_by_code() -> set[str]:
    found = {name for variables in FROM_ENVIRONMENT.values() for name in variables.values()}
    for package in ("flowrt", "nodes", "ops", "sim", "scoring", "web"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                    found.add(node.value)
    for file in [ROOT / "tests" / "harness.py", *(ROOT / "tests" / "container").glob("*.py")]:
        found |= set(re.findall(r'"((?:FLOWRT|MQTTS?)_[A-Z_]+)"', file.read_text("utf-8")))
    return {name.removesuffix("_FILE") for name in found} - ELSEWHERE


def test_the_page_names_what_is_read() -> None:
    page = set(re.findall(rf"`({NAME.pattern})`", (ROOT / "docs" / "environment.md").read_text("utf-8")))
    assert page == read_by_code()
