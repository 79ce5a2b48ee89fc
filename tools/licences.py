"""List the licence of everything that is installed with flowrt, and refuse what may not be shipped with it.

python -m tools.licences          name, version and licence of each package; exit code 1 where one is unknown or not permitted
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackagePath, distribution
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).resolve().parents[1] / "requirements" / "run.txt"
PERMITTED = re.compile(
    r"apache|bsd|mit\b|isc|mpl|mozilla|psf|python software foundation|unlicense|lgpl|eclipse|edl|0bsd|cc0",
    re.IGNORECASE,
)
"""Licences under which a package may stand beside ours. LGPL and MPL hold for the package's own files."""


def licence_of(name: str) -> str:
    """What the package says of itself: its licence expression, else its classifiers, else its licence field."""
    found = distribution(name)
    facts = found.metadata
    if expression := facts.get("License-Expression"):
        return expression
    classifiers = [
        text.rpartition(" :: ")[2] for text in facts.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    if classifiers and classifiers != ["OSI Approved"]:
        return ", ".join(classifiers)
    if text := (facts.get("License") or "").strip():
        return text.splitlines()[0]
    for file in found.files or []:
        if re.match(r"licen[cs]e", PackagePath(file).name, re.IGNORECASE):
            return file.read_text().strip().splitlines()[0].strip()
    return "unknown"


def pinned() -> list[Requirement]:
    """What the lock names for this system and Python, in its order."""
    lines = re.findall(r"^([A-Za-z0-9][^\\\n]*?)\s*\\?$", LOCK.read_text("utf-8"), re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.marker is None or each.marker.evaluate()]


def main() -> int:
    refused = 0
    for each in pinned():
        licence = licence_of(each.name)
        permitted = PERMITTED.search(licence) is not None
        refused += not permitted
        print(f"{each.name} {distribution(each.name).version}: {licence}{'' if permitted else '   NOT PERMITTED'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
