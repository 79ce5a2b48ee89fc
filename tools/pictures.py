"""Makes the README's pictures of the simulated intersection again: `python -m tools.pictures` (needs the bundled model).

`docs/pictures/north.jpg` is what the shipped flow sees, with boxes, zones and lamps drawn by the `snapshot` node;
`docs/pictures/scene.jpg` is what `flowrt scene` draws of its scene;
`docs/pictures/run.svg` is the live view of `flowrt run`;
`docs/pictures/weathers.jpg` is the same moment at dusk, by night and in rain;
`docs/pictures/violations.jpg` are ten violations that the rules found, one of each, from a quarter of an hour (takes ten minutes).
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.style import Style
from rich.text import Text

from flowrt_sim.source import open_camera
from tests.run.terminal import Terminal

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
WATCHED_S = 24
SCORED_SEED = 984
CAPTION_PX, CAPTION_WIDTH_PX = 34, 880
"""Height of the caption in a picture of `flowrt score`, and how much of its width is shown."""
FLOW = f"""\
flow: picture
site: main-and-5th
include: {ROOT}/flows/scenes/four-way.yaml
nodes:
  north:   {{type: camera, uri: "sim://four-way?seed=7&camera=north&duration_s={WATCHED_S}"}}
  signals: {{type: signal.sim, uri: "sim://four-way?seed=7"}}
  objects: {{type: detect, from: north, model: flowrt-traffic-int8.xml, nms: across, min_confidence: 0.3}}
  tracks:  {{type: track, from: objects}}
  speeds:  {{type: speed, from: tracks, scene: north}}
  zones:   {{type: roi, from: speeds, scene: north}}
  picture: {{type: snapshot, from: [zones, signals], scene: north, every_s: {WATCHED_S - 1}}}
"""


def north() -> None:
    """Run the flow for a while and keep its last picture."""
    with tempfile.TemporaryDirectory() as folder:
        flow = Path(folder) / "picture.yaml"
        flow.write_text(FLOW)
        command = [sys.executable, "-m", "flowrt", "run", str(flow), "--http", "off"]
        subprocess.run(command, check=True, env={**os.environ, "FLOWRT_DATA": folder})
        last = sorted(Path(folder).rglob("*.jpg"))[-1]
        (PICTURES / "north.jpg").write_bytes(last.read_bytes())


def scene() -> None:
    """The sheet of the scene, at two thirds of its size."""
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        flow = ROOT / "flows" / "intersection.yaml"
        command = [sys.executable, "-m", "flowrt", "scene", str(flow), "--camera", "north", "-o", str(sheet)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        drawn = cv2.resize(cv2.imread(str(sheet)), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(PICTURES / "scene.jpg"), drawn, [cv2.IMWRITE_JPEG_QUALITY, 85])


def run_view() -> None:
    """The live view of the shipped flow in a terminal of 120x40, as it stands after half a minute."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "flowrt", "run", "flows/intersection.yaml"]
        terminal = Terminal(command, ROOT, 120, 40, FLOWRT_DATA=folder)
        terminal.wait_for(lambda text: " up 0:3" in text and " ── log" in text and " runs: " in text, within_s=120)
        shown = Console(record=True, width=120, file=io.StringIO())
        for row in range(terminal.screen.lines):
            line = Text()
            for column in range(terminal.screen.columns):
                cell = terminal.screen.buffer[row][column]
                colour = {"default": "default", "brown": "yellow"}.get(cell.fg, cell.fg)
                line.append(cell.data or " ", Style(color=colour, bold=cell.bold))
            shown.print(line, no_wrap=True)
        terminal.close()
    (PICTURES / "run.svg").write_text(shown.export_svg(title="flowrt run flows/intersection.yaml"), "utf-8")


def weathers() -> None:
    """The same moment in three weathers, side by side at half size."""
    shown = []
    for weather in ("dusk", "night", "rain"):
        camera = open_camera(f"sim://four-way?seed=7&camera=north&weather={weather}&start=54")
        shown.append(cv2.resize(camera.frame(0).image, (640, 360), interpolation=cv2.INTER_AREA))
    cv2.imwrite(str(PICTURES / "weathers.jpg"), np.hstack(shown), [cv2.IMWRITE_JPEG_QUALITY, 88])


def violations() -> None:
    """The first violation of each rule that `flowrt score` found, two beside each other at half size."""
    with tempfile.TemporaryDirectory() as folder:
        flow, scored = str(ROOT / "flows" / "four-cameras.yaml"), f"{SCORED_SEED}..{SCORED_SEED}"
        command = [sys.executable, "-m", "flowrt", "score", flow, "--seeds", scored, "--minutes", "15", "--pictures"]
        subprocess.run([*command, folder], check=True)
        sheet(Path(folder))


def sheet(folder: Path) -> None:
    """Ten pictures out of a folder that `flowrt score --pictures` wrote. Their captions stay larger than the pictures."""
    first: dict[str, Path] = {}
    for file in sorted(folder.glob("*-hit-*.jpg")):
        first.setdefault(file.name.partition("-")[0], file)
    cells = []
    for file in first.values():
        picture = cv2.imread(str(file))
        assert picture is not None
        caption, below = picture[:CAPTION_PX, :CAPTION_WIDTH_PX], picture[CAPTION_PX:]
        sizes = (caption, round(CAPTION_PX * 640 / CAPTION_WIDTH_PX)), (below, below.shape[0] // 2)
        cells.append(np.vstack([cv2.resize(part, (640, high), interpolation=cv2.INTER_AREA) for part, high in sizes]))
    rows = [np.hstack(cells[at : at + 2]) for at in range(0, len(cells) - 1, 2)]
    cv2.imwrite(str(PICTURES / "violations.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 84])


if __name__ == "__main__":
    north()
    run_view()
    scene()
    weathers()
    violations()
