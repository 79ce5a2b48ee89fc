"""Where the services' files are: secrets, data, generated configuration.

In a checkout that is `docker/`, which compose reads too; elsewhere `.flowrt/services` below the current folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from flowrt.share import share

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
"""The one secret that nobody can make: empty until its owner writes it."""
MQTT_USERS = {
    "flowrt": "mqtt_password",
    "reader": "mqtt_reader_password",
    "grafana": "mqtt_reader_password",
    "signals": "mqtt_signals_password",
}
"""User of the broker to the secret that is the password; who may do what is in docker/mosquitto/acl."""
DATA = ("mosquitto", "influxdb", "influxdb-config", "influxdb3", "grafana", "flowrt", "tokens")


class Home(msgspec.Struct, frozen=True):
    """A folder with the services' files in it."""

    folder: Path

    @classmethod
    def of(cls, folder: Path | None) -> Home:
        """The folder that was named, or the usual one."""
        if folder is not None:
            return cls(folder.resolve())
        checkout = Path("docker")
        return cls((checkout if (checkout / "compose.yaml").exists() else Path(".flowrt") / "services").resolve())

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

    @property
    def write_token(self) -> Path:
        """The file with the token that flowrt writes to the database with."""
        return self.data / "tokens" / "influx_write_token"

    @property
    def influx_write_token(self) -> str:
        """That token; empty until the database was set up."""
        return self.write_token.read_text("utf-8").strip() if self.write_token.exists() else ""

    @property
    def influx_port(self) -> int:
        """Of the version that `flowrt services init` chose."""
        env = self.folder / ".env"
        return 8181 if env.exists() and "influx3" in env.read_text("utf-8") else 8086

    @property
    def influx3_token(self) -> str:
        """InfluxDB 3's administrator's token, which is the only one it has."""
        return str(json.loads(self.secret("influx3_admin_token"))["token"])

    @property
    def initialised(self) -> bool:
        """Whether every secret is there."""
        return all((self.secrets / name).exists() for name in (*SECRETS, SMTP_PASSWORD))


def template(name: str) -> str:
    """A file of `docker/` as it comes with flowrt."""
    return (share("docker") / name).read_text("utf-8")
