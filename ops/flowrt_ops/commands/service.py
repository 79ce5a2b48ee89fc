"""Install flowrt as a service of the operating system: systemd, launchd, or WinSW on Windows.

flowrt service install FLOW [--name NAME] [--dry-run]
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from flowrt.commands import DONE, Failure, UsageError
from flowrt.journal import data_folder
from flowrt_ops.services.home import Home
from flowrt_ops.services.system_service import NAME, App, activation, render, system_of, target

_PASSED_ON = ("MQTT_URL", "MQTT_USERNAME", "INFLUX_URL", "GRAFANA_URL", "NORTH_CAMERA")
"""Variables that are written into the service file, where they are set now; none of them is a secret."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    doing = parser.add_subparsers(dest="what", required=True, metavar="install")
    install = doing.add_parser("install", help="write the service file and start the service")
    install.add_argument("flow", type=Path, metavar="FLOW", help="the flow file")
    install.add_argument(
        "--name", default=NAME, metavar="NAME", help="the service's name, for a second flow (default: flowrt)"
    )
    install.add_argument("--http", metavar="HOST:PORT", help="as of `flowrt run`")
    install.add_argument("--dry-run", action="store_true", help="print the file and the commands instead")
    install.add_argument(
        "--system", choices=("systemd", "launchd", "winsw"), default=system_of(), help="default: this machine's"
    )
    install.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="where the journal goes (default: where `flowrt run` has it here: $FLOWRT_DATA, or .flowrt)",
    )
    install.add_argument("--user", default="", metavar="NAME", help="the user that it runs as (default: you)")
    install.add_argument("--folder", type=Path, metavar="FOLDER", help="where `flowrt services init` put the secrets")


def run(args: argparse.Namespace) -> int:
    """Install, or print what would be installed."""
    app = _app(args)
    text = render(app, args.system)
    file = target(args.system, app.name, app.data)
    if args.dry_run:
        print(f"# {file}\n{text}")
        for command in activation(args.system, app.name):
            print(f"# then: {shlex.join(command)}")
        return DONE
    if args.system != system_of():
        raise Failure(f"this machine has no {args.system}: use --dry-run to see the file")
    try:
        app.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except PermissionError as error:
        raise Failure(f"{file} can't be written: run it as administrator (sudo), or see it with --dry-run") from error
    print(f"written: {file}")
    for command in activation(args.system, app.name):
        if shutil.which(command[0]) is None:
            raise Failure(f"{command[0]} was not found; the file is written, and this remains: {shlex.join(command)}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"{shlex.join(command)}: {done.stderr.strip() or 'failed'}")
        print(f"done: {shlex.join(command)}")
    print(f"what it records and sends: FLOWRT_DATA={shlex.quote(str(app.data))} flowrt events, flowrt outbox")
    return DONE


def _app(args: argparse.Namespace) -> App:
    if not args.flow.exists():
        raise Failure(f"there is no flow file {args.flow}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", args.name):
        raise UsageError(f"--name {args.name}: expected letters, digits, '-', '_' and '.'")
    home = Home.of(args.folder)
    files = {
        "MQTT_PASSWORD": home.secrets / "mqtt_password",
        "INFLUX_TOKEN": home.data / "tokens" / "influx_write_token",
    }
    program = shutil.which("flowrt") or str(Path(sys.executable).parent / "flowrt")
    return App(
        program=Path(program).resolve(),
        flow=args.flow.resolve(),
        data=(args.data or data_folder()).resolve(),
        name=args.name,
        http=args.http or "",
        user=args.user or os.environ.get("SUDO_USER") or getpass.getuser(),
        environment={name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)},
        credentials={name: file for name, file in files.items() if file.exists()},
    )
