"""Parts that every page is made of: the document, tables, figures and legends, as HTML text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from hssl.experiments.stylesheet import CSS
from hssl.experiments.tables import MODES

FOOTER = (
    "Implements T. A. Keller, X. Suau and L. Zappella, ‘Homomorphic Self-Supervised Learning’ (2022), arXiv:2211.08282."
)


def document(title: str, body: str, script: str = "") -> str:
    """A whole page with no resource outside of itself."""
    told = html.escape(title)
    run = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{told}</title><link rel="icon" href="data:,"><style>{CSS}</style></head>\n'
        f"<body>\n{body}\n<footer>{FOOTER}</footer>\n{run}</body></html>\n"
    )


def figure(heading: str, plot: str | None, caption: str) -> str:
    """A plot under its heading; empty without one."""
    if plot is None:
        return ""
    told = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f"<figure><h3>{html.escape(heading)}</h3>{plot}{told}</figure>"


def legend(modes: Iterable[str]) -> str:
    """The colours of the modes."""
    return (
        '<div class="legend">'
        + "".join(f'<span><span class="swatch {m}"></span>{MODES[m]}</span>' for m in modes)
        + "</div>"
    )


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Text by line and column, the first column as headings of the lines."""
    head = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in headings)
    body = "".join(
        f'<tr><th scope="row">{html.escape(line[0])}</th>'
        + "".join(f"<td>{html.escape(text)}</td>" for text in line[1:])
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
