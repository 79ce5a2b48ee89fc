"""Write flows/scenes/four-way.yaml: what the four simulated cameras see, as the simulation itself knows it.

python -m tools.scenes
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowrt_sim.camera.scene import scenes
from flowrt_sim.street.layout import Layout

TARGET = Path(__file__).parent.parent / "flows" / "scenes" / "four-way.yaml"

HEAD = """\
# What the four cameras of the simulated intersection see: lines and zones in pixels of a 1280x720 picture.
# Made by `python -m tools.scenes` from the simulation's own geometry. For a real camera, draw your own.
scene:
"""


def text() -> str:
    """The file's content, one line an item so that it can be read and edited by hand."""
    lines = [HEAD]
    for name, scene in scenes(Layout()).items():
        lines.append(f"  {name}:\n")
        for key, value in scene.items():
            if isinstance(value, dict):
                lines.append(f"    {key}:\n")
                lines += [f"      {item}: {_flow(what)}\n" for item, what in value.items()]
            else:
                lines.append(f"    {key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{round(value, 3):g}" if abs(value) < 10 else f"{round(value, 1):g}"
    return str(value)


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text())
