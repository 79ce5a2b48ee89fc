"""An SVG canvas with the few shapes that dashboards are made of. Units are pixels, y grows downwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

FONT = "Inter, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
PAGE, CARD, EDGE, GRID, TEXT, DIM = "#111217", "#181B1F", "#24282E", "#2A2F36", "#D8DCE3", "#8A93A0"
LINK = "#6E9FFF"

Point = tuple[float, float]


class Canvas:
    """Collects shapes; `text()` gives the document. `height` may be set once it is known."""

    def __init__(self, width: float, height: float = 0.0) -> None:
        self.width, self.height = width, height
        self._shapes: list[str] = []

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        fill: str,
        *,
        radius: float = 0.0,
        edge: str = "",
        alpha: float = 1.0,
    ) -> None:
        """A rectangle; nothing where it has no area."""
        if w <= 0 or h <= 0:
            return
        stroke = f' stroke="{edge}"' if edge else ""
        opacity = f' fill-opacity="{alpha:g}"' if alpha < 1.0 else ""
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius:g}" fill="{fill}"{opacity}{stroke}/>'
        )

    def line(
        self, points: Sequence[Point], color: str, *, width: float = 1.0, dash: str = "", alpha: float = 1.0
    ) -> None:
        """An open line."""
        if len(points) < 2:
            return
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        extra = (f' stroke-dasharray="{dash}"' if dash else "") + (
            f' stroke-opacity="{alpha:g}"' if alpha < 1.0 else ""
        )
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}" stroke-linejoin="round"{extra}/>'
        )

    def area(self, points: Sequence[Point], base_y: float, color: str, alpha: float) -> None:
        """The area between a line and a level."""
        if len(points) < 2:
            return
        closed = [(points[0][0], base_y), *points, (points[-1][0], base_y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in closed)
        self._shapes.append(f'<polygon points="{path}" fill="{color}" fill-opacity="{alpha:g}"/>')

    def dot(self, x: float, y: float, radius: float, color: str) -> None:
        """A filled circle."""
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{color}"/>')

    def path(self, commands: str, fill: str) -> None:
        """A filled path; `commands` as in SVG's `d`."""
        self._shapes.append(f'<path d="{commands}" fill="{fill}"/>')

    def label(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12.0,
        color: str = TEXT,
        anchor: str = "start",
        bold: bool = False,
        max_width: float = 0.0,
        turn: float = 0.0,
    ) -> None:
        """One line of text on the base line y; shortened to `max_width` pixels where given."""
        if max_width:
            text = shortened(text, max_width, size)
        weight = ' font-weight="600"' if bold else ""
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        self._shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}" text-anchor="{anchor}"{weight}{turned}>'
            f"{escape(text)}</text>"
        )

    def text(self) -> str:
        """The SVG document."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{self.height:g}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" font-family="{FONT}">'
        )
        page = f'<rect width="{self.width:g}" height="{self.height:g}" fill="{PAGE}"/>'
        return "\n".join([head, page, *self._shapes, "</svg>\n"])


def text_width(text: str, size: float) -> float:
    """About how wide a text is; exact widths would need the font."""
    narrow = sum(letter in "il.,:;|!'tfjr I()" for letter in text)
    wide = sum(letter in "mwMW%@" for letter in text)
    return size * (0.61 * (len(text) - narrow - wide) + 0.34 * narrow + 0.92 * wide)


def shortened(text: str, max_width: float, size: float) -> str:
    """The text, cut with an ellipsis where it is wider than `max_width`."""
    if text_width(text, size) <= max_width:
        return text
    while text and text_width(text + "…", size) > max_width:
        text = text[:-1]
    return text + "…"


def mixed(one: str, other: str, share: float) -> str:
    """A colour between two, both as #RRGGBB."""
    pairs = zip(_rgb(one), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * min(max(share, 0.0), 1.0)):02x}" for a, b in pairs)


def _rgb(color: str) -> Iterable[int]:
    return (int(color[i : i + 2], 16) for i in (1, 3, 5))


def black_on(color: str) -> bool:
    """Whether black text reads better than white on a colour."""
    red, green, blue = _rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140
