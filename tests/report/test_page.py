"""Parts of a page: text that is escaped and holds together, tables whose words stand to the left."""

from hssl.report.page import figure, prose, table


def test_words_that_no_line_may_break_hold_together() -> None:
    assert prose("H-SSL at 95 % < A-SSL") == (
        '<span class="together">H-SSL</span> at <span class="together">95 %</span> &lt; '
        '<span class="together">A-SSL</span>'
    )
    assert prose("self-supervised") == "self-supervised"


def test_a_column_with_words_is_one_of_words() -> None:
    text = table(("Row", "Group", "Error"), (("a", "Rotations(C4)", "1e-7"), ("b", "–", "–"), ("c", "C & D", "−0.1")))
    assert '<th scope="col" class="word">Group</th><th scope="col">Error</th>' in text
    assert '<td class="word">–</td><td>–</td>' in text
    assert '<td class="word">C &amp; D</td><td>−0.1</td>' in text


def test_a_figure_needs_a_plot() -> None:
    assert figure("Heading", None, "caption") == ""
    assert figure("a < b", "<svg></svg>", "c & d") == (
        "<figure><h3>a &lt; b</h3><svg></svg><figcaption>c &amp; d</figcaption></figure>"
    )
    assert "figcaption" not in figure("Heading", "<svg></svg>", "")
