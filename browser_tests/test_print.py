"""Pages are whole on paper: light, within the sheet, and with what a screen folds away."""

import io
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from pypdf import PdfReader

from chromium import A4_PIXELS, Browser
from hssl.report.document import Document, Number, Section, Table
from hssl.report.html import page as write_page
from looks import beside, brightness, pale

Doctor = Callable[[Path, str, str], Path]

TABLES = """
return [...document.querySelectorAll('td')].map((cell) => cell.innerText.split('\\n')).flat()
  .map((text) => text.trim()).filter((text) => text);
"""
HIDDEN = """
return [...document.querySelectorAll('details')].filter((part) => ![...part.children].every((child) =>
  child.checkVisibility() && child.getBoundingClientRect().height > 0)).map((part) => part.innerText);
"""


def squeezed(text: str) -> str:
    """Without spaces and ligatures, which printing sets as it likes."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


def missing_on_paper(browser: Browser) -> list[str]:
    """Texts of cells, folded ones among them, that the printed sheets do not have."""
    sheets = PdfReader(io.BytesIO(browser.print())).pages
    printed = squeezed("".join(sheet.extract_text() for sheet in sheets))
    browser.unfold()
    texts = browser.run(TABLES)
    assert len(texts) > 20, "there is nothing to look for"
    return [text for text in texts if squeezed(text) not in printed]


def test_every_cell_is_printed(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert missing_on_paper(browser) == []


def test_a_part_that_stays_folded_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    browser.open(doctored(recorded / "report.html", "details::details-content", "details::nothing"))
    assert missing_on_paper(browser)


@pytest.fixture
def long_table(tmp_path: Path) -> Path:
    lines = tuple(("row", Number(str(number), number)) for number in range(150))
    table = Table("long", ("First heading", "Second heading"), lines)
    path = tmp_path / "long.html"
    path.write_text(write_page(Document("Long", "lead", (Section("Section", tables=(table,)),))))
    return path


def headings_printed(browser: Browser) -> list[int]:
    """How many of a long table's two headings each sheet has."""
    sheets = [squeezed(sheet.extract_text()) for sheet in PdfReader(io.BytesIO(browser.print())).pages]
    assert len(sheets) > 2
    return [sum(squeezed(heading) in sheet for heading in ("First heading", "Second heading")) for sheet in sheets]


def test_headings_are_printed_on_every_sheet(browser: Browser, long_table: Path) -> None:
    browser.open(long_table)
    assert set(headings_printed(browser)) == {2}


def test_a_sheet_without_headings_is_found(browser: Browser, long_table: Path, doctored: Doctor) -> None:
    browser.open(doctored(long_table, "display: contents", "display: inline-block"))
    assert set(headings_printed(browser)[1:]) != {2}


def test_paper_is_light_and_nothing_lies_beside_it(browser: Browser, page: Path) -> None:
    browser.open(page, width=A4_PIXELS, dark=True, media="print")
    assert brightness(browser) == 1
    assert browser.run(HIDDEN) == []
    assert beside(browser) == []
    assert pale(browser) == []
    wide = "return [...document.querySelectorAll('.scroll')].map((box) => box.scrollWidth - box.clientWidth)"
    assert max(browser.run(wide), default=0) <= 0


def test_folded_parts_and_dark_sheets_are_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    browser.open(doctored(recorded / "report.html", "@media print", "@media nothing"), dark=True, media="print")
    assert brightness(browser) < 1
    browser.open(recorded / "report.html")
    assert browser.run(HIDDEN)
