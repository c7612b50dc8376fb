"""What the report says in short: counts of what was shown, and never a count of what was not."""

from pathlib import Path

from fakes.grid import SEEDS, grid
from hssl.analysis import claims
from hssl.analysis.entries import Entry, entries
from hssl.analysis.summaries import MEASURES, summarise
from hssl.report.document import Number
from hssl.report.sections.claims import agreement, counted, summary, theory
from hssl.runs.record import Measure, RunRecord

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


def test_what_raw_features_say_otherwise_is_told(tmp_path: Path) -> None:
    def raw(record: RunRecord) -> RunRecord:
        accuracy = (40.0 if record.mode == "frozen" else 38.0) + 0.1 * record.seed**2 * (record.mode == "h-ssl")
        measure = Measure(accuracy=accuracy, protocol="raw")
        return record.model_copy(update={"evaluation": record.evaluation.model_copy(update={"knn_raw": measure})})

    records = grid(tmp_path, NEAR, 3)
    plain, more = (
        summary(entries(of), "quick") for of in (records, {name: raw(record) for name, record in records.items()})
    )
    assert plain is not None
    assert more is not None
    assert not any("raw" in point for point in plain.points)
    (told,) = (point for point in more.points if "On raw ones" in point)
    assert "MNIST · scale · SESN −1.8" in told
    assert told.endswith("worse.")


def test_random_weights_of_full_width_are_told_beside(tmp_path: Path) -> None:
    accuracies = {"mnist-scale-frozen": [60.0] * 3, "mnist-scale-frozen-full-width": [75.0] * 3}
    told = summary(entries(grid(tmp_path / "with", accuracies, study="width")), "quick")
    without = summary(entries(grid(tmp_path / "without", accuracies)), "quick")
    assert told is not None
    assert without is not None
    (point,) = (point for point in told.points if "full width" in point)
    # Linear probe, kNN and 10-shot are 3, 5 and 10 points below the readout in these records.
    assert "scale · SESN 72.0 / 70.0 / 65.0 (H-SSL" in point
    assert not any("full width" in point for point in without.points)


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
    parts = {part.title: part.tables[0] for part in section.parts}
    shown = {claim.title for claim in claims.THEORY} - {claims.SCALES.title, claims.A_SCALES.title, claims.NEAR.title}
    assert parts.keys() == shown
    # A line a row and measure: table 1 has one row, table 2 two readings of its network.
    rows = {claims.SUPERVISED: 3, claims.NO_STRUCTURE: 2, claims.FROZEN: 2, claims.A_FROZEN: 2}
    for claim in claims.THEORY:
        if claim.title in shown:
            assert len(parts[claim.title].lines) == 4 * rows.get(claim, 1)
    table = parts[claims.STRUCTURE.title]
    lines = [dict(zip(table.headings, line, strict=True)) for line in table.lines]
    assert [line["Measure"] for line in lines] == list(MEASURES.values())
    assert {line["Row"] for line in lines} == {"MNIST · scale · SESN"}
    assert lines[0]["Verdict"] == claims.EQUAL
    own = [getattr(line["In the paper"], "text", "") for line in lines]
    assert "(" in own[0]
    assert set(own[1:]) == {"–"}


def test_an_undecided_line_says_what_would_decide_it(tmp_path: Path) -> None:
    wide = {"mnist-scale-assl": [97.0, 99.4, 98.2], "mnist-scale-hssl": [98.1, 97.3, 98.0]}
    section = theory(entries(grid(tmp_path, wide)))
    assert section is not None
    table = next(part.tables[0] for part in section.parts if part.title == claims.STRUCTURE.title)
    line = dict(zip(table.headings, table.lines[0], strict=True))
    (item,) = claims.rows_by(claims.STRUCTURE, entries(grid(tmp_path / "again", wide)), "readout")
    wanted = claims.needed(claims.STRUCTURE, item)
    assert wanted is not None
    assert line["Verdict"] == claims.UNDECIDED
    assert line["Seeds to decide"] == Number(str(wanted.seeds), wanted.seeds, below=(wanted.verdict,))


def rows_of(*sides: tuple[list[float], list[float]]) -> list[claims.Tested]:
    rows = [claims.Sides(str(n), tuple(summarise(dict(enumerate(s))) for s in pair)) for n, pair in enumerate(sides)]
    return claims.assess(claims.LEARNS, rows)


def test_counts_are_of_all_rows() -> None:
    better, open_ = ([90.0, 90.2, 90.3], [80.0, 80.1, 80.4]), ([90.0], [80.0])
    told = counted(claims.LEARNS, {"knn": rows_of(better, open_), "readout": rows_of(open_, open_)})
    assert told == "kNN (+10.0 points): better in 1 of 2 rows, not tested in 1; Readout: not tested in 2 of 2 rows."


def test_measures_that_count_alike_are_told_together() -> None:
    better, much_better = ([90.0, 90.2, 90.3], [80.0, 80.1, 80.4]), ([90.0, 90.2, 90.3], [70.0, 70.1, 70.4])
    told = counted(claims.LEARNS, {"readout": rows_of(better), "few_labels": rows_of(much_better)})
    assert told == "Readout and 10-shot (+10.0 to +20.0 points): better in 1 of 1 row."


def test_without_records_there_is_nothing_to_say() -> None:
    assert summary([], "paper") is None
    assert theory([]) is None
    assert agreement([]) is None


def test_the_measures_are_told_side_by_side(tmp_path: Path) -> None:
    records = {name: record for name, record in grid(tmp_path, SEEDS).items() if "shared-trunk" not in name}
    point = _point(records, claims.NO_STRUCTURE)
    assert "Readout, linear probe, kNN and 10-shot (−8.0 points): H-SSL below in 1 of 1 row." in point
    for name, record in records.items():
        if name.startswith("mnist-scale-cnn-hssl-quick"):
            found = record.evaluation.knn
            assert found is not None
            changed = found.model_copy(update={"accuracy": 98 + record.seed / 10})
            evaluation = record.evaluation.model_copy(update={"knn": changed})
            records[name] = record.model_copy(update={"evaluation": evaluation})
    point = _point(records, claims.NO_STRUCTURE)
    assert "Readout, linear probe and 10-shot (−8.0 points): H-SSL below in 1 of 1 row; " in point
    assert "kNN (+7.9 points): H-SSL above in 1 of 1 row." in point


def _point(records: dict[str, RunRecord], claim: claims.Claim) -> str:
    section = summary(entries(records), "quick")
    assert section is not None
    return next(point for point in section.points if point.startswith(claim.title))
