"""Draw a flow as Mermaid, SVG or PNG.

Prints Mermaid; with -o the ending of the file says what is written: .mmd, .svg or .png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from flowrt.commands import DONE, UsageError
from flowrt.commands.graph import _layout as graph_layout
from flowrt.commands.graph._layout import Layout, edge_label
from flowrt.config import load
from flowrt.flow import Flow

SHAPES = {"source": ("([", "])"), "inference": ("[[", "]]"), "transform": ("[", "]"), "sink": ("[(", ")]")}
FILLS = {"source": "#dbeafe", "inference": "#ede9fe", "transform": "#f1f5f9", "sink": "#dcfce7"}
RESERVED = {"end", "graph", "flowchart", "subgraph", "class", "style", "click", "default", "direction", "call", "href"}
STROKE, INK, FAINT = "#475569", "#0f172a", "#64748b"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flow", metavar="FLOW", help="a flow file")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write FILE.mmd, FILE.svg or FILE.png")


def run(args: argparse.Namespace) -> int:
    """Load the flow and draw it."""
    output: Path | None = args.output
    if output is not None and output.suffix not in (".mmd", ".svg", ".png"):
        raise UsageError(f"{output}: the ending says what to draw: .mmd, .svg or .png")
    flow = load(args.flow)
    if output is None:
        print(mermaid(flow), end="")
    elif output.suffix == ".mmd":
        output.write_text(mermaid(flow), "utf-8")
    elif output.suffix == ".svg":
        output.write_text(svg(flow), "utf-8")
    else:
        from flowrt.commands.graph._png import write_png  # OpenCV is loaded for pictures only

        write_png(graph_layout.layout(flow), output)
    return DONE


def mermaid(flow: Flow) -> str:
    """The flow as a Mermaid flowchart, from left to right."""
    lines = ["flowchart LR"]
    groups: dict[str, list[str]] = {}  # by the entry of a repeated block that they were made for
    for name, node in flow.nodes.items():
        left, right = SHAPES[node.type.role]
        group = node.mark.use.what if node.mark.use is not None else ""
        shape = f'{_id(name)}{left}"{name}<br/><small>{node.type.name}</small>"{right}'
        groups.setdefault(group, []).append(shape)
    for number, (group, shapes) in enumerate(groups.items()):
        inner = [f"  {'  ' if group else ''}{shape}" for shape in shapes]
        lines += [f'  subgraph G_{number}["{group}"]', *inner, "  end"] if group else inner
    for edge in flow.edges:
        arrow = "-->" if edge.field == "from" else "-.->"
        lines.append(f'  {_id(edge.source)} {arrow}|"{edge_label(flow, edge)}"| {_id(edge.target)}')
    lines += [f"  classDef {role} fill:{fill},stroke:{STROKE},color:{INK}" for role, fill in FILLS.items()]
    for role in FILLS:
        members = [_id(name) for name, node in flow.nodes.items() if node.type.role == role]
        if members:
            lines.append(f"  class {','.join(members)} {role}")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    """A node's name in Mermaid, where some words are taken."""
    return f"N_{name}" if name in RESERVED else name


def svg(flow: Flow) -> str:
    """The flow as an SVG picture."""
    drawn = graph_layout.layout(flow)
    parts = [_head(drawn, flow.name)]
    for wire in drawn.wires:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in wire.points)
        dashes = f' stroke-dasharray="{graph_layout.DASH[0]} {graph_layout.DASH[1]}"' if wire.side_input else ""
        parts.append(f'<polyline points="{points}" class="wire"{dashes} marker-end="url(#tip)"/>')
    for wire in (each for each in drawn.wires if each.label):
        x, y = wire.label_at
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="label">{_escape(wire.label)}</text>')
    for box in drawn.boxes:
        parts.append(
            f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="8" '
            f'fill="{FILLS[box.role]}" stroke="{STROKE}"/>'
            f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + 20:.1f}" class="name">{_escape(box.name)}</text>'
            f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + 36:.1f}" class="type">{_escape(box.type)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(drawn: Layout, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawn.width:.0f} {drawn.height:.0f}" '
        f'width="{drawn.width:.0f}" height="{drawn.height:.0f}" role="img">\n<title>{_escape(title)}</title>\n'
        "<style>text{font-family:system-ui,sans-serif;text-anchor:middle}"
        f".name{{font-size:13px;font-weight:600;fill:{INK}}}.type{{font-size:11px;fill:{FAINT}}}"
        f".label{{font-size:10px;fill:{FAINT};paint-order:stroke;stroke:#fff;stroke-width:4px}}"
        f".wire{{fill:none;stroke:{STROKE};stroke-width:1.4}}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="{STROKE}"/></marker></defs>\n'
        f'<rect width="{drawn.width:.0f}" height="{drawn.height:.0f}" fill="#fff"/>'
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
