"""Parts that every page is made of: the document, tables, figures and legends, as HTML text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from hssl.analysis.summaries import MODES
from hssl.report.stylesheet import CSS

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
        '<meta name="color-scheme" content="light dark">'
        f'<title>{told}</title><link rel="icon" href="data:,"><style>{CSS}</style></head>\n'
        f"<body>\n<main>\n{body}\n</main>\n<footer>{FOOTER}</footer>\n{run}</body></html>\n"
    )


def prose(text: str) -> str:
    """Text for HTML, with words that no line may break: 'H-SSL', '95 %'."""
    return re.sub(
        r"([AH]-SSL|Rot-Eq\.|CIFAR-10|[Pp]-values?|[\d.]+ %)", r'<span class="together">\1</span>', html.escape(text)
    )


def figure(heading: str, plot: str | None, caption: str) -> str:
    """A plot under its heading; empty without one."""
    if plot is None:
        return ""
    told = f"<figcaption>{prose(caption)}</figcaption>" if caption else ""
    return f"<figure><h3>{prose(heading)}</h3>{plot}{told}</figure>"


def legend(modes: Iterable[str]) -> str:
    """The colours of the modes."""
    return (
        '<div class="legend">'
        + "".join(f'<span><span class="swatch {m}"></span>{MODES[m]}</span>' for m in modes)
        + "</div>"
    )


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Text by line and column, the first column as headings of the lines; columns of words stand to the left."""
    classes = [
        ' class="word"' if any(line[number][:1].isalpha() for line in lines) else "" for number in range(len(headings))
    ]
    head = "".join(
        f'<th scope="col"{word}>{html.escape(heading)}</th>' for heading, word in zip(headings, classes, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row">{prose(line[0])}</th>'
        + "".join(f"<td{word}>{html.escape(text)}</td>" for text, word in zip(line[1:], classes[1:], strict=True))
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
