"""What `flowrt services status` says of InfluxDB 2 and 3, with doubles that answer as real servers do."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from doubles.influx import Bucket, Request
from doubles.influx_2 import InfluxDB2, influx_2
from doubles.influx_3 import InfluxDB3, influx_3
from servers import free_port

from flowrt.services.influx_buckets import inspect
from flowrt_ops.services.home import Home
from flowrt_ops.services.influx_setup import BUCKETS, ORG, READER, set_up
from flowrt_ops.services.status.addresses import Addresses
from flowrt_ops.services.status.database import database_rows
from flowrt_ops.services.status.rows import Row

TOKEN_3 = "apiv3_of-the-administrator"


@pytest.fixture
def home(new_home: Callable[[int], Home]) -> Home:
    return new_home(2)


@pytest.fixture
def two(home: Home) -> Iterator[tuple[InfluxDB2, Addresses]]:
    """An InfluxDB 2 that was set up, and how to reach it."""
    with influx_2() as database:
        assert not any(step.error for step in set_up(database.url, home))
        yield database, Addresses.of(home, {"INFLUX_URL": database.url})


@pytest.fixture
def three() -> Iterator[tuple[InfluxDB3, Addresses]]:
    """An InfluxDB 3 with both databases."""
    with influx_3(TOKEN_3) as database:
        for name, retention_s in BUCKETS.items():
            database.buckets[name] = Bucket(name=name, retention_s=retention_s)
        nowhere = "http://127.0.0.1:9"
        at = Addresses(
            mqtt="mqtt://127.0.0.1:9", influx=database.url, grafana=nowhere, flowrt=nowhere, influx_token=TOKEN_3,
            read_user=READER, read_password=TOKEN_3,
        )  # fmt: skip
        yield database, at


def rows(at: Addresses) -> tuple[Row, Row]:
    database, data = database_rows(at, 5.0)
    return database, data


def write_health(database: InfluxDB2 | InfluxDB3, token: str) -> None:
    at_us = int(time.time() * 1e6)
    parameters = {"org": ORG, "bucket": "traffic_monitoring", "precision": "us"}
    line = f"system_health,site=main uptime_seconds=1.0 {at_us}".encode()
    request = Request("POST", "/api/v2/write", parameters, {"authorization": f"Token {token}"}, line)
    assert database.answer(request)[0] == 204


def test_an_influxdb_2_that_was_set_up_is_ok_and_says_how_long_it_keeps_points(
    two: tuple[InfluxDB2, Addresses], home: Home
) -> None:
    database, at = two
    write_health(database, home.influx_write_token)
    state, data = rows(at)
    assert (state.verdict, state.version) == ("ok", "v2.9.1")
    assert data.verdict == "ok", data
    assert data.address == "traffic_monitoring (7 days), traffic_analytics (30 days)"


def test_an_influxdb_3_that_wants_its_token_even_for_a_ping_is_not_down(
    three: tuple[InfluxDB3, Addresses],
) -> None:
    database, at = three
    write_health(database, TOKEN_3)
    state, data = rows(at)
    assert (state.verdict, state.version, state.todo) == ("ok", "3.9.6", "")
    assert data.verdict == "ok", data
    assert data.address == "traffic_monitoring (7 days), traffic_analytics (30 days)"


def test_a_wrong_token_of_an_influxdb_3_is_said(three: tuple[InfluxDB3, Addresses]) -> None:
    state, _ = rows(msgspec.structs.replace(three[1], influx_token="guess"))
    assert (state.verdict, state.wrong, state.todo) == (
        "down",
        "the database refuses the token (401)",
        "check the token",
    )


def test_an_influxdb_3_without_a_token_is_not_down_but_can_not_be_written_to(
    three: tuple[InfluxDB3, Addresses],
) -> None:
    state, _ = rows(msgspec.structs.replace(three[1], influx_token=""))
    assert (state.verdict, state.wrong) == ("warning", "no token to write with")


def test_a_missing_bucket_of_influxdb_2_is_said_with_what_is_there(two: tuple[InfluxDB2, Addresses]) -> None:
    database, at = two
    database.buckets["traffic_analytic"] = database.buckets.pop("traffic_analytics")
    database.buckets["traffic_analytic"].name = "traffic_analytic"
    state, _ = rows(at)
    assert (state.verdict, state.wrong) == ("down", "there is no bucket 'traffic_analytics'")
    assert state.todo.startswith("there are traffic_monitoring (7 days), traffic_analytic (30 days); create it with")


def test_a_missing_database_of_influxdb_3_is_said_and_not_made_by_asking(three: tuple[InfluxDB3, Addresses]) -> None:
    database, at = three
    del database.buckets["traffic_analytics"]
    database.buckets["traffic_analitics"] = Bucket(name="traffic_analitics")
    state, _ = rows(at)
    assert (state.verdict, state.wrong) == ("down", "there is no bucket 'traffic_analytics'")
    assert "there are traffic_monitoring (7 days), traffic_analitics; create it with" in state.todo
    assert set(database.buckets) == {"traffic_monitoring", "traffic_analitics"}


def test_the_limit_of_five_databases_is_said(three: tuple[InfluxDB3, Addresses]) -> None:
    database, at = three
    del database.buckets["traffic_analytics"]
    for number in range(4):
        database.buckets[f"d{number}"] = Bucket(name=f"d{number}")
    state, _ = rows(at)
    assert "InfluxDB 3 Core holds at most 5 databases: delete one" in state.todo


def test_a_token_that_may_only_read_is_refused_for_writing(two: tuple[InfluxDB2, Addresses]) -> None:
    database, at = two
    database.tokens["reads"] = {("read", one.id) for one in database.buckets.values()}
    state, _ = rows(msgspec.structs.replace(at, influx_token="reads"))
    assert (state.verdict, state.wrong) == ("down", "the token may not write to 'traffic_monitoring'")


def test_an_organisation_that_is_not_there_is_said(two: tuple[InfluxDB2, Addresses]) -> None:
    database, at = two
    database.org = "another"
    state, _ = rows(at)
    assert (state.verdict, state.wrong) == ("down", f'organization name "{ORG}" not found')


def test_an_error_inside_of_a_200_and_an_empty_answer_are_told_apart(two: tuple[InfluxDB2, Addresses]) -> None:
    database, at = two
    _, data = rows(at)
    assert data.wrong == "nothing has been written yet: dashboards are empty"
    assert "may Grafana's account read the bucket?" in data.todo
    for account in database.accounts.values():
        account["permissions"] = []
    assert rows(at)[1].wrong == data.wrong, "the server answers as if nothing were there"
    del database.buckets["traffic_analytics"]
    assert rows(at)[1].wrong == "there is no bucket 'traffic_analytics'"


def test_a_token_that_may_not_list_buckets_still_tells_which_are_missing(two: tuple[InfluxDB2, Addresses]) -> None:
    database, at = two
    del database.buckets["traffic_analytics"]
    buckets = inspect(at.influx, at.influx_token, ORG, tuple(BUCKETS), timeout_s=5.0)
    assert buckets.missing == ("traffic_analytics",)
    assert buckets.found == ()


def test_the_ports_that_up_used_are_asked(tmp_path: Path) -> None:
    home, port = Home(tmp_path), free_port()
    home.write_environment({"influxdb": port, "mosquitto": 1884})
    at = Addresses.of(home, {})
    assert (at.influx, at.mqtt) == (f"http://127.0.0.1:{port}", "mqtt://127.0.0.1:1884")
    assert at.grafana == "http://127.0.0.1:3000", "it was not started: its usual port"
    assert Addresses.of(home, {"INFLUX_URL": "http://db:8086"}).influx == "http://db:8086"


def test_a_secret_comes_from_a_file_that_a_variable_names(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    at = Addresses.of(Home(tmp_path), {"INFLUX_TOKEN_FILE": str(tmp_path / "token")})
    assert at.influx_token == "from-a-file"


def test_basic_credentials_of_influxdb_3_are_any_user_and_the_token() -> None:
    """What the reader sends is what the recording has: any user, the token as password."""
    login = base64.b64encode(f"{READER}:{TOKEN_3}".encode()).decode()
    with influx_3(TOKEN_3) as database:
        request = Request("POST", "/query", {"q": "SHOW DATABASES"}, {"authorization": f"Basic {login}"}, b"")
        assert database.answer(request)[0] == 200
