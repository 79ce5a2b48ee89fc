"""The set-up of an InfluxDB without Docker, against doubles that answer as real servers do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from doubles.influx import Bucket
from doubles.influx_2 import InfluxDB2, influx_2
from doubles.influx_3 import influx_3
from raw_server import answering, serving
from servers import free_port

from flowrt_ops.influx_reader import Reader
from flowrt_ops.services.home import Home
from flowrt_ops.services.influx_setup import BUCKETS, Step, set_up, set_up_3
from flowrt_ops.services.secrets import initialise

STEPS_2 = [
    "organisation smart-intersection", "bucket traffic_monitoring", "bucket traffic_analytics", "write token",
    "read-only account",
]  # fmt: skip


@pytest.fixture
def home(new_home: Callable[[int], Home]) -> Home:
    """For InfluxDB 2, before the first set-up."""
    return new_home(2)


def changed(steps: list[Step]) -> list[str]:
    assert [step.error for step in steps if step.error] == []
    return [step.name for step in steps if step.changed]


def may_write(database: InfluxDB2, home: Home) -> bool:
    rights = database.tokens.get(home.influx_write_token, set())
    return rights == {("write", database.buckets[name].id) for name in BUCKETS}


def reads(database: InfluxDB2, home: Home) -> bool:
    """Whether Grafana's account gets answers about both buckets."""
    reader = Reader(database.url, user="grafana", password=home.secret("influx_read_password"))
    names = [row[0] for series in reader.query("SHOW DATABASES", "") for row in series.values]
    return names == sorted(BUCKETS)


def test_a_fresh_influxdb_2_gets_buckets_writer_and_reader_and_the_second_time_nothing(home: Home) -> None:
    with influx_2() as database:
        steps = set_up(database.url, home)
        assert [step.name for step in steps] == STEPS_2
        assert changed(steps) == [name for name in STEPS_2 if name != "bucket traffic_monitoring"]
        keeps = {name: database.buckets[name].retention_s for name in BUCKETS}
        assert keeps == {"traffic_monitoring": 7 * 86_400, "traffic_analytics": 30 * 86_400}
        assert may_write(database, home)
        assert home.write_token.stat().st_mode & 0o777 == 0o600
        assert reads(database, home)
        assert changed(set_up(database.url, home)) == []


def test_what_is_missing_is_added_to_a_database_that_runs_already(home: Home) -> None:
    with influx_2() as database:
        set_up(database.url, home)
        database.accounts.clear()
        assert changed(set_up(database.url, home)) == ["read-only account"]
        assert reads(database, home)
        database.tokens.pop(home.influx_write_token)
        assert changed(set_up(database.url, home)) == ["write token"], "a token that the database does not know"
        assert may_write(database, home)


def test_a_set_up_that_was_interrupted_before_the_password_is_completed(home: Home) -> None:
    with influx_2() as database:
        set_up(database.url, home)
        database.passwords.clear()
        assert changed(set_up(database.url, home)) == ["read-only account"]
        assert reads(database, home)


def test_a_bucket_made_again_is_writable_and_readable_again(home: Home) -> None:
    with influx_2() as database:
        set_up(database.url, home)
        del database.buckets["traffic_analytics"]
        steps = changed(set_up(database.url, home))
        assert steps == ["bucket traffic_analytics", "write token", "read-only account"]
        assert may_write(database, home)
        assert reads(database, home)
        assert len(database.accounts) == 1


def test_another_administrator_is_said_and_nothing_else_is_tried(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path)
    initialise(other)
    with influx_2() as database:
        set_up(database.url, home)
        (step,) = set_up(database.url, other)
        assert "it was set up before, with another one" in step.error
        assert "INFLUX_TOKEN" in step.error
        assert other.secret("influx_admin_token") not in step.error


def test_a_failed_writer_does_not_keep_the_reader_from_being_made(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = InfluxDB2.answer
    with influx_2() as database:
        refused = (500, {"code": "internal error", "message": "no token today"})
        monkeypatch.setattr(
            InfluxDB2,
            "answer",
            lambda double, request: refused if request.path == "/api/v2/authorizations" else answer(double, request),
        )
        steps = {step.name: step for step in set_up(database.url, home)}
        assert "500: no token today" in steps["write token"].error
        assert steps["read-only account"].changed
        assert reads(database, home)


def test_a_password_that_the_database_refuses_is_said(home: Home) -> None:
    (home.secrets / "influx_read_password").write_text("short\n")
    with influx_2() as database:
        last = set_up(database.url, home)[-1]
    assert last.name == "read-only account"
    assert "passwords must be between 8 and 72 characters long" in last.error


def test_a_database_that_does_not_answer_is_said(home: Home) -> None:
    (step,) = set_up(f"http://127.0.0.1:{free_port()}", home)
    assert "Connection refused" in step.error


# -- version 3 ------------------------------------------------------------------------------------------------------------


def test_influxdb_3_gets_its_databases_and_the_second_time_nothing(new_home: Callable[[int], Home]) -> None:
    home = new_home(3)
    with influx_3(home.influx3_token) as database:
        steps = ["database traffic_monitoring", "database traffic_analytics", "write token"]
        assert changed(set_up_3(database.url, home)) == steps
        assert {name: one.retention_s for name, one in database.buckets.items()} == BUCKETS
        assert home.influx_write_token == home.influx3_token
        assert changed(set_up_3(database.url, home)) == []


def test_the_limit_of_databases_and_a_wrong_token_of_version_3_are_said(new_home: Callable[[int], Home]) -> None:
    home = new_home(3)
    with influx_3(home.influx3_token) as database:
        for number in range(4):
            database.buckets[f"other{number}"] = Bucket(name=f"other{number}")
        steps = set_up_3(database.url, home)
    assert [bool(step.error) for step in steps] == [False, True, False]
    assert "keeps at most 5 databases" in steps[1].error
    with influx_3("another") as database:
        first = set_up_3(database.url, home)[0]
    assert "does not know our administrator's token (401)" in first.error


def test_fault_14_what_the_database_echoes_is_masked_before_it_is_cut(home: Home) -> None:
    token = home.secret("influx_admin_token")
    body = b"x" * (300 - len(token) // 2) + token.encode() + b" and more " * 50
    answer = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with serving(answering(answer)) as url:
        (step,) = set_up(url, home)
    assert "500" in step.error
    assert not any(token[i : i + 6] in step.error for i in range(len(token) - 5))
    assert "***" in step.error
