"""The frame of every report: one HTML text with its own style, a verdict on top, sections below."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Literal

Tone = Literal["good", "bad", ""]


def page_of(title: str, lead: str, verdict: str, tone: Tone, explanation: str, *sections: str) -> str:
    """The whole text. `tone` colours the verdict; sections that are empty are left out."""
    style = (Path(__file__).parent / "_style.css").read_text()
    body = [
        f"<h1>{escape(title)}</h1><p class='soft'>{escape(lead)}</p>",
        f"<section class='verdict {tone}'><strong>{escape(verdict)}</strong><p>{escape(explanation)}</p></section>",
        *(section for section in sections if section),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{''.join(body)}</main></body></html>"
    )


def section(heading: str, why: str, *inside: str) -> str:
    return f"<section><h2>{escape(heading)}</h2><p class='why'>{escape(why)}</p>{''.join(inside)}</section>"


def legend(entries: Sequence[tuple[str, str]]) -> str:
    return (
        "<div class='legend'>"
        + "".join(f"<span><i style='background:{colour}'></i>{escape(text)}</span>" for colour, text in entries)
        + "</div>"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], changed: bool = False) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    mark = " class='changed'" if changed else ""
    body = "".join(
        f"<tr{mark}>"
        + "".join(f"<td{' class=name' if number == 0 else ''}>{escape(cell)}</td>" for number, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    head = f"<tr>{top}</tr>" if any(heads) else ""
    return f"<div class='scroll'><table>{head}{body}</table></div>"
