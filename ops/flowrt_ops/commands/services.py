"""Prepare, start, check and stop the services: broker, database, dashboards.

flowrt services init        secrets, certificates, folders and .env, once; then `docker compose -f docker/compose.yaml up`
flowrt services up          start what is installed on this machine, without Docker; --dry-run only prints it
flowrt services status      every service: address, version, latency, what is wrong, what to do about it
flowrt services down        stop what `up` started

`flowrt run FLOW --services` takes addresses and secrets from here.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import msgspec

from flowrt.commands import DONE, FAILED, Failure, UsageError
from flowrt.commands.terminal.arguments import port, seconds
from flowrt.commands.terminal.tables import table
from flowrt_ops.services.home import Home
from flowrt_ops.services.native import Service


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    doing = parser.add_subparsers(dest="what", required=True, metavar="init|up|status|down")
    init = doing.add_parser("init", help="generate secrets, certificates, folders and .env; existing files are kept")
    init.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a further host name of the broker's certificate"
    )
    init.add_argument("--gpu", action="store_true", help="use the graphics processor (profile gpu)")
    init.add_argument(
        "--influx", type=int, choices=(2, 3), default=2, help="version of InfluxDB (profile influx2 or influx3)"
    )
    up = doing.add_parser("up", help="start what is installed natively")
    up.add_argument("--dry-run", action="store_true", help="print commands and files instead")
    for name, usual in (("mosquitto", "1883"), ("influxdb", "8086, of version 3 8181"), ("grafana", "3000")):
        up.add_argument(f"--{name}-port", type=port, metavar="PORT", help=f"port of {name} (default: {usual})")
    up.add_argument("--tls-port", type=port, default=8883, metavar="PORT", help="port of mosquitto for TLS")
    status = doing.add_parser("status", help="check every service")
    status.add_argument("--format", choices=("table", "json"), default="table", help="output format")
    status.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="how long a service may take to answer"
    )
    down = doing.add_parser("down", help="stop what `up` started")
    for one in (init, up, status, down):
        one.add_argument(
            "--folder",
            type=Path,
            metavar="FOLDER",
            help="where the files are (default: docker/, else .flowrt/services)",
        )


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    home = Home.of(args.folder)
    if args.folder is not None and args.what != "init" and not home.folder.is_dir():
        raise UsageError(f"there is no folder {args.folder}: `flowrt services init --folder {args.folder}` makes it")
    if args.what == "init":
        return _init(home, args)
    if args.what == "up":
        return _up(home, args)
    if args.what == "down":
        return _down(home)
    return _status(home, args)


def _init(home: Home, args: argparse.Namespace) -> int:
    from flowrt_ops.services.secrets import initialise

    written = initialise(home, names=args.name, gpu=args.gpu, influx=args.influx)
    for file in written:
        print(f"written: {file}")
    if not written:
        print(f"everything was there already in {home.folder}")
    print(f"Grafana's user is admin, the password is in {home.secrets / 'grafana_admin_password'}")
    return DONE


def _up(home: Home, args: argparse.Namespace) -> int:
    from flowrt_ops.services import native

    running = {name: native.port_of(home, name) for name in native.NAMES if native.running(home, name)}
    asked = {name: given for name in native.NAMES if (given := getattr(args, f"{name}_port"))}
    services = native.plan(home, {**asked, **running}, args.tls_port)
    used = [*(service.port for service in services), args.tls_port]
    for one in used:
        if used.count(one) > 1:
            raise UsageError(f"two services on port {one}: give each one its own")
    if args.dry_run:
        _print_plan(services)
        return DONE
    if not home.initialised:
        raise Failure(f"there are no secrets in {home.secrets}: run `flowrt services init` first")
    complete = True
    for service in services:
        try:
            running[service.name] = _started(home, service)
        except Failure as error:
            print(str(error))
            complete = False
    if "influxdb" in running:
        complete = _set_up_database(home, running["influxdb"]) and complete
    if running:
        home.write_environment(running)
        for name, value in home.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        print(f"flowrt with these services: flowrt run flows/intersection.yaml --services{_folder_argument(args)}")
    return DONE if complete else FAILED


def _started(home: Home, service: Service) -> int:
    """Start a service unless it runs; returns its port. Raises Failure."""
    from flowrt_ops.services import native

    if native.running(home, service.name):
        print(f"{service.name}: runs already on 127.0.0.1:{service.port}")
        return service.port
    if service.obstacle:
        raise Failure(f"{service.name}: {service.obstacle}")
    number = native.start(home, service)
    print(f"{service.name}: started on 127.0.0.1:{service.port} (process {number})")
    return service.port


def _set_up_database(home: Home, port: int) -> bool:
    """Add what the database lacks: organisation, buckets, accounts. Returns whether nothing failed."""
    from flowrt_ops.services.influx_setup import set_up, set_up_3

    steps = (set_up_3 if home.influx_version == 3 else set_up)(f"http://127.0.0.1:{port}", home)
    for step in steps:
        if step.error:
            print(f"  {step.name}: failed: {step.error}")
        elif step.changed:
            print(f"  {step.name}: created")
    return not any(step.error for step in steps)


def _folder_argument(args: argparse.Namespace) -> str:
    return f" {shlex.quote(str(args.folder))}" if args.folder else ""


def _print_plan(services: list[Service]) -> None:
    for service in services:
        if service.obstacle:
            print(f"# {service.name}: {service.obstacle}\n")
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
    if home.initialised:
        home.write_environment(home.ports)  # compose's, should it be started next
    return DONE


def _status(home: Home, args: argparse.Namespace) -> int:
    from flowrt_ops.services.status.addresses import Addresses
    from flowrt_ops.services.status.survey import survey

    rows = survey(Addresses.of(home), args.timeout)
    if args.format == "json":
        print(json.dumps([msgspec.to_builtins(row) for row in rows], indent=2))
    else:
        cells = []
        for row in rows:
            latency = "" if row.latency_ms is None else f"{row.latency_ms:.1f}"
            advice = ": ".join(part for part in (row.wrong, row.todo) if part)
            cells.append([row.service, row.verdict, row.version, latency, row.address, advice])
        head = ["service", "state", "version", "ms", "address", "what is wrong, and what to do"]
        table(head, cells, right=frozenset({3}), below=(5, 4))
    return FAILED if any(row.verdict == "down" for row in rows) else DONE
