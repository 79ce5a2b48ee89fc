"""Show what a reload from one flow file to another would keep, change and reset."""

from __future__ import annotations

import argparse
import json

from flowrt.commands.check import print_diagnostics
from flowrt.config import load
from flowrt.diagnostics import FlowError
from flowrt.plan import Plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `flowrt plan`."""
    parser.add_argument("old", metavar="OLD", help="the flow file that runs")
    parser.add_argument("new", metavar="NEW", help="the flow file to come")
    parser.add_argument("--all", action="store_true", help="a line for each node, also where many change alike")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(args: argparse.Namespace) -> int:
    """Print the plan; 1 where one of the files has problems."""
    try:
        plan = Plan.between(load(args.old), load(args.new))
    except FlowError as error:
        print_diagnostics(error.diagnostics)
        return 1
    if args.format == "json":
        print(json.dumps(plan.names()))
    elif plan.empty:
        print("nothing changes")
    else:
        print("\n".join(plan.lines(fold=not args.all)))
    return 0
