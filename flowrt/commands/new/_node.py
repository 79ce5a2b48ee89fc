"""What `flowrt new node NAME` writes: a node, a flow that uses it, and a test, from the templates that are shipped."""

from __future__ import annotations

from pathlib import Path

from flowrt.system.resources import share

KINDS = ("source", "transform", "rule", "sink")


def texts(name: str, kind: str) -> dict[Path, str]:
    """What to write, by file: the template with its `my_node` and `MyNode` renamed."""
    cls = "".join(word.capitalize() for word in name.split("_"))
    made = {}
    for file in sorted((share("templates") / "node" / kind).iterdir()):
        if file.is_file():
            text = file.read_text("utf-8").replace("my_node", name).replace("MyNode", cls)
            named = file.name.replace("my_node", name)
            made[Path("nodes", named) if file.suffix == ".py" else Path(named)] = text
    return made
