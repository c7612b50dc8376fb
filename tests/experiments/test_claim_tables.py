"""What the report says in short: counts of what was shown, and never a count of what was not."""

from pathlib import Path

from experiments.fake_grid import SEEDS, grid
from hssl.experiments import claims
from hssl.experiments.claim_tables import agreement, counted, summary, theory
from hssl.experiments.entries import Entry, entries

NEAR = {"mnist-scale-assl": [98.5, 98.6, 98.7], "mnist-scale-hssl": [70.0, 70.1, 70.3],
        "mnist-scale-frozen": [80.0, 99.0, 95.0]}  # fmt: skip


def found_in(folder: Path, accuracies: dict[str, list[float]], seeds: int = 3) -> list[Entry]:
    return [entry for entry in entries(grid(folder, accuracies, seeds)) if entry.cell.artefact == "table1"]


def test_what_is_undecided_is_not_counted_as_agreement(tmp_path: Path) -> None:
    found = found_in(tmp_path, NEAR)
    verdicts = [item.verdict for item in claims.against_paper(found)]
    section = agreement(found)
    assert section is not None
    by_words = {point.split(":")[0]: point for point in section.points}
    agreeing = by_words["1 shown to agree to within 2 points"]
    assert "A-SSL" in agreeing
    assert "Frozen" not in agreeing
    assert f"{verdicts.count(claims.DIFFERENT)} shown to differ" in by_words
    undecided = next(point for words, point in by_words.items() if "undecided" in words)
    assert "Frozen" in undecided
    assert len(section.tables[0].lines) == 4


def test_a_smaller_budget_promises_no_accuracy(tmp_path: Path) -> None:
    found = found_in(tmp_path, NEAR)
    quick, full = summary(found, "quick"), summary(found, "paper")
    assert quick is not None
    assert full is not None
    assert any("not expected to agree" in text for text in quick.text)
    assert not any("not expected to agree" in text for text in full.text)
    assert any("Of 4 accuracies" in point for point in quick.points)


def test_each_claim_has_a_line_a_row_and_the_papers_own_numbers(tmp_path: Path) -> None:
    section = theory(entries(grid(tmp_path, SEEDS)))
    assert section is not None
    assert "Holm" in section.text[0]
    assert [len(part.tables[0].lines) for part in section.parts] == [1, 1, 1, 1]
    line = section.parts[0].tables[0].lines[0]
    assert line[0] == "MNIST · scale · SESN"
    assert dict(zip(section.parts[0].tables[0].headings, line, strict=True))["Verdict"] == claims.EQUAL
    assert "(" in getattr(line[-1], "text", "")


def test_counts_are_of_all_rows() -> None:
    rows = claims.assess(claims.STRUCTURE, [("a", None, None), ("b", None, None)])
    assert counted(rows) == "Not tested in 2 of 2 rows."


def test_without_records_there_is_nothing_to_say() -> None:
    assert summary([], "paper") is None
    assert theory([]) is None
    assert agreement([]) is None
