"""What the report says in short: counts of what was shown, and never a count of what was not."""

from pathlib import Path

from experiments.fake_grid import SEEDS, grid
from hssl.experiments import claims
from hssl.experiments.claim_tables import agreement, counted, summary, theory
from hssl.experiments.entries import Entry, entries
from hssl.experiments.record import RunRecord

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


def _of_other_measure(records: dict[str, RunRecord], measure: str, accuracies: dict[str, float]) -> None:
    """Gives the runs of some cells another accuracy by one measure, a tenth apart."""
    for name, record in records.items():
        for run, mean in accuracies.items():
            if name.startswith(f"{run}-quick"):
                found = getattr(record.evaluation, measure).model_copy(update={"accuracy": mean + record.seed / 10})
                evaluation = record.evaluation.model_copy(update={measure: found})
                records[name] = record.model_copy(update={"evaluation": evaluation})


def test_what_other_measures_decide_otherwise_is_told_in_short(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    point = _point(records, claims.NO_STRUCTURE)
    assert point.endswith("? H-SSL below in 1 of 1 row.")
    _of_other_measure(records, "knn", {"mnist-scale-cnn-hssl": 80.0, "mnist-scale-cnn-assl": 70.0})
    assert _point(records, claims.NO_STRUCTURE) == f"{point} By kNN: H-SSL above in 1 of 1 row."


def test_equality_of_two_that_may_have_learned_nothing_is_told(tmp_path: Path) -> None:
    words = "In 1 of the equal rows neither is shown to be better than random weights."
    equal = {"mnist-scale-assl": [98.0, 98.4, 98.2], "mnist-scale-hssl": [98.1, 98.3, 98.0]}
    as_random = grid(tmp_path / "one", {**equal, "mnist-scale-frozen": [98.0, 98.3, 98.1]})
    better = grid(tmp_path / "other", {**equal, "mnist-scale-frozen": [90.0, 90.3, 90.1]})
    assert words in _point(as_random, claims.STRUCTURE)
    assert words not in _point(better, claims.STRUCTURE)


def _point(records: dict[str, RunRecord], claim: claims.Claim) -> str:
    section = summary(entries(records), "quick")
    assert section is not None
    return next(point for point in section.points if point.startswith(claim.title))
