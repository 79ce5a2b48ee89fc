"""Check this machine: what is installed, what is missing, and the line that installs it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from flowrt.commands import DONE
from flowrt_ops.services.programs import GRAFANA_NEWEST, PROGRAMS, find, manager


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--for", dest="system", choices=("linux", "darwin", "win32"), default=sys.platform,
                        help="show the install lines of another system")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the result."""
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors")
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    print(f"{free_gb:.1f} GB free here" + (": too little for a journal and a database" if free_gb < 2.0 else ""))
    for line in (*_inference(), *_programs(args.system), *_docker()):
        print(line)
    return DONE


def _inference() -> list[str]:
    try:
        import openvino

        devices = openvino.Core().available_devices
    except Exception as error:  # drivers raise anything; the other checks go on
        return [f"openvino    can't be used: {error}: reinstall it, `pip install openvino`"]
    return [f"openvino    {openvino.__version__.split('-')[0]}, devices: {', '.join(devices)}"]


def _programs(system: str) -> list[str]:
    lines = []
    for program in PROGRAMS:
        installed = find(program) if system == sys.platform else None
        install = program.install[manager(system)]
        if installed is None:
            lines.append(f"{program.name:<11} missing ({program.purpose}): {install}")
        elif program.name == "influxdb" and installed.version and installed.version < (1, 8):
            lines.append(f"{program.name:<11} {installed.version_text} is too old: {install}")
        else:
            newer = program.name == "grafana" and installed.version and installed.version[0] > GRAFANA_NEWEST
            remark = f": newer than {GRAFANA_NEWEST}, the newest that the dashboards were checked with" if newer else ""
            lines.append(
                f"{program.name:<11} {installed.version_text or 'version unknown'} at {installed.path}{remark}"
            )
    return lines


def _docker() -> list[str]:
    docker = shutil.which("docker")
    if docker is None:
        return ["docker      missing: fine, `flowrt services up` does without"]
    plugin = subprocess.run([docker, "compose", "version"], capture_output=True, text=True, check=False)
    if plugin.returncode != 0:
        return [f"docker      at {docker}, without its compose plugin: install docker-compose-plugin"]
    return [f"docker      at {docker}: `flowrt services init`, then `docker compose -f docker/compose.yaml up`"]
