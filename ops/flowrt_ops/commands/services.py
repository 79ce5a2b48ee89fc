"""Set up, start, look at and stop the services: broker, database, dashboards.

flowrt services init        secrets, certificates, folders and .env, once; then `docker compose -f docker/compose.yaml up`
flowrt services up          start what is installed on this machine, without Docker; --dry-run only prints it
flowrt services status      every service: address, version, latency, what is wrong, what to do about it
flowrt services down        stop what `up` started
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import msgspec

from flowrt.commands import DONE, FAILED, Failure, UsageError
from flowrt_ops.services.home import Home
from flowrt_ops.services.native import Service


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    doing = parser.add_subparsers(dest="what", required=True, metavar="init|up|status|down")
    init = doing.add_parser("init", help="make secrets, certificates, folders and .env; what is there is kept")
    init.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a further host name of the broker's certificate"
    )
    init.add_argument("--gpu", action="store_true", help="use the graphics processor (profile gpu)")
    init.add_argument(
        "--influx", type=int, choices=(2, 3), default=2, help="version of InfluxDB (profile influx2 or influx3)"
    )
    up = doing.add_parser("up", help="start what is installed natively")
    up.add_argument("--dry-run", action="store_true", help="print commands and files instead")
    for name, port in (("mosquitto", "1883"), ("influxdb", "8086, of version 3 8181"), ("grafana", "3000")):
        up.add_argument(f"--{name}-port", type=int, metavar="PORT", help=f"port of {name} (default: {port})")
    up.add_argument("--tls-port", type=int, default=8883, metavar="PORT", help="port of mosquitto for TLS")
    status = doing.add_parser("status", help="ask every service how it is")
    status.add_argument("--format", choices=("table", "json"), default="table", help="how to say it")
    status.add_argument("--timeout", type=float, default=5.0, metavar="S", help="how long a service may take to answer")
    down = doing.add_parser("down", help="stop what `up` started")
    for one in (init, up, status, down):
        one.add_argument(
            "--folder",
            type=Path,
            metavar="FOLDER",
            help="where the files are (default: docker/, else .flowrt/services)",
        )


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    home = Home.of(args.folder)
    if args.what == "init":
        return _init(home, args)
    if args.what == "up":
        return _up(home, args)
    if args.what == "down":
        return _down(home)
    return _status(home, args)


def _init(home: Home, args: argparse.Namespace) -> int:
    from flowrt_ops.services.secrets import initialise

    made = initialise(home, names=args.name, gpu=args.gpu, influx=args.influx)
    for file in made:
        print(f"made: {file}")
    if not made:
        print(f"everything was there already in {home.folder}")
    print(f"Grafana's user is admin, the password is in {home.secrets / 'grafana_admin_password'}")
    return DONE


def _up(home: Home, args: argparse.Namespace) -> int:
    from flowrt_ops.services import native
    from flowrt_ops.services.influx_setup import set_up, set_up_3

    asked = {name: getattr(args, f"{name}_port") for name in native.NAMES}
    services = native.plan(home, {name: port for name, port in asked.items() if port}, args.tls_port)
    used = [*(service.port for service in services), args.tls_port]
    for port in used:
        if used.count(port) > 1:
            raise UsageError(f"two services on port {port}: give each one its own")
    if args.dry_run:
        _tell(services)
        return DONE
    if not home.initialised:
        raise Failure(f"there are no secrets in {home.secrets}: run `flowrt services init` first")
    started = failed = 0
    for service in services:
        try:
            if native.running(home, service.name):
                print(f"{service.name}: runs already on port {service.port}")
                started += 1
            elif service.hindrance:
                print(f"{service.name}: {service.hindrance}")
            else:
                number = native.start(home, service)
                print(f"{service.name}: started on 127.0.0.1:{service.port} (process {number})")
                started += 1
                if service.name == "influxdb":
                    make = set_up if Path(service.command[0]).stem == "influxd" else set_up_3
                    for what in make(f"http://127.0.0.1:{service.port}", home):
                        print(f"  made: {what}")
        except Failure as error:
            print(str(error))
            failed += 1
    return DONE if started and not failed else FAILED


def _tell(services: list[Service]) -> None:
    for service in services:
        if service.hindrance:
            print(f"# {service.name}: {service.hindrance}\n")
            continue
        print(f"# {service.name} on 127.0.0.1:{service.port}")
        for name, value in service.environment.items():
            print(f"{name}={shlex.quote(value)} \\")
        print(shlex.join(service.command))
        for file, text in service.files.items():
            print(f"\n# {file}\n{text}")
        print()


def _down(home: Home) -> int:
    from flowrt_ops.services import native

    for name in reversed(native.NAMES):
        print(f"{name}: {'stopped' if native.stop(home, name) else 'was not started from here'}")
    return DONE


def _status(home: Home, args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from flowrt_ops.services.status import Addresses, survey

    rows = survey(Addresses.of(home), args.timeout)
    if args.format == "json":
        print(json.dumps([msgspec.to_builtins(row) for row in rows], indent=2))
    else:
        colors = {"ok": "green", "warning": "yellow", "down": "red"}
        table = Table(box=None, pad_edge=False)
        for title in ("service", "state", "address", "version", "ms", "what is wrong, and what to do"):
            table.add_column(title, overflow="fold")
        for row in rows:
            latency = "" if row.latency_ms is None else f"{row.latency_ms:.1f}"
            advice = ": ".join(part for part in (row.wrong, row.todo) if part)
            table.add_row(
                row.service, f"[{colors[row.verdict]}]{row.verdict}", row.address, row.version, latency, advice
            )
        Console(soft_wrap=False).print(table)
    return FAILED if any(row.verdict == "down" for row in rows) else DONE
