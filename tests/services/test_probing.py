"""`flowrt check --probe`: broker, database and dashboards are asked, and nothing is changed there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from doubles.influx_2 import influx_2
from doubles.influx_3 import influx_3
from raw_server import answering, serving
from servers import certificates, free_port, mosquitto

from flowrt.config import read
from flowrt.diagnostics import Diagnostic
from flowrt_ops.services.home import Home
from flowrt_ops.services.influx_setup import set_up

NODES = """
nodes:
  health: {type: health_probe}
  out: {type: mqtt_out, from: health}
"""


def probed(folder: Path, services: str, **environment: str) -> list[Diagnostic]:
    flow = folder / "flow.yaml"
    flow.write_text(f"flow: probed\n{services}{NODES}")
    return [each for each in read(flow, environment=environment, probe=True)[1] if each.severity == "error"]


def test_fault_20_a_broker_that_is_well_or_away(tmp_path: Path) -> None:
    with mosquitto(tmp_path, users={"flow": "Sesame26"}) as broker:
        assert probed(tmp_path, "", MQTT_URL=broker.url, MQTT_USERNAME="flow", MQTT_PASSWORD="Sesame26") == []
        encoded = broker.url.replace("://", "://flow:Sesame%32%36@")
        assert probed(tmp_path, "", MQTT_URL=encoded) == []
        (wrong,) = probed(tmp_path, "", MQTT_URL=broker.url, MQTT_USERNAME="flow", MQTT_PASSWORD="Sesame27")
        assert "the broker refuses the connection" in wrong.message
        assert wrong.path == "services.mqtt.password"
        assert "Sesame" not in str(wrong)
    url = f"mqtt://127.0.0.1:{free_port()}"
    (away,) = probed(tmp_path, f"services:\n  mqtt:\n    url: {url}\n")
    assert "nothing listens" in away.message
    assert (away.path, away.line) == ("services.mqtt.url", 4)


def test_fault_20_what_is_no_broker_or_database_is_named(tmp_path: Path) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"
    with serving(answering(page)) as url:
        (found,) = probed(tmp_path, "", MQTT_URL=url.replace("http:", "mqtt:"))
        assert "it looks like" in found.message
    with serving(answering(page, page, page, page)) as url:
        (found,) = probed(tmp_path, "services:\n  influx: {token: '${env:T}'}\n", INFLUX_URL=url, T="Sesame26")
        assert found.path.startswith("services.influx.")
        assert "Sesame26" not in str(found)


def test_fault_20_a_client_certificate_is_shown_where_the_broker_wants_one(tmp_path: Path) -> None:
    files = certificates(tmp_path / "tls", "flow")
    lines = f"services:\n  mqtt:\n    ca_file: tls/{files['ca_file'].name}\n"
    with mosquitto(tmp_path, tls=files, require_certificate=True) as broker:
        assert len(probed(tmp_path, lines, MQTT_URL=broker.url)) == 1
        lines += f"    cert_file: {files['flow.crt']}\n    key_file: {files['flow.key']}\n"
        assert probed(tmp_path, lines, MQTT_URL=broker.url) == []


def test_fault_20_buckets_and_token_of_influxdb_2(tmp_path: Path, new_home: Callable[[int], Home]) -> None:
    home = new_home(2)
    with influx_2() as database:
        set_up(database.url, home)
        settings = {"INFLUX_URL": database.url, "INFLUX_TOKEN": home.influx_write_token, "MQTT_URL": ""}
        services = "services:\n  influx: {org: smart-intersection}\n"
        assert probed(tmp_path, services, **settings) == []
        (wrong,) = probed(tmp_path, services, **{**settings, "INFLUX_TOKEN": "planted-Sesame26"})
        assert (wrong.path, wrong.message) == (
            "services.influx.token",
            "the token may not write to 'traffic_monitoring'",
        )
        (none,) = probed(tmp_path, services, INFLUX_URL=database.url)
        assert none.message == "there is no token"
        del database.buckets["traffic_analytics"]
        (missing,) = probed(tmp_path, services, **settings)
        assert missing.path == "services.influx.analytics_bucket"
        assert missing.message == "there is no bucket 'traffic_analytics'"
        assert not any(bucket.points for bucket in database.buckets.values()), "nothing is written"


def test_fault_20_databases_of_influxdb_3_are_not_made_by_asking(tmp_path: Path) -> None:
    with influx_3("planted-Sesame26") as database:
        (missing,) = probed(
            tmp_path, "services:\n  influx: {}\n", INFLUX_URL=database.url, INFLUX_TOKEN="planted-Sesame26"
        )
        assert missing.message == "there is no bucket 'traffic_monitoring'"
        assert database.buckets == {}
        (wrong,) = probed(
            tmp_path, "services:\n  influx: {}\n", INFLUX_URL=database.url, INFLUX_TOKEN="planted-Sesame27"
        )
        assert "token" in wrong.message
        assert "Sesame" not in str(wrong)


def test_a_service_that_no_node_uses_is_not_asked(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text("flow: a\nnodes:\n  tick: {type: timer, every_s: 1}\n  print: {type: debug, from: tick}\n")
    away = {"MQTT_URL": f"mqtt://127.0.0.1:{free_port()}", "INFLUX_URL": f"http://127.0.0.1:{free_port()}"}
    assert [each for each in read(flow, environment=away, probe=True)[1] if each.severity == "error"] == []
