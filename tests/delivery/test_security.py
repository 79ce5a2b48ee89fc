"""Secrets stay where they belong: not in journals, logs, states or messages of errors."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from flowrt.services import Influx, Mqtt
from flowrt_nodes.influx.influx_out import InfluxOut
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.outside import eventually
from tests.delivery.scripted_http import Answer, scripted
from tests.delivery.world import violation, world
from tests.servers import free_port, mosquitto

SECRETS = ("planted-password", "planted-token", "planted-in-url")


def test_no_secret_leaves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with mosquitto(tmp_path, users={"flow": "other"}) as broker, scripted(refuse) as server:
        services = {
            "refused": Mqtt(url=broker.url, username="flow", password="planted-password"),
            "in_url": Mqtt(url=f"mqtt://flow:planted-in-url@localhost:{broker.port}"),
            "nowhere": Mqtt(url=f"mqtt://localhost:{free_port()}", username="a", password="planted-password"),
        }
        for name in services:
            with world(MqttOut(service=name), tmp_path / name, services, journal=tmp_path / f"{name}.journal") as w:
                w.send(violation(1))
                eventually(lambda w=w: w.statistics.last_error)  # type: ignore[misc]
                said += [str(w.statistics), str(w.node.status())]
        databases = {"influx": Influx(url=server.url, token="planted-token")}
        with world(InfluxOut(flush_s=0.0), tmp_path / "i", databases, journal=tmp_path / "i.journal") as w:
            w.send(violation(1))
            eventually(lambda: w.statistics.last_error)
            said += [str(w.statistics), str(w.node.status())]
        assert any("Token planted-token" in str(headers) for _, headers in server.requests), "the token is used"
    said.append(caplog.text)
    kept = [file.read_bytes() for file in tmp_path.glob("*.journal*")]
    assert len(kept) >= 4
    for secret in SECRETS:
        assert not [text for text in said if secret in text]
        assert not [data for data in kept if secret.encode() in data]


def refuse(lines: list[bytes]) -> Answer:
    return 401, {}, b'{"code": "unauthorized", "message": "unauthorized access"}'
