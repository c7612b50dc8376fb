"""Pages can be read in light and dark, and on a phone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chromium import Browser
from hssl.report.colours import DARK, LIGHT
from looks import beside, brightness, crooked, pale, sticking, towers

Doctor = Callable[[Path, str, str], Path]
PHONE = 360


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(browser: Browser, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    browser.unfold()
    assert pale(browser) == []


@pytest.mark.parametrize(("dark", "muted"), [(False, LIGHT["muted"]), (True, DARK["muted"])])
def test_pale_text_is_found(browser: Browser, recorded: Path, doctored: Doctor, dark: bool, muted: str) -> None:
    browser.open(doctored(recorded / "report.html", f"--muted: {muted}", "--muted: #808080"), dark=dark)
    found = pale(browser)
    assert any("caption" in text or "p: " in text for text in found)
    assert any("text: " in text for text in found)  # in a plot


def test_the_page_follows_the_scheme(browser: Browser, page: Path) -> None:
    browser.open(page, dark=False)
    assert brightness(browser) > 0.9
    browser.open(page, dark=True)
    assert brightness(browser) < 0.05


def test_nothing_lies_beside_a_phones_screen(browser: Browser, page: Path) -> None:
    browser.open(page, width=PHONE)
    assert beside(browser) == []
    browser.unfold()
    assert beside(browser) == []


def test_what_lies_beside_the_screen_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    browser.open(doctored(recorded / "report.html", "overflow-x: auto", "overflow-x: visible"), width=PHONE)
    assert beside(browser)


def test_no_text_is_a_tower_of_words(browser: Browser, page: Path) -> None:
    for width in (PHONE, 1280):
        browser.open(page, width=width)
        browser.unfold()
        assert towers(browser) == []


def test_a_tower_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    narrow = '<p style="width: 1em">one word a line here</p></body>'
    browser.open(doctored(recorded / "report.html", "</body>", narrow), width=PHONE)
    assert towers(browser) == ["one word a line here: 5 lines"]


def test_headings_stand_over_their_columns(browser: Browser, page: Path) -> None:
    for width in (PHONE, 1280):
        browser.open(page, width=width)
        browser.unfold()
        assert crooked(browser) == []


def test_a_heading_beside_its_column_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    browser.open(doctored(recorded / "report.html", "table.results thead th.word", "table.results thead th.nothing"))
    assert any("right" in fault for fault in crooked(browser))


def test_the_first_column_stays_in_sight(browser: Browser, page: Path) -> None:
    browser.open(page, width=PHONE)
    browser.unfold()
    scrolled = sticking(browser)
    assert scrolled
    for far, firsts, gone, share in scrolled:
        assert far > 0
        assert firsts > 1
        assert gone == 0
        assert share < 0.6


def test_a_column_that_leaves_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    browser.open(doctored(recorded / "report.html", "position: sticky", "position: static"), width=PHONE)
    assert any(gone for _, _, gone, _ in sticking(browser))
