"""Sections as HTML: everything that they hold, escaped, with the numbers that tables are sorted by."""

import re

from hssl.report.document import Document, Number, Plot, Section, Table
from hssl.report.html import asset, page, prose

TABLE = Table(
    "t1",
    ("Row", "Word", "Number"),
    (
        ("a < b", "some", Number("1.0", 1.0, "n 3", ("below & more",), "a-run", strong=True)),
        ("c", "other", Number("–")),
    ),
    "how it is read",
)


def to_html(*sections: Section) -> str:
    """What stands in a page for these sections, with no space between elements."""
    whole = page(Document("Title", "lead", sections))
    return re.sub(r">\n\s*<", "><", whole[whole.index("<h1") : whole.index("</main>")])


def table_html(table: Table) -> str:
    return to_html(Section("S", tables=(table,))).split("</h2>")[1]


def test_a_table_can_be_sorted_by_its_numbers() -> None:
    text = table_html(TABLE)
    assert '<table class="results sortable few" id="t1">' in text
    assert (
        '<td data-value="1.0" data-cell="a-run" data-measure="readout"><b>1.0</b> <span class="std">n 3</span>' in text
    )
    assert '<td data-value="">–</td>' in text
    assert '<th scope="col" class="word">Word</th>' in text
    assert '<th scope="col">Number</th>' in text
    assert "how it is read" in text
    assert "<details>" not in text


def test_cells_that_name_a_line_together_are_one_on_a_narrow_screen() -> None:
    named = Table("t4", ("Data", "Network", "Number"), (("MNIST", "a & b", Number("1.0", 1.0)),), names=2)
    text = table_html(named)
    assert '<th scope="row" data-value="MNIST">MNIST<span class="below narrow">a &amp; b</span></th>' in text
    assert '<td class="word wide">a &amp; b</td>' in text
    assert "narrow" not in table_html(TABLE)


def test_modes_have_their_mark() -> None:
    text = table_html(Table("t5", ("Row", "H-SSL"), (("A-SSL", "H-SSL is ahead"),)))
    assert text.count('<span class="swatch h-ssl"></span>H-SSL</th>') == 1
    assert '<span class="swatch a-ssl"></span>A-SSL' in text
    assert text.count("swatch") == 2


def test_a_table_is_set_for_its_number_of_columns() -> None:
    def classes(columns: int) -> str:
        return table_html(Table("t7", ("a",) * columns, (("x",) * columns,))).split('class="')[2].split('"')[0]

    assert classes(4) == "results sortable few"
    assert classes(6) == "results sortable"
    assert classes(9) == "results sortable dense"


def test_long_words_may_take_several_lines_and_numbers_never_do() -> None:
    long = "words that go on and on and on"
    text = table_html(Table("t6", ("Row", "Words", "Number"), ((long, long, Number(long, 1.0, below=(long,))),)))
    assert f'<th scope="row" class="long">{long}' in text
    assert f'<td class="word long">{long}' in text
    assert f'<td data-value="1.0">{long}<span class="below long">{long}' in text
    assert "long" not in table_html(TABLE)


def test_text_is_escaped() -> None:
    text = to_html(Section("A & B", ("<p>",), ("<li>",), tables=(TABLE,)))
    assert '<h2 id="section-a-b">A &amp; B</h2>' in text
    assert "<p>&lt;p&gt;</p>" in text
    assert "<li>&lt;li&gt;</li>" in text
    assert "a &lt; b" in text
    assert "below &amp; more" in text


def test_a_folded_table_opens_when_asked() -> None:
    folded = Table("t2", ("a",), (("x",),), folded="All of it")
    assert "<details><summary>All of it</summary>" in table_html(folded)


def test_parts_are_one_level_below_and_a_note_stands_out() -> None:
    part = Section("Part", plots=(Plot("Heading", "<svg></svg>", "what it shows"),), modes=("a-ssl",))
    text = to_html(Section("Whole", ("said",), parts=(part,), note=True))
    assert '<h2 id="section-whole">Whole</h2><div class="note"><p>said</p></div><h3>Part</h3>' in text
    assert "<figure><h3>Heading</h3><svg></svg><figcaption>what it shows</figcaption>" in text
    assert 'class="swatch a-ssl"' in text


def test_a_table_for_markdown_is_not_on_the_page() -> None:
    assert "t3" not in to_html(Section("S", tables=(Table("t3", ("a",), (("x",),), only="markdown"),)))


def test_contents_link_to_their_sections() -> None:
    section = Section("Table 1: networks & structure")
    link = '<a href="#section-table-1-networks-structure">Table 1: networks &amp; structure</a>'
    assert link in to_html(section, Section("Another"))
    assert "<nav" not in to_html(section)
    assert '<h2 id="section-table-1-networks-structure">' in to_html(section)


def test_no_line_breaks_within_a_name() -> None:
    assert '<span class="together">H-SSL</span> learns' in to_html(Section("S", ("H-SSL learns",)))
    assert prose("H-SSL at 95 % < A-SSL") == (
        '<span class="together">H-SSL</span> at <span class="together">95 %</span> &lt; '
        '<span class="together">A-SSL</span>'
    )
    assert prose("self-supervised") == "self-supervised"


def test_groups_have_their_lines_under_them() -> None:
    lines = (("one & a", "x", Number("1.0", 1.0)), ("one & a", "y", Number("–")), ("two", "x", Number("2.0", 2.0)))
    text = table_html(Table("t8", ("Group", "Name", "Number"), lines, grouped=True))
    assert "Group" not in text
    bodies = text.split("<tbody>")[1:]
    assert [body.count("<tr>") for body in bodies] == [2, 1]
    assert bodies[0].startswith('<tr class="cell"><th colspan="2" scope="rowgroup">one &amp; a</th></tr>')
    # The script sorts one body: groups would be torn apart.
    assert "sortable" not in text


def test_a_plot_without_a_caption_has_none() -> None:
    assert "figcaption" not in to_html(Section("S", plots=(Plot("Heading", "<svg></svg>"),)))


def test_long_texts_are_folded_and_escaped() -> None:
    text = to_html(Section("Failed", logs={"a-run": "<disk> full\nand more"}))
    assert "<details><summary>a-run</summary><pre>&lt;disk&gt; full\nand more</pre></details>" in text


def test_the_script_stands_whole_in_the_page_and_asks_for_nothing_from_outside() -> None:
    whole = page(Document("A page", "lead", ()))
    assert re.findall("<script>(.*?)</script>", whole, re.DOTALL) == [asset("sort.js")]
    assert asset("report.css") in whole
    assert not re.search(r"https?:|fetch|XMLHttpRequest|import|\.src\b|eval", asset("sort.js"))
