"""The doubles of InfluxDB 2 and 3 answer what real servers answer: recorded exchanges are sent to them again, in order."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import re
import urllib.parse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from doubles.influx import Double
from doubles.influx_2 import influx_2
from doubles.influx_3 import influx_3
from harness import data_file
from servers import influx, victoria

IDS_2 = {
    "org": ["ORG_ID"],
    "bucket": ["BUCKET_ID", "BUCKET_2_ID"],
    "token": ["WRITE_TOKEN", "READ_TOKEN"],
    "authorization": ["WRITE_ID", "READ_ID"],
    "account": ["V1_ID"],
}
QUERIES_OF_DATA = {"query", "query, grouped"}
"""Left out: the doubles have no query engine. Dashboards' queries run against a real one in test_queries.py."""
ENDLESS = {"write, 60 MB"}
"""Left out: points of the year 1970, 60 MB of them; what the server says of one is in `write, older than the retention`."""


def recorded(name: str) -> list[dict[str, Any]]:
    exchanges: list[dict[str, Any]] = json.loads(data_file(f"influxdb/{name}.json").read_text("utf-8"))
    return exchanges


def at_s(exchanges: list[dict[str, Any]]) -> float:
    """The time of the recording: that of the first point."""
    return next(
        int(found[1]) / 1e6 for one in exchanges if (found := re.search(r" (\d{16})\b", str(one["request"]["body"])))
    )


def send(double: Double, request: dict[str, Any]) -> tuple[int, dict[str, str], str]:
    body, headers = request["body"], dict(request["headers"])
    if login := {"BASIC_OF_TOKEN": "grafana:READ_TOKEN", "BASIC_ANY_AND_TOKEN": "any:ADMIN_TOKEN", "BASIC_NOBODY_AND_TOKEN": ":ADMIN_TOKEN"}.get(
        headers.get("Authorization", "").removeprefix("Basic ")
    ):  # fmt: skip
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    if isinstance(body, dict):
        form = headers.get("Content-Type") == "application/x-www-form-urlencoded"
        body = urllib.parse.urlencode(body) if form else json.dumps(body)
    if found := re.fullmatch(r"<(\d+) bytes>", str(body)):
        size = int(found[1])
        # A short one stood for a gzip body: 82 bytes whole, 6 bytes broken.
        at_us = int(double.now_s() * 1e6)
        whole = gzip.compress(f"violation,site=main,rule=u_turn speed_kmh=9.0 {at_us}".encode())
        body = b"m f=1 1\n" * (size // 8) if size > 1000 else whole if size > 20 else whole[:size]
    connection = http.client.HTTPConnection(double.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(request["method"], request["path"], body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, text
    finally:
        connection.close()


def assert_same(own: Any, real: Any, path: str = "") -> None:
    """The double says nothing that the server does not: its values are the server's, though it may leave some out.

    Times differ, and with them the ids of the server's own buckets.
    """
    numbers = isinstance(own, int | float) and isinstance(real, int | float)  # 1.0 is written as 1
    assert numbers or type(own) is type(real), f"{path}: {own!r} instead of {real!r}"
    if isinstance(own, dict):
        for key, value in own.items():
            assert key in real, f"{path}.{key}: the server has no such key"
            assert_same(value, real[key], f"{path}.{key}")
        if {"code", "error"} & set(real):
            assert set(own) == set(real), path
    elif isinstance(own, list):
        assert len(own) == len(real), f"{path}: {own} instead of {real}"
        for i, (one, other) in enumerate(zip(own, real, strict=True)):
            assert_same(one, other, f"{path}[{i}]")
    elif not (path.endswith(".id") and re.fullmatch(r"[0-9a-f]{16}", str(real))):
        assert own == real, f"{path}: {own!r} instead of {real!r}"


def without_times(text: str) -> str:
    """An answer without the moments in it, which are the server's own."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def compare(exchange: dict[str, Any], double: Double) -> None:
    answer = exchange["answer"]
    status, headers, text = send(double, exchange["request"])
    what = exchange["what"]
    assert status == answer["status"], f"{what}: {status} {text}, the server: {answer['status']} {answer['body']}"
    real = {name.lower(): value for name, value in answer["headers"].items()}
    if "x-influxdb-version" in real:
        assert headers["x-influxdb-version"] == real["x-influxdb-version"], what
    try:
        own_json, real_json = json.loads(without_times(text)), json.loads(without_times(answer["body"]))
    except json.JSONDecodeError:
        assert text == answer["body"], what
    else:
        assert_same(own_json, real_json)


def test_the_double_of_influxdb_2_answers_as_recorded() -> None:
    exchanges = recorded("2.9.1")
    with influx_2(now_s=lambda: at_s(exchanges), version="dev", ids=IDS_2) as double:
        for exchange in exchanges:
            if exchange["what"] not in QUERIES_OF_DATA | ENDLESS:
                compare(exchange, double)


def test_the_double_of_influxdb_3_answers_as_recorded() -> None:
    exchanges = recorded("3.9.6-core")
    with influx_3("ADMIN_TOKEN", now_s=lambda: at_s(exchanges)) as double:
        for exchange in exchanges:
            if exchange["what"] not in QUERIES_OF_DATA:
                compare(exchange, double)


@pytest.mark.parametrize("name", ["2.9.1", "3.9.6-core"])
def test_what_is_left_out_is_in_the_recording(name: str) -> None:
    assert {exchange["what"] for exchange in recorded(name)} >= QUERIES_OF_DATA


# -- real servers that stand in for InfluxDB 2 ----------------------------------------------------------------------------

NO_TOKENS = {
    "write before set-up", "write, wrong token", "write, no token", "write, token that may only read",
    "query before it has a password", "query, wrong password", "query, unknown user",
}  # fmt: skip
DIFFERENT = {
    influx: NO_TOKENS
    | {"write, no such organisation", "write, no organisation", "write, precision unknown"}  # it knows none of them
    | {"write, gzip broken", "write, type of a field changes", "write, one of two changes the type"}  # 400 there
    | {"write, older than the retention", "write, one of two older than the retention"},  # its databases keep for ever
    victoria: NO_TOKENS
    | {"write, no such organisation", "write, no organisation", "write, precision unknown", "write, no such bucket"}
    | {"write, gzip broken", "write, unreadable line", "write, one of two lines unreadable", "write, NaN"}
    | {"write, an integer beyond 64 bits", "write, a time out of range", "query, syntax"}
    | {"write, type of a field changes", "write, one of two changes the type"}
    | {"write, older than the retention", "write, one of two older than the retention"},
}
"""What they answer with another status than InfluxDB 2: no test of refusals may rely on them."""


@pytest.mark.parametrize("server", [influx, victoria], ids=["influx 1.6", "victoria-metrics"])
def test_the_real_servers_in_the_place_of_influxdb_2_differ_only_where_it_is_known(
    server: Callable[[Path], AbstractContextManager[Any]], tmp_path: Path
) -> None:
    exchanges = recorded("2.9.1")
    with server(tmp_path) as running:
        double = Double(lambda: at_s(exchanges))
        double.url = running.url
        different = set()
        for exchange in exchanges:
            if exchange["what"] in ENDLESS or not exchange["request"]["path"].startswith(("/api/v2/write", "/query")):
                continue
            if send(double, exchange["request"])[0] != exchange["answer"]["status"]:
                different.add(exchange["what"])
    assert different == DIFFERENT[server]
