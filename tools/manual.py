"""Writes the manual page, docs/flowrt.1, from the commands' own help: `python -m tools.manual`."""

from __future__ import annotations

import os
from pathlib import Path

from argparse_manpage.manpage import Manpage

from flowrt.commands._all import DESCRIPTION, whole_parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "flowrt.1"


def manual() -> str:
    """The page, as troff. It has no date, so that it changes only with the commands."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # the width of usage lines, which argparse takes from the terminal
    try:
        page = Manpage(whole_parser())
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    page.date = ""
    page.source = page.manual = "flowrt"
    return str(page).replace(".SH NAME\nflowrt\n", f".SH NAME\nflowrt \\- {DESCRIPTION[2:].rstrip('.')}\n", 1)


if __name__ == "__main__":
    PAGE.write_text(manual(), "utf-8")
