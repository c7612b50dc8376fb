"""The sorting script's place in a page; what it does there is tested in a browser (`browser_tests/`)."""

import re

from hssl.report.page import document
from hssl.report.script import SORT


def test_the_script_stands_whole_in_the_page() -> None:
    page = document("A page", "<p>text</p>", SORT)
    assert re.findall("<script>(.*?)</script>", page, re.DOTALL) == [SORT]
    assert "<script" not in document("A page", "<p>text</p>")


def test_the_script_asks_for_nothing_from_outside() -> None:
    assert not re.search(r"https?:|fetch|XMLHttpRequest|import|\.src\b|eval", SORT)
