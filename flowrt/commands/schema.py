"""Print the JSON Schema of flow files, for editors.

`schemas/flow.schema.json` is its output. With --flow the node types of the `nodes/` folder beside that flow are in it as well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from flowrt.catalog import Catalog
from flowrt.commands import DONE
from flowrt.config.editor_schema import editor_schema


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--flow", type=Path, metavar="FLOW", help="include the node types beside this flow file")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to a file instead")


def run(args: argparse.Namespace) -> int:
    """Build the schema and print it."""
    schema = editor_schema(Catalog(args.flow.parent if args.flow else None))
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    if args.output:
        args.output.write_text(text, "utf-8")
    else:
        print(text, end="")
    return DONE
