"""Write what is made from the contract: its pages, the AsyncAPI document, the broker's access list."""

from __future__ import annotations

import argparse
from pathlib import Path

from flowrt.commands import DONE, UsageError
from flowrt.contract import Contract
from flowrt.contract.acl import acl
from flowrt.contract.asyncapi import asyncapi
from flowrt.contract.documents import measurements_page, topics_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `flowrt contract`."""
    parser.add_argument(
        "what",
        choices=["docs", "asyncapi", "acl"],
        help="docs: topics.md and measurements.md; asyncapi: the topics for other tools; acl: for Mosquitto",
    )
    parser.add_argument("-o", "--output", type=Path, help="where to: a folder for docs, else a file; not given: print")
    parser.add_argument("--prefix", default="smartintersection", help="what topics begin with (default: %(default)s)")
    parser.add_argument(
        "--schemas", action="append", default=[], type=Path, metavar="FOLDER", help="further schemas, as beside a flow"
    )


def run(args: argparse.Namespace) -> int:
    """Write or print."""
    for folder in args.schemas:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder; --schemas wants one with *.schema.json files")
    contract = Contract.load(extra=args.schemas)
    if args.what == "docs":
        texts = {"topics.md": topics_page(contract), "measurements.md": measurements_page(contract)}
    else:
        texts = {"": (asyncapi if args.what == "asyncapi" else acl)(contract, args.prefix)}
    if args.output is None:
        print("\n".join(texts.values()), end="")
        return DONE
    if args.what == "docs":
        args.output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (args.output / name if name else args.output).write_text(text, "utf-8")
    return DONE
