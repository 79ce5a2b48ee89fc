"""flowrt as a service of the operating system: a systemd unit, a launchd property list, or WinSW's XML.

Rendering is pure and works for all three on any machine. No secret is in the files: `NAME_FILE` names the file of a secret, which
systemd hands over as a credential.
"""

from __future__ import annotations

import plistlib
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import msgspec

NAME = "flowrt"
LABEL = "org.flowrt.intersection"
"""That of a service with the default name; another name takes the last word's place."""


class App(msgspec.Struct, frozen=True, kw_only=True):
    """What runs. program: the `flowrt` executable. name: the service's. http: empty for the default. environment: without secrets. credentials: variable to the file of its secret."""

    program: Path
    flow: Path
    data: Path
    user: str
    name: str = NAME
    http: str = ""
    environment: dict[str, str] = {}
    credentials: dict[str, Path] = {}

    @property
    def arguments(self) -> list[str]:
        """After the program."""
        return ["run", str(self.flow), "--plain", *(["--http", self.http] if self.http else [])]

    @property
    def variables(self) -> dict[str, str]:
        """The service's environment."""
        files = {f"{name}_FILE": str(file) for name, file in self.credentials.items()}
        return {"FLOWRT_DATA": str(self.data), **self.environment, **files}


def system_of(platform: str = sys.platform) -> str:
    """`systemd`, `launchd` or `winsw`."""
    return {"darwin": "launchd", "win32": "winsw"}.get(platform, "systemd")


def render(app: App, system: str) -> str:
    """The service file. Raises KeyError for an unknown system."""
    return {"systemd": systemd, "launchd": launchd, "winsw": winsw}[system](app)


def target(system: str, name: str = NAME, folder: Path | None = None) -> Path:
    """Where the file belongs."""
    return {
        "systemd": Path("/etc/systemd/system") / f"{name}.service",
        "launchd": Path("/Library/LaunchDaemons") / f"{_label(name)}.plist",
        "winsw": (folder or Path()) / f"{name}-service.xml",
    }[system]


def activation(system: str, name: str = NAME) -> list[list[str]]:
    """The commands that make the system notice the file and start the service."""
    return {
        "systemd": [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", name]],
        "launchd": [["launchctl", "bootstrap", "system", str(target("launchd", name))]],
        "winsw": [[f"{name}-service.exe", "install"], [f"{name}-service.exe", "start"]],
    }[system]


def _label(name: str) -> str:
    return LABEL if name == NAME else f"{LABEL.rpartition('.')[0]}.{name}"


def _suffix(app: App) -> str:
    return "" if app.name == NAME else f" ({app.name})"


def systemd(app: App) -> str:
    """A unit: flowrt reports when it is ready, is restarted when it hangs, and may write only its own data.

    systemd copies the secrets into a folder that only this service can read (LoadCredential), `%d` in the unit.
    """
    credentials = {f"{name}_FILE": f"%d/{name}" for name in app.credentials}
    variables = {name: _literal(value) for name, value in app.variables.items()} | credentials
    command = " ".join([_in_quotes(_literal(str(app.program))), *(_argument(word) for word in app.arguments)])
    lines = [
        "[Unit]",
        f"Description=flowrt: smart intersection{_suffix(app)}",
        "Wants=network-online.target",
        "After=network-online.target mosquitto.service influxdb.service",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=60",
        f"User={app.user}",
        f"ExecStart={command}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=on-failure",
        "RestartSec=5",
        "TimeoutStopSec=15",
        *(f"Environment={_in_quotes(f'{name}={value}')}" for name, value in variables.items()),
        *(f"LoadCredential={name}:{_literal(str(file))}" for name, file in app.credentials.items()),
        "",
        "# It may write only its data.",
        "ProtectSystem=strict",
        f"ReadWritePaths={_in_quotes(_literal(str(app.data)))}",
        "ProtectHome=read-only",
        "PrivateTmp=yes",
        "NoNewPrivileges=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectControlGroups=yes",
        "RestrictSUIDSGID=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "LockPersonality=yes",
        "UMask=0077",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def _literal(text: str) -> str:
    """A value in which % means nothing to systemd."""
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    """One argument of a unit's command, in which a $ means something as well."""
    return _in_quotes(_literal(text)).replace("$", "$$")


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def launchd(app: App) -> str:
    """A property list that keeps flowrt running and logs beside its data."""
    content = {
        "Label": _label(app.name),
        "ProgramArguments": [str(app.program), *app.arguments],
        "UserName": app.user,
        "EnvironmentVariables": app.variables,
        "WorkingDirectory": str(app.data),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": 15,
        "Umask": 0o077,
        "StandardOutPath": str(app.data / "flowrt.log"),
        "StandardErrorPath": str(app.data / "flowrt.log"),
    }
    return plistlib.dumps(content, sort_keys=False).decode()


def winsw(app: App) -> str:
    """The XML beside WinSW's executable. The service's account has to be able to read the files of the secrets."""
    root = xml.Element("service")

    def add(name: str, text: str, **attributes: str) -> None:
        xml.SubElement(root, name, attributes).text = text

    add("id", app.name)
    add("name", app.name)
    add("description", "Smart intersection: traffic cameras to events, MQTT and InfluxDB")
    add("executable", str(app.program))
    add("arguments", " ".join(f'"{word}"' if " " in word else word for word in app.arguments))
    add("workingdirectory", str(app.data))
    for name, value in app.variables.items():
        xml.SubElement(root, "env", {"name": name, "value": value})
    add("startmode", "Automatic")
    xml.SubElement(root, "onfailure", {"action": "restart", "delay": "5 sec"})
    add("stoptimeout", "15 sec")
    log = xml.SubElement(root, "log", {"mode": "roll-by-size"})
    xml.SubElement(log, "sizeThreshold").text = "10240"
    xml.SubElement(log, "keepFiles").text = "3"
    xml.indent(root, "  ")
    return xml.tostring(root, encoding="unicode") + "\n"
