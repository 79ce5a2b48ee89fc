"""Where the services are, and the credentials for them: from the environment, else from the services' folder, else the usual ports."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flowrt.services.environment import Environment
from flowrt_ops.services.home import Home
from flowrt_ops.services.influx_setup import READER


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the services are. read_user and read_password: of the database's read-only account, as Grafana uses it."""

    mqtt: str
    influx: str
    grafana: str
    flowrt: str
    mqtt_user: str = ""
    mqtt_password: str = ""
    influx_token: str = ""
    influx_admin_token: str = ""
    read_user: str = ""
    read_password: str = ""
    grafana_password: str = ""
    flowrt_token: str = ""

    @classmethod
    def of(cls, home: Home, environment: Mapping[str, str] | None = None) -> Addresses:
        """environment: the process's own by default; what is set there goes before what the services' folder says.

        Raises UnreadableSecret.
        """
        given, written = Environment(environment), home.environment

        def first(name: str, usual: str = "") -> str:
            return given.get(name) or written.get(name) or usual

        ports = home.ports
        return cls(
            mqtt=first("MQTT_URL", f"mqtt://127.0.0.1:{ports['mosquitto']}"),
            influx=first("INFLUX_URL", f"http://127.0.0.1:{ports['influxdb']}"),
            grafana=first("GRAFANA_URL", f"http://127.0.0.1:{ports['grafana']}"),
            flowrt=first("FLOWRT_URL", "http://127.0.0.1:8480"),
            mqtt_user=first("MQTT_USERNAME", "flowrt" if home.initialised else ""),
            mqtt_password=first("MQTT_PASSWORD", home.secret("mqtt_password")),
            influx_token=first("INFLUX_TOKEN", home.influx_write_token),
            influx_admin_token=home.secret("influx_admin_token"),
            read_user=first("INFLUX_READ_USER", READER if home.initialised else ""),
            read_password=first("INFLUX_READ_PASSWORD", home.secret("influx_read_password")),
            grafana_password=first("GRAFANA_PASSWORD", home.secret("grafana_admin_password")),
            flowrt_token=first("FLOWRT_HTTP_TOKEN", home.secret("flowrt_http_token")),
        )
