"""Reading as Grafana does: every answer that real servers were recorded to give to a query."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from harness import data_file

from flowrt_ops.influx_reader import Reader, Refused

VERSIONS = ("2.9.1", "3.9.6-core")


def queries() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for version in VERSIONS:
        for exchange in json.loads(data_file(f"influxdb/{version}.json").read_text("utf-8")):
            if exchange["request"]["path"].startswith("/query"):
                found.append((version, exchange))
    return found


@contextmanager
def answering(status: int, text: str) -> Iterator[Reader]:
    """A reader of a server that always answers the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield Reader(f"http://127.0.0.1:{server.server_port}", user="grafana", password="of-the-reader")
        server.shutdown()


def test_every_recorded_answer_to_a_query_is_read_or_refused_with_a_reason() -> None:
    for version, exchange in queries():
        answer, what = exchange["answer"], f"{version}: {exchange['what']}"
        first = json.loads(answer["body"]).get("results", [{}])[0]
        with answering(answer["status"], answer["body"]) as reader:
            if answer["status"] == 200 and "error" not in first:
                assert [one.columns for one in reader.query("q", "traffic_monitoring")] == [
                    one["columns"] for one in first.get("series", ())
                ], what
            else:
                with pytest.raises(Refused) as refusal:
                    reader.query("q", "traffic_monitoring")
                assert str(refusal.value), what
                assert "of-the-reader" not in str(refusal.value)


@pytest.mark.parametrize(
    ("version", "what", "said"),
    [
        ("2.9.1", "query, wrong password", "refuses the account (401)"),
        ("3.9.6-core", "query, wrong password", "refuses the account (401)"),
        ("2.9.1", "query, no such database", "there is no bucket 'traffic_monitoring'"),
        ("3.9.6-core", "query, no such database", "there is no bucket 'traffic_monitoring'"),
        ("2.9.1", "query, syntax", "400: failed to parse query"),
        ("3.9.6-core", "query, syntax", "error in InfluxQL statement"),
        ("2.9.1", "query, delete by a reader", "insufficient permissions"),
    ],
)
def test_what_is_said_of_a_refusal(version: str, what: str, said: str) -> None:
    (answer,) = [one["answer"] for own, one in queries() if own == version and one["what"] == what]
    with answering(answer["status"], answer["body"]) as reader, pytest.raises(Refused) as refusal:
        reader.query("q", "traffic_monitoring")
    assert said in str(refusal.value)
