"""Making secrets: passwords, tokens, the broker's password file, certificates. What is there already is kept.

Nothing here is printed or logged. Files are 0600 in a folder of 0700.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from flowrt.commands import Failure
from flowrt_ops.services.home import DATA, MQTT_USERS, SECRETS, SMTP_PASSWORD, Home

DAYS = "825"
"""How long certificates hold: the longest that Apple's systems accept."""
READ_PASSWORD = "influx_read_password"
IMAGE_USER = 10_001
"""Of docker/Dockerfile."""


def initialise(home: Home, *, names: Iterable[str] = (), gpu: bool = False, influx: int = 2) -> list[Path]:
    """Make everything that is missing; returns what was made. names: further host names of the certificate.

    Raises Failure where openssl is missing, and where another choice was made before.
    """
    _not_chosen_otherwise(home, gpu, influx)
    home.folder.mkdir(parents=True, exist_ok=True)
    for folder in (home.secrets, *(home.data / name for name in DATA)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.secrets.chmod(0o700)
    made = []
    made += _write(
        home.secrets / "influx3_admin_token",
        json.dumps({"token": f"apiv3_{secrets.token_urlsafe(64)}", "name": "_admin"}),
    )
    if influx == 3:  # which takes a token for a password, whatever the user's name
        made += _write(home.secrets / READ_PASSWORD, home.influx3_token)
    for name in SECRETS:
        made += _write(home.secrets / name, secrets.token_urlsafe(24))
    made += _write(
        home.secrets / "mosquitto_passwd", password_file({user: home.secret(name) for user, name in MQTT_USERS.items()})
    )
    made += _certificates(home.secrets, ["localhost", "mosquitto", socket.gethostname(), *names])
    made += _write(home.secrets / SMTP_PASSWORD, "")
    made += _write(home.folder / ".env", _environment(gpu, influx))
    if hasattr(os, "getuid") and os.getuid() == 0:
        _give(home)
    return made


def _owner() -> tuple[int, int]:
    """Whom files and containers belong to: the caller; who called sudo; the image's own user, where root himself calls.

    Never root: the containers may not do anything that only root may.
    """
    if not hasattr(os, "getuid"):
        return 1000, 1000
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    return int(os.environ.get("SUDO_UID") or IMAGE_USER), int(os.environ.get("SUDO_GID") or IMAGE_USER)


def _give(home: Home) -> None:
    """Let the user that `.env` names have what root has made."""
    text = (home.folder / ".env").read_text("utf-8")
    found = dict(re.findall(r"^FLOWRT_([UG]ID)=(\d+)$", text, re.MULTILINE))
    for file in (home.secrets, *home.secrets.iterdir(), *(home.data / name for name in DATA)):
        os.chown(file, int(found.get("UID", -1)), int(found.get("GID", -1)))


def _write(file: Path, text: str) -> list[Path]:
    """Write a file that only its owner may read, unless it is there."""
    if file.exists():
        return []
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text + "\n")
    return [file]


def password_file(passwords: dict[str, str]) -> str:
    """Mosquitto's password file: PBKDF2 with SHA-512 ($7$, as mosquitto_passwd writes it)."""
    rounds = 10_000
    lines = []
    for user, password in passwords.items():
        salt = secrets.token_bytes(12)
        hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
        lines.append(f"{user}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}")
    return "\n".join(lines)


def _environment(gpu: bool, influx: int) -> str:
    """`.env`, which compose reads: nothing secret is in it."""
    uid, gid = _owner()
    address = "http://influxdb3:8181" if influx == 3 else "http://influxdb:8086"
    lines = [
        "# Made by `flowrt services init`; edit it as you like. No secrets in here.",
        f"FLOWRT_UID={uid}",
        f"FLOWRT_GID={gid}",
        f"COMPOSE_PROFILES={_profiles(gpu, influx)}",
        f"INFLUX_URL={address}",
        "# NORTH_CAMERA=rtsp://user:password@camera.local/stream",
        "# Whom alerts tell. The mail server's password goes into secrets/smtp_password.",
        "# ALERT_WEBHOOK_URL=https://chat.example/hooks/intersection",
        "# ALERT_EMAIL=control-room@example.org",
        "# SMTP_ENABLED=true",
        "# SMTP_HOST=mail.example.org:587",
        "# SMTP_USER=grafana",
        "# SMTP_FROM=grafana@example.org",
        "# Where the runbook links of alerts lead: a copy of the folder docs.",
        "# FLOWRT_DOCS_URL=https://wiki.example/flowrt/docs",
        "# Dashboards without a login; only where the port stays on loopback.",
        "# GRAFANA_ANONYMOUS=true",
    ]
    if gpu and (group := _render_group()):
        lines.append(f"RENDER_GID={group}")
    return "\n".join(lines)


def _profiles(gpu: bool, influx: int) -> str:
    return f"{'gpu' if gpu else 'cpu'},influx{influx}"


def _not_chosen_otherwise(home: Home, gpu: bool, influx: int) -> None:
    """`init` keeps what is there, so that it can't change a choice; it must not look as if it had."""
    file, wanted = home.folder / ".env", _profiles(gpu, influx)
    if not file.exists() or wanted == _profiles(gpu=False, influx=2):
        return
    there = re.search(r"^COMPOSE_PROFILES=(\S*)", file.read_text("utf-8"), re.MULTILINE)
    if there is None or there.group(1) != wanted:
        raise Failure(
            f"{file} was made for {there.group(1) if there else 'no profile'}, not for {wanted}: "
            f"remove it, and {home.secrets / READ_PASSWORD}, then run this again"
        )


def _render_group() -> int:
    for device in sorted(Path("/dev/dri").glob("renderD*")):
        return device.stat().st_gid
    return 0


def _certificates(folder: Path, names: Iterable[str]) -> list[Path]:
    """A certificate authority of one's own, and the broker's certificate."""
    files = [folder / name for name in ("ca.crt", "ca.key", "server.crt", "server.key")]
    if all(file.exists() for file in files):
        return []
    openssl = shutil.which("openssl") or _openssl_of_git()
    if openssl is None:
        raise Failure(
            "openssl makes the broker's certificate and is not installed: apt-get install openssl, or Git for Windows"
        )
    alternatives = ",".join(dict.fromkeys([*(f"DNS:{name}" for name in names), "IP:127.0.0.1"]))
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "server.ext").write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth\n", "utf-8")
        _run(openssl, work, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", DAYS,
             "-subj", "/CN=flowrt intersection CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
        _run(openssl, work, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key", "-out", "server.csr",
             "-subj", "/CN=mosquitto")  # fmt: skip
        _run(openssl, work, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", DAYS, "-out", "server.crt", "-extfile", "server.ext")  # fmt: skip
        for file in files:
            file.unlink(missing_ok=True)
            _write(file, (work / file.name).read_text("ascii").rstrip("\n"))
    return files


def _openssl_of_git() -> str | None:
    """Git for Windows brings one that is not on the PATH."""
    file = Path(os.environ.get("PROGRAMFILES", "")) / "Git" / "usr" / "bin" / "openssl.exe"
    return str(file) if file.exists() else None


def _run(openssl: str, folder: Path, *arguments: str) -> None:
    done = subprocess.run([openssl, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Failure(
            f"openssl {arguments[0]} failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason given'}"
        )
