"""Tables are sorted by mouse and keyboard: numbers as numbers, what is missing last, equal rows in their order."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from chromium import Browser
from hssl.report.document import Document, Number, Section, Table
from hssl.report.html import page as write_page

Doctor = Callable[[Path, str, str], Path]
Key = float | str | None

ROWS = """
return [...document.getElementById(arguments[0]).tBodies[0].rows].map((row) => {
  const cell = row.cells[arguments[1]];
  return [cell.dataset.value ?? null, cell.textContent.trim(), row.textContent];
});
"""
HEADINGS = """
return [...document.getElementById(arguments[0]).tHead.rows[0].cells].map((head) => head.getAttribute('aria-sort'));
"""
PRESS = "document.getElementById(arguments[0]).tHead.rows[0].cells[arguments[1]].querySelector('button').click()"

SMALL = [
    # name, number
    ("Émile", "9.5"), ("zebra", "10.2"), ("item 10", ""), ("item 9", "-1"), ("apple", "10.2"), ("–", "1e2"),
    ("Apple", ""), ("echo", "9.50"),
]  # fmt: skip


def rows(browser: Browser, table: str, column: int) -> list[tuple[Key, str]]:
    """The keys of a column, each with its row's whole text; None where nothing was measured."""
    found: list[tuple[Key, str]] = []
    for value, text, whole in browser.run(ROWS, table, column):
        written = text if value is None else value
        if written in ("", "–"):
            found.append((None, whole))
            continue
        try:
            found.append((text if value is None else float(value), whole))
        except ValueError:
            found.append((value, whole))
    return found


def disorder(browser: Browser, keys: list[Key], descending: bool) -> list[str]:
    """Neighbours that stand the wrong way round."""
    wrong = []
    for first, second in pairwise(keys):
        if first is None or second is None:
            right = second is None
        elif isinstance(first, str) and isinstance(second, str):
            way = browser.run(
                "return arguments[0].localeCompare(arguments[1], 'en', { numeric: true, sensitivity: 'base' })",
                first, second,
            )  # fmt: skip
            right = way >= 0 if descending else way <= 0
        else:
            assert isinstance(first, float)
            assert isinstance(second, float)
            right = first >= second if descending else first <= second
        if not right:
            wrong.append(f"{first} before {second}")
    return wrong


def tables(browser: Browser) -> list[tuple[str, int]]:
    """Name and number of columns of each table that can be sorted."""
    found: list[Any] = browser.run(
        "return [...document.querySelectorAll('table.sortable')].map((t) => [t.id, t.tHead.rows[0].cells.length])"
    )
    return [(name, count) for name, count in found]


def test_every_column_of_every_table_is_sorted_both_ways(browser: Browser, grid: Path) -> None:
    browser.open(grid / "report.html")
    browser.unfold()
    assert {"table1", "table2"} <= {name for name, _ in tables(browser)}
    for name, columns in tables(browser):
        for column in range(columns):
            before = rows(browser, name, column)
            for state in ("ascending", "descending"):
                browser.run(PRESS, name, column)
                now = rows(browser, name, column)
                assert disorder(browser, [key for key, _ in now], state == "descending") == [], (name, column, state)
                assert sorted(text for _, text in now) == sorted(text for _, text in before)
                assert browser.run(HEADINGS, name) == [state if at == column else "none" for at in range(columns)]
            browser.run(PRESS, name, column)
            assert rows(browser, name, column) == before, (name, column)
            assert browser.run(HEADINGS, name) == ["none"] * columns


def test_a_table_of_the_paper_has_numbers_to_sort_and_some_that_are_missing(browser: Browser, invented: Path) -> None:
    browser.open(invented / "report.html")
    columns = dict(tables(browser))["table1"]
    keys = [key for column in range(columns) for key, _ in rows(browser, "table1", column)]
    assert sum(isinstance(key, float) for key in keys) >= 8
    assert None in keys


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x - y :", "y - x :"),
        ("collator.compare(x, y)", "0"),
        ("(x === null) - (y === null)", "way * ((x === null) - (y === null))"),
    ],
)
def test_rows_out_of_order_are_found_out(
    browser: Browser, invented: Path, doctored: Doctor, old: str, new: str
) -> None:
    browser.open(doctored(invented / "report.html", old, new))
    found = []
    for column in range(dict(tables(browser))["table1"]):
        for descending in (False, True):
            browser.run(PRESS, "table1", column)
            found += disorder(browser, [key for key, _ in rows(browser, "table1", column)], descending)
        browser.run(PRESS, "table1", column)
    assert found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    lines = tuple((name, Number(value, float(value) if value else None)) for name, value in SMALL)
    table = Table("small", ("Name", "Number"), lines)
    path = tmp_path / "small.html"
    path.write_text(write_page(Document("Small", "lead", (Section("Section", tables=(table,)),))))
    return path


def names(browser: Browser) -> list[str]:
    return [text for _, text, _ in browser.run(ROWS, "small", 0)]


def test_the_order_of_numbers_words_and_missing_cells(browser: Browser, small: Path) -> None:
    browser.open(small)
    written = [name for name, _ in SMALL]
    browser.run(PRESS, "small", 1)
    assert names(browser) == ["item 9", "Émile", "echo", "zebra", "apple", "–", "item 10", "Apple"]
    browser.run(PRESS, "small", 1)
    assert names(browser) == ["–", "zebra", "apple", "Émile", "echo", "item 9", "item 10", "Apple"]
    browser.run(PRESS, "small", 1)
    assert names(browser) == written
    browser.run(PRESS, "small", 0)
    assert names(browser) == ["apple", "Apple", "echo", "Émile", "item 9", "item 10", "zebra", "–"]
    browser.run(PRESS, "small", 0)
    assert names(browser) == ["zebra", "item 10", "item 9", "Émile", "echo", "apple", "Apple", "–"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("typeof x === 'number' ? x - y", "typeof x === 'number' ? String(x).localeCompare(String(y))"),
        ("numeric: true", "numeric: false"),
        ("(x === null) - (y === null)", "way * ((x === null) - (y === null))"),
    ],
)
def test_another_order_is_noticed(browser: Browser, small: Path, doctored: Doctor, old: str, new: str) -> None:
    orders = []
    for page in (small, doctored(small, old, new)):
        browser.open(page)
        seen = []
        for column in (0, 0, 0, 1, 1, 1):
            browser.run(PRESS, "small", column)
            seen.append(names(browser))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_headings_are_reached_and_pressed_by_keyboard(browser: Browser, small: Path) -> None:
    browser.open(small)
    focused = "return document.activeElement.closest('th')?.textContent ?? ''"
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.run(focused) == "Name"
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.run(HEADINGS, "small") == ["ascending", "none"]
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.run(focused) == "Number"
    browser.driver.switch_to.active_element.send_keys(Keys.SPACE)
    assert browser.run(HEADINGS, "small") == ["none", "ascending"]
    assert names(browser)[0] == "item 9"
    ring = "const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.outlineWidth]"
    assert browser.run(ring) == ["solid", "2px"]
    mark = "return getComputedStyle(document.activeElement, '::after').content"
    assert "\u2191" in browser.run(mark)
