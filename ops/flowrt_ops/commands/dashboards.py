"""Build the Grafana dashboards and alerts, compare them with a flow, and draw them.

flowrt dashboards build [FOLDER]     write grafana/dashboards and the alert rules
flowrt dashboards check [FLOW]       find drift, mistakes and what Grafana would refuse; with a flow: which panels stay empty, and why
flowrt dashboards draw               draw each dashboard with the database's own data, without a Grafana server
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from flowrt.commands import BAD_FLOW, DONE, UsageError
from flowrt.contract import Contract
from flowrt.system.resources import share
from flowrt_ops import alerts, dashboards
from flowrt_ops.checks.conformance import VERSIONS, check
from flowrt_ops.checks.coverage import Coverage, compare
from flowrt_ops.checks.lint import lint
from flowrt_ops.drawing.layout import NARROWEST, STACKED_BELOW, WIDTH
from flowrt_ops.influx_reader import Reader

_GRAFANA = 12  # as docker/compose.yaml pins it


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    doing = parser.add_subparsers(dest="what", required=True, metavar="build|check|draw")
    build = doing.add_parser("build", help="write the dashboards and alert rules")
    build.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="the grafana folder (default: flowrt's own)"
    )
    build.add_argument(
        "--docs",
        default="",
        metavar="URL",
        help="address of a copy of the folder docs, for the alerts' runbook links (default: no links)",
    )
    checking = doing.add_parser("check", help="find drift and mistakes, and compare the dashboards with a flow")
    checking.add_argument("flow", type=Path, nargs="?", metavar="FLOW", help="a flow file")
    checking.add_argument("--folder", type=Path, metavar="FOLDER", help="the grafana folder (default: flowrt's own)")
    checking.add_argument(
        "--grafana",
        type=int,
        choices=VERSIONS,
        default=_GRAFANA,
        help=f"major version whose rules the files have to follow (default: {_GRAFANA})",
    )
    checking.add_argument("--format", choices=("text", "json"), default="text", help="output format")
    draw = doing.add_parser("draw", help="draw each dashboard as an image")
    draw.add_argument(
        "--influx", metavar="URL", default="", help="the database (default: $INFLUX_URL, else on this machine)"
    )
    draw.add_argument("-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="where the images go")
    draw.add_argument("--site", default="", help="only this intersection")
    draw.add_argument(
        "--to",
        type=float,
        default=0.0,
        metavar="TIME",
        help="end of the time shown, seconds since the epoch (default: now)",
    )
    draw.add_argument(
        "--span",
        type=_span,
        metavar="15m",
        help="length of the time shown (default: each dashboard's own)",
    )
    draw.add_argument(
        "--width",
        type=int,
        default=WIDTH,
        metavar="PX",
        help=f"width of the images; below {STACKED_BELOW} panels are stacked, as on a phone (default: {WIDTH})",
    )
    draw.add_argument("--folder", type=Path, metavar="FOLDER", help="where `flowrt services init` put the secrets")


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    if args.what == "draw":
        return _draw(args)
    folder = args.folder or share("grafana")
    if args.what == "build":
        changed = [
            *dashboards.write(folder / "dashboards"),
            *alerts.write(folder / "provisioning" / "alerting", args.docs),
        ]
        for file in changed:
            print(f"written: {file}")
        if not changed:
            print("everything was up to date")
        return DONE
    return _check(args, folder)


def _check(args: argparse.Namespace, folder: Path) -> int:
    contract = Contract.load()
    diagnostics = [*dashboards.drift(folder / "dashboards"), *alerts.drift(folder / "provisioning" / "alerting")]
    built = [dashboard.json() for dashboard in dashboards.DASHBOARDS]
    diagnostics += lint(built, contract.measurements) + alerts.lint(contract.measurements)
    conformance = check(folder, args.grafana)
    diagnostics += conformance.lines
    coverage = None
    if args.flow:
        from flowrt.config import load

        coverage = compare(load(args.flow), contract, built)
    if args.format == "json":
        print(json.dumps({"ok": not diagnostics, "problems": diagnostics, "coverage": _as_json(coverage)}, indent=2))
    else:
        for diagnostic in diagnostics:
            print(diagnostic)
        if coverage is not None:
            _print_coverage(coverage)
        elif not diagnostics:
            print(
                f"{len(built)} dashboards and {len(alerts.RULES)} alerts are as built, fit the contract, "
                f"and follow the rules of Grafana {args.grafana}"
            )
    return BAD_FLOW if diagnostics else DONE


def _print_coverage(coverage: Coverage) -> None:
    full = coverage.panels - len(coverage.gaps)
    print(f"{full} of {coverage.panels} panels have data with this flow")
    for gap in coverage.gaps:
        print(f"  empty: {gap.dashboard} / {gap.panel}: {gap.why}")
    for unseen in coverage.unseen:
        print(f"  shown nowhere: {unseen.what} (from {_first(unseen.nodes)})")


def _first(names: Sequence[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _as_json(coverage: Coverage | None) -> object:
    if coverage is None:
        return None
    return {
        "panels": coverage.panels,
        "empty": [{"dashboard": gap.dashboard, "panel": gap.panel, "why": gap.why} for gap in coverage.gaps],
        "shown_nowhere": [{"nodes": unseen.nodes, "what": unseen.what} for unseen in coverage.unseen],
    }


def _span(text: str) -> str:
    from flowrt_ops.checks.evaluate import seconds

    try:
        seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _draw(args: argparse.Namespace) -> int:
    from flowrt_ops.drawing.draw import draw_all
    from flowrt_ops.services.home import Home
    from flowrt_ops.services.status.addresses import Addresses

    if args.width < NARROWEST:
        raise UsageError(f"--width {args.width}: nothing can be read on less than {NARROWEST} pixels")
    at = Addresses.of(Home.of(args.folder))
    reader = Reader(args.influx or at.influx, user=at.read_user, password=at.read_password)
    for file in draw_all(reader, args.output, site=args.site, to_s=args.to, span=args.span or "", width=args.width):
        print(f"drawn: {file}")
    return DONE
