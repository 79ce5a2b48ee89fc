"""Programs that are installed natively: where they are, their versions, and how to install missing ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

GRAFANA_NEWEST = 13
"""The newest major version that the dashboards and the provisioning were checked against."""
System = str
"""`linux`, `darwin` or `win32`, as sys.platform has it."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that a service needs. install: what to type, by package manager."""

    name: str
    binaries: tuple[str, ...]
    places: dict[System, tuple[str, ...]]
    install: dict[str, str]
    purpose: str
    version: tuple[str, ...] = ("--version",)


PROGRAMS = (
    Program(
        name="mosquitto",
        purpose="MQTT broker",
        binaries=("mosquitto",),
        places={
            "linux": ("/usr/sbin", "/usr/local/sbin"),
            "darwin": ("/opt/homebrew/sbin", "/opt/homebrew/opt/mosquitto/sbin", "/usr/local/sbin"),
            "win32": (r"C:\Program Files\mosquitto", r"C:\Program Files (x86)\mosquitto"),
        },
        install={
            "apt": "sudo apt-get install mosquitto",
            "brew": "brew install mosquitto",
            "winget": "winget install EclipseFoundation.Mosquitto",
        },
        version=("-h",),
    ),
    Program(
        name="influxdb",
        purpose="time-series database",
        binaries=("influxd", "influxdb3"),
        places={
            "linux": ("/usr/bin", "/usr/local/bin", "/opt/influxdb"),
            "darwin": ("/opt/homebrew/bin", "/opt/homebrew/opt/influxdb@2/bin", "/usr/local/bin"),
            "win32": (r"C:\InfluxDB", r"C:\Program Files\InfluxData\influxdb", r"C:\Program Files\InfluxData"),
        },
        install={
            "apt": "add InfluxData's apt repository (its installation page says how), then: sudo apt-get install influxdb2",
            "brew": "brew install influxdb@2 (plain `influxdb` is version 3)",
            "winget": "winget install InfluxData.InfluxDB.OSS --version 2.7.12",
        },
        version=("version",),
    ),
    Program(
        name="grafana",
        purpose="dashboards",
        binaries=("grafana", "grafana-server"),
        places={
            "linux": ("/usr/sbin", "/usr/share/grafana/bin"),
            "darwin": ("/opt/homebrew/bin", "/usr/local/bin"),
            "win32": (r"C:\Program Files\GrafanaLabs\grafana\bin", r"C:\Grafana\bin"),
        },
        install={
            "apt": "add Grafana's apt repository (its installation page says how), then: sudo apt-get install grafana",
            "brew": "brew install grafana",
            "winget": "winget install GrafanaLabs.Grafana.OSS",
        },
        version=("-v",),
    ),
)


INSTALL_INFLUXDB_3 = "InfluxDB 3 Core, as InfluxData's installation page says (`influxdb3` has to be on the PATH)"


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A program that was found. version: (2, 7, 12), empty where it does not tell."""

    path: str
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """2.7.12"""
        return ".".join(map(str, self.version))


def find(program: Program, system: System = sys.platform, version: int = 0) -> Installed | None:
    """On the PATH, then in the usual places. version: of InfluxDB, whose binaries are named after it; 0 takes any."""
    places = os.pathsep.join((os.environ.get("PATH", ""), *program.places.get(system, ())))
    binaries = {2: ("influxd",), 3: ("influxdb3",)}.get(version, program.binaries)
    for binary in binaries:
        path = shutil.which(binary, path=places)
        if path:
            return Installed(path=path, version=_version(path, program.version))
    return None


def _version(path: str, arguments: tuple[str, ...]) -> tuple[int, ...]:
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", done.stdout + done.stderr)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def manager(system: System = sys.platform) -> str:
    """The package manager of a system."""
    if system == "win32":
        return "winget"
    return "brew" if system == "darwin" else "apt"


def home_of_grafana(installed: Installed) -> Path:
    """Grafana's folder with `conf` and `public`, from where its server has to be started."""
    for place in (
        Path("/usr/share/grafana"),
        Path("/opt/homebrew/opt/grafana/share/grafana"),
        Path("/usr/local/opt/grafana/share/grafana"),
    ):
        if (place / "public").is_dir():
            return place
    return Path(installed.path).resolve().parent.parent


def bundled_plugins_of_grafana(root: Path) -> Path | None:
    """Where Grafana's package put the plugins that come with it (InfluxDB's since 13.2); None where they are part of the server."""
    places = (Path("/var/lib/grafana/plugins-bundled"), root / "data" / "plugins-bundled")
    return next((place for place in places if os.access(place, os.R_OK | os.X_OK)), None)
