"""What agents show of themselves, drawn: rows of coloured boxes, and planes in coloured regions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from imitari.core.pictures import Picture, Plane, Timeline

WIDTH, LABEL = 760, 210
ROW, BOX = 30, 22
WIDEST = 96.0  # of a box
LETTER = 6.4  # width of a letter
SIDE = 420  # of a plane


def picture(shown: Picture) -> str:
    """A figure with its headline, its picture and a legend of its colours."""
    drawn, names = (timeline(shown), kinds(shown)) if isinstance(shown, Timeline) else (plane(shown), shown.names)
    return (
        f"<figure style='margin:0 0 18px'><strong>{escape(shown.title)}</strong>{drawn}{_legend(names)}"
        f"<figcaption>{escape(shown.why)}</figcaption></figure>"
    )


def kinds(shown: Timeline) -> tuple[str, ...]:
    """The kinds of steps, in the order in which they come."""
    return tuple(dict.fromkeys(box.kind for _, boxes in shown.rows for box in boxes))


def timeline(shown: Timeline) -> str:
    """One row a sequence, one box a step; equal widths, so that the longest row fills the picture."""
    colours = dict(zip(kinds(shown), colours_of(len(kinds(shown))), strict=True))
    longest = max((len(boxes) for _, boxes in shown.rows), default=0)
    width = min(WIDEST, (WIDTH - LABEL) / max(1, longest))
    parts = [_open(WIDTH, ROW * max(1, len(shown.rows)) + 4, shown.title)]
    for number, (label, boxes) in enumerate(shown.rows):
        y = ROW * number + 4
        parts.append(f'<text class="label" x="{LABEL - 12}" y="{y + 15}">{escape(label)}</text>')
        for place, box in enumerate(boxes):
            x = LABEL + place * width
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width - 2:.1f}" height="{BOX}" rx="4" fill="{colours[box.kind]}">'
                f"<title>{place + 1}. {escape(box.words)}</title></rect>"
            )
            if len(box.kind) * LETTER < width - 6:
                middle = x + width / 2 - 1
                parts.append(f'<text class="inside" x="{middle:.1f}" y="{y + 15}">{escape(box.kind)}</text>')
    return "".join(parts) + "</svg>"


def plane(shown: Plane) -> str:
    """Regions as rows of rectangles, marks above them."""
    colours = colours_of(len(shown.names))
    count = len(shown.cells)
    size = SIDE / count
    parts = [_open(SIDE, SIDE, shown.title, f"max-width:{SIDE}px")]
    for row in range(count):
        first = 0
        for region, same in groupby(shown.cells[:, row].tolist()):
            width = len(list(same))
            parts.append(
                f'<rect x="{first * size:.2f}" y="{SIDE - (row + 1) * size:.2f}" width="{width * size + 0.2:.2f}" '
                f'height="{size + 0.2:.2f}" fill="{colours[region]}" shape-rendering="crispEdges"/>'
            )
            first += width
    for mark in shown.marks:
        x, y = ((value + shown.edge) / (2 * shown.edge) * SIDE for value in (mark.x, mark.y))
        parts.append(f'<circle cx="{x:.1f}" cy="{SIDE - y:.1f}" r="5" class="place"/>')
        parts.append(f'<text class="place" x="{x + 9:.1f}" y="{SIDE - y + 4:.1f}">{escape(mark.words)}</text>')
    return "".join(parts) + "</svg>"


def colours_of(count: int) -> list[str]:
    """As many as there are, as far apart as that allows; readable on light and dark, and under dark letters."""
    return [f"hsl({210 + 360 * number / max(1, count):.0f} 55% {72 - 10 * (number % 2)}%)" for number in range(count)]


def _legend(names: Sequence[str]) -> str:
    entries = zip(names, colours_of(len(names)), strict=True)
    spans = "".join(f"<span><i style='background:{colour}'></i>{escape(name)}</span>" for name, colour in entries)
    return f"<div class='legend'>{spans}</div>"


def _open(width: float, height: float, title: str, style: str = "") -> str:
    return (
        f'<svg class="picture" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}" '
        f'style="{style}" xmlns="http://www.w3.org/2000/svg">'
    )
