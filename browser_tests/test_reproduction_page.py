"""The page of a reproduction loads, needs nothing from outside, and shows the records' numbers."""

import re
from collections.abc import Callable
from pathlib import Path

from chromium import Browser
from numbers_shown import accuracies, wrong_numbers

Doctor = Callable[[Path, str, str], Path]


def test_a_page_loads_in_silence_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("return document.querySelector('h1').textContent")
    assert browser.messages() == []
    assert browser.requests() == []


def test_an_error_and_a_request_are_noticed(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    outside = '<img alt="" src="https://example.invalid/logo.png"><script>throw Error("broken")</script></body>'
    browser.open(doctored(recorded / "report.html", "</body>", outside))
    assert any("broken" in message for message in browser.messages())
    assert browser.requests() == ["https://example.invalid/logo.png"]


def test_every_cells_number_is_the_records(browser: Browser, grid: Path) -> None:
    browser.open(grid / "report.html")
    assert wrong_numbers(browser, grid / "records") == []


def test_numbers_stay_with_their_rows_when_a_table_is_sorted(browser: Browser, invented: Path) -> None:
    browser.open(invented / "report.html")
    script = "const shown = () => [...document.querySelectorAll('#table1 tbody tr')].map((row) => row.textContent);"
    before = browser.run(f"{script} return shown();")
    browser.run("document.querySelector('#table1 thead th:last-child button').click()")
    after = browser.run(f"{script} return shown();")
    assert after != before
    assert sorted(after) == sorted(before)
    assert wrong_numbers(browser, invented / "records") == []


def test_a_tampered_number_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    page, records = recorded / "report.html", recorded / "records"
    run = "mnist-rotation-hssl"
    values = accuracies(records)[run]["readout"]
    cell = re.search(
        rf'<td data-value="([\d.]+)"[^>]*data-cell="{run}"[^>]*>(?:<b>)?([\d.]+) ± ([\d.]+)', page.read_text()
    )
    assert cell is not None
    value, mean, spread = cell.groups()
    assert float(value) == sum(values) / len(values)
    whole = cell.group(0)
    for old, new, said in (
        (value, str(float(value) + 0.001), "sorted by"),
        (f">{mean} ±", f">{float(mean) + 0.1:.1f} ±", "shown"),
        (f"± {spread}", f"± {float(spread) + 0.1:.1f}", "shown"),
        (f'"{run}"', '"mnist-rotation-assl"', "sorted by"),
        (f'"{run}"', '"no-such-run"', "no record"),
    ):
        browser.open(doctored(page, whole, whole.replace(old, new)))
        assert any(said in text for text in wrong_numbers(browser, records)), (old, new)


def test_what_has_no_cell_is_found(browser: Browser, recorded: Path, doctored: Doctor) -> None:
    for named, said in (
        ('"mnist-scale-hssl"', "mnist-scale-hssl has records and no cell"),
        ('"mnist-scale-hssl" data-measure="knn"', "mnist-scale-hssl has a knn that is not shown"),
    ):
        browser.open(doctored(recorded / "report.html", f"data-cell={named}", f"data-other={named}"))
        assert wrong_numbers(browser, recorded / "records") == [said]
