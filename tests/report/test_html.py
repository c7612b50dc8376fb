"""Sections as HTML: everything that they hold, escaped, with the numbers that tables are sorted by."""

from hssl.report.blocks import Number, Plot, Section, Table
from hssl.report.html import contents, table_html, to_html

TABLE = Table(
    "t1",
    ("Row", "Word", "Number"),
    (("a < b", "some", Number("1.0", 1.0, "n 3", ("below & more",), "a-run")), ("c", "other", Number("–"))),
    "how it is read",
)


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
    assert '<h2 id="section-whole">Whole</h2>\n<div class="note"><p>said</p></div>\n<h3>Part</h3>' in text
    assert "<svg></svg><figcaption>what it shows</figcaption>" in text
    assert 'class="swatch a-ssl"' in text


def test_a_table_for_markdown_is_not_on_the_page() -> None:
    assert "t3" not in to_html(Section("S", tables=(Table("t3", ("a",), (("x",),), only="markdown"),)))


def test_contents_link_to_their_sections() -> None:
    section = Section("Table 1: networks & structure")
    assert '<a href="#section-table-1-networks-structure">Table 1: networks &amp; structure</a>' in contents([section])
    assert '<h2 id="section-table-1-networks-structure">' in to_html(section)


def test_no_line_breaks_within_a_name() -> None:
    assert '<span class="together">H-SSL</span> learns' in to_html(Section("S", ("H-SSL learns",)))
