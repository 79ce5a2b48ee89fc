"""The folder with the services' files: secrets, data, generated configuration, and `flowrt.env` for `flowrt run --services`.

In a checkout that is `docker/`, which compose reads too; elsewhere `.flowrt/services` below the current folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from flowrt.services.environment import SERVICES_FILE, read_services_file, services_folder
from flowrt.system.resources import share

SECRETS = (
    "mqtt_password",
    "mqtt_reader_password",
    "mqtt_signals_password",
    "influx_admin_password",
    "influx_admin_token",
    "influx_read_password",
    "grafana_admin_password",
    "flowrt_http_token",
)
SMTP_PASSWORD = "smtp_password"
"""The one secret that is not generated: empty until its owner writes it."""
MQTT_USERS = {
    "flowrt": "mqtt_password",
    "reader": "mqtt_reader_password",
    "grafana": "mqtt_reader_password",
    "signals": "mqtt_signals_password",
}
"""User of the broker to the secret that is the password; their rights are in docker/mosquitto/acl."""
_TOKEN = re.compile(r'"token": *"([^"]+)"')
"""In files of InfluxDB 3, which are JSON."""
DATA = ("mosquitto", "influxdb", "influxdb-config", "influxdb3", "grafana", "flowrt", "tokens")


class Home(msgspec.Struct, frozen=True):
    """A folder with the services' files in it."""

    folder: Path

    @classmethod
    def of(cls, folder: Path | None) -> Home:
        """The named folder, or the usual one."""
        return cls(services_folder(folder))

    @property
    def secrets(self) -> Path:
        """Passwords, tokens, certificates: 0700, each file 0600."""
        return self.folder / "secrets"

    @property
    def data(self) -> Path:
        """What the services store."""
        return self.folder / "data"

    @property
    def native(self) -> Path:
        """Generated configuration, logs and process ids of services that run without Docker."""
        return self.folder / "data" / "native"

    def secret(self, name: str) -> str:
        """A secret's value; empty where there is none yet."""
        file = self.secrets / name
        return file.read_text("utf-8").strip() if file.exists() else ""

    def secret_values(self) -> set[str]:
        """Every secret that is there, to be masked in what services answer."""
        files = [
            file for folder in (self.secrets, self.write_token.parent) if folder.is_dir() for file in folder.iterdir()
        ]
        texts = {
            file.read_text("utf-8", "replace").strip() for file in files if file.is_file() and not file.is_symlink()
        }
        tokens = {found for text in texts for found in _TOKEN.findall(text)}
        return {text for text in texts | tokens if text and len(text) < 1000}

    @property
    def write_token(self) -> Path:
        """The file with the token that flowrt writes to the database with."""
        return self.data / "tokens" / "influx_write_token"

    @property
    def influx_write_token(self) -> str:
        """That token; empty until the database was set up."""
        return self.write_token.read_text("utf-8").strip() if self.write_token.exists() else ""

    @property
    def influx_version(self) -> int:
        """2 or 3, as `flowrt services init` chose."""
        env = self.folder / ".env"
        return 3 if env.exists() and "influx3" in env.read_text("utf-8") else 2

    @property
    def ports(self) -> dict[str, int]:
        """The services' usual ports."""
        return {"mosquitto": 1883, "influxdb": 8181 if self.influx_version == 3 else 8086, "grafana": 3000}

    @property
    def influx3_token(self) -> str:
        """InfluxDB 3's administrator's token, which is the only one it has."""
        return str(json.loads(self.secret("influx3_admin_token"))["token"])

    @property
    def initialised(self) -> bool:
        """Whether every secret is there."""
        return all((self.secrets / name).exists() for name in (*SECRETS, SMTP_PASSWORD))

    @property
    def environment(self) -> dict[str, str]:
        """What `flowrt run --services` starts with: the services' addresses, and the files of their secrets."""
        return read_services_file(self.folder)

    def write_environment(self, ports: Mapping[str, int]) -> Path:
        """Write `flowrt.env` for services on the given ports of loopback; those without a port are left out."""
        variables = {
            "mosquitto": [
                "MQTT_URL=mqtt://127.0.0.1:{port}",
                "MQTT_USERNAME=flowrt",
                f"MQTT_PASSWORD_FILE={self.secrets / 'mqtt_password'}",
            ],
            "influxdb": ["INFLUX_URL=http://127.0.0.1:{port}", f"INFLUX_TOKEN_FILE={self.write_token}"],
            "grafana": ["GRAFANA_URL=http://127.0.0.1:{port}"],
        }
        lines = [line.replace("{port}", str(port)) for name, port in ports.items() for line in variables[name]]
        file = self.folder / SERVICES_FILE
        head = "# Generated by `flowrt services`: where the services are. `flowrt run FLOW --services` reads it. No secrets in here."
        file.write_text("\n".join([head, *lines, ""]), "utf-8")
        return file


def template(name: str) -> str:
    """A file of `docker/` as it comes with flowrt."""
    return (share("docker") / name).read_text("utf-8")
