"""A document as a page: one HTML file that needs nothing from outside itself."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup

from hssl.analysis.summaries import MODES
from hssl.report.colours import DARK, LIGHT, PRINT
from hssl.report.document import Document, Number, plain

_TOGETHER = re.compile(r"([AH]-SSL|Rot-Eq\.|CIFAR-10|[Pp]-values?|[\d.]+ %)")


def page(document: Document) -> str:
    """The page as text: the same document gives the same page."""
    return _environment().from_string(asset("page.html")).render(
        document=document, style=asset("report.css"), script=asset("sort.js"), light=LIGHT, dark=DARK, print=PRINT
    )  # fmt: skip


def asset(name: str) -> str:
    """A file that pages are made of."""
    return resources.files("hssl.report").joinpath("assets", name).read_text(encoding="utf-8")


def prose(text: str) -> Markup:
    """Text for HTML, with words that no line may break: 'H-SSL', '95 %'."""
    return Markup(_TOGETHER.sub(r'<span class="together">\1</span>', html.escape(text)))


def anchor(title: str) -> str:
    """What links name a section by."""
    return "section-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@cache
def _environment() -> Environment:
    environment = Environment(autoescape=True, lstrip_blocks=True, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"prose": prose, "anchor": anchor, "plain": plain}
    modes = defaultdict(str, {name: mode for mode, name in MODES.items()})
    environment.globals |= {"classes": _classes, "words": _words, "modes": modes, "names": MODES}
    return environment


def _classes(**there: bool) -> Markup:
    names = " ".join(name for name, is_there in there.items() if is_there)
    return Markup(f' class="{names}"' if names else "")


def _words(column: Sequence[str | Number]) -> bool:
    """Columns of words alone stand to the left."""
    return all(isinstance(cell, str) for cell in column)
