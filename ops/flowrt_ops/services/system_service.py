"""flowrt as a service of the operating system: a systemd unit, a launchd property list, or WinSW's XML.

Rendering is pure and works for all three on any machine. Secrets do not stand in the files: systemd hands them over as
credentials, the others read the environment file of `flowrt services`.
"""

from __future__ import annotations

import plistlib
import shlex
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import msgspec

NAME = "flowrt"
LABEL = "org.flowrt.intersection"


class App(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run. program: the `flowrt` executable. environment: without secrets. credentials: variable to file."""

    program: Path
    flow: Path
    data: Path
    user: str
    http: str = "127.0.0.1:8480"
    environment: dict[str, str] = {}
    credentials: dict[str, Path] = {}

    @property
    def arguments(self) -> list[str]:
        """After the program."""
        return ["run", str(self.flow), "--plain", "--http", self.http]


def system_of(platform: str = sys.platform) -> str:
    """`systemd`, `launchd` or `winsw`."""
    return {"darwin": "launchd", "win32": "winsw"}.get(platform, "systemd")


def render(app: App, system: str) -> str:
    """The service file. Raises KeyError for an unknown system."""
    return {"systemd": systemd, "launchd": launchd, "winsw": winsw}[system](app)


def target(system: str, folder: Path | None = None) -> Path:
    """Where the file belongs."""
    return {
        "systemd": Path("/etc/systemd/system") / f"{NAME}.service",
        "launchd": Path("/Library/LaunchDaemons") / f"{LABEL}.plist",
        "winsw": (folder or Path()) / f"{NAME}-service.xml",
    }[system]


def activation(system: str) -> list[list[str]]:
    """The commands that make the system notice the file and start the service."""
    return {
        "systemd": [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", NAME]],
        "launchd": [["launchctl", "bootstrap", "system", str(target("launchd"))]],
        "winsw": [[f"{NAME}-service.exe", "install"], [f"{NAME}-service.exe", "start"]],
    }[system]


def systemd(app: App) -> str:
    """A unit that is told when flowrt is ready, restarts it when it hangs, and lets it write only its own data.

    Secrets come as credentials (LoadCredential); a small shell line makes environment variables of them.
    """
    variables = {"FLOWRT_DATA": str(app.data)}
    given = "".join(f'{name}="$(cat "$CREDENTIALS_DIRECTORY/{name}")" ' for name in app.credentials)
    command = f"/bin/sh -c {_quoted(f'{given}exec {shlex.join([str(app.program), *app.arguments])}', command=True)}"
    lines = [
        "[Unit]",
        "Description=flowrt: smart intersection",
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
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in {**variables, **app.environment}.items()),
        *(f"LoadCredential={name}:{_literal(str(file))}" for name, file in app.credentials.items()),
        "",
        "# It may write its data and nothing else.",
        "ProtectSystem=strict",
        f"ReadWritePaths={_quoted(str(app.data))}",
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


def _quoted(text: str, *, command: bool = False) -> str:
    """One word of a unit, whatever is in it; in commands a $ means something as well."""
    escaped = _literal(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped.replace("$", "$$") if command else escaped}"'


def launchd(app: App) -> str:
    """A property list that keeps flowrt running, logs beside its data, and reads secrets from files by a shell line."""
    words = [str(app.program), *app.arguments]
    if app.credentials:
        given = " ".join(f'{name}="$(cat {shlex.quote(str(file))})"' for name, file in app.credentials.items())
        words = ["/bin/sh", "-c", f"{given} exec {shlex.join(words)}"]
    content = {
        "Label": LABEL,
        "ProgramArguments": words,
        "UserName": app.user,
        "EnvironmentVariables": {"FLOWRT_DATA": str(app.data), **app.environment},
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
    """The XML that lies beside WinSW's executable. Secrets: give the service's account the variables, or `${file:…}` in the flow."""
    root = xml.Element("service")

    def add(name: str, text: str, **attributes: str) -> None:
        xml.SubElement(root, name, attributes).text = text

    add("id", NAME)
    add("name", "flowrt")
    add("description", "Smart intersection: traffic cameras to events, MQTT and InfluxDB")
    add("executable", str(app.program))
    add("arguments", " ".join(f'"{word}"' if " " in word else word for word in app.arguments))
    add("workingdirectory", str(app.data))
    for name, value in {"FLOWRT_DATA": str(app.data), **app.environment}.items():
        xml.SubElement(root, "env", {"name": name, "value": value})
    add("startmode", "Automatic")
    xml.SubElement(root, "onfailure", {"action": "restart", "delay": "5 sec"})
    add("stoptimeout", "15 sec")
    log = xml.SubElement(root, "log", {"mode": "roll-by-size"})
    xml.SubElement(log, "sizeThreshold").text = "10240"
    xml.SubElement(log, "keepFiles").text = "3"
    xml.indent(root, "  ")
    return xml.tostring(root, encoding="unicode") + "\n"
