"""Files that come with flowrt: schemas, flows, dashboards, models.

Installed, they lie in `flowrt/share/`; in a checkout, in the project's root.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share(name: str) -> Path:
    """The folder or file of that name (`schemas`, `flows/intersection.yaml`). Raises FileNotFoundError."""
    for root in (_PACKAGE / "share", _PACKAGE.parent):
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(f"flowrt was installed without its '{name}'")
