"""Studies beyond the paper: variants side by side, each against the first, and no section where none was begun."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fakes.grid import SEEDS, grid
from hssl.analysis import claims
from hssl.analysis.chance import chance_loss
from hssl.analysis.entries import entries
from hssl.analysis.summaries import summarise
from hssl.paper.studies import STUDIES
from hssl.report.document import Number
from hssl.report.sections.studies import begun, compare, studies

ACCURACIES = SEEDS | {
    "mnist-scale-hssl-nt-xent": [70.0, 70.4, 70.1],
    "mnist-scale-assl-nt-xent": [98.1, 98.3, 98.2],
}


def test_variants_stand_side_by_side(tmp_path: Path) -> None:
    section = studies(entries(grid(tmp_path, ACCURACIES, study="loss")))
    assert section is not None
    (part,) = section.parts
    table = part.tables[0]
    assert table.headings[:4] == ("Row", "Training", "contrastive", "nt-xent")
    assert [line[:2] for line in table.lines] == [("MNIST · scale · SESN", "A-SSL"), ("MNIST · scale · SESN", "H-SSL")]
    line = dict(zip(table.headings, table.lines[1], strict=True))
    for variant, run in (("contrastive", "mnist-scale-hssl"), ("nt-xent", "mnist-scale-hssl-nt-xent")):
        cell = line[variant]
        assert isinstance(cell, Number)
        assert (cell.text, cell.detail, cell.run) == (str(summarise(ACCURACIES[run])), "n 3", run)
        # The fake runs' probes are 3 and 5 points below their readout.
        assert cell.below[0] == f"linear probe {summarise([value - 3 for value in ACCURACIES[run]])}"
        assert cell.below[1] == f"kNN {summarise([value - 5 for value in ACCURACIES[run]])}"
    told = np.subtract(ACCURACIES["mnist-scale-hssl-nt-xent"], ACCURACIES["mnist-scale-hssl"])
    shown = line["nt-xent − contrastive"]
    assert isinstance(shown, Number)
    assert shown.value == pytest.approx(told.mean())
    assert [line[-1] for line in table.lines] == [claims.EQUAL, claims.DIFFERENT]


def test_the_comparisons_of_a_study_are_one_family(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, ACCURACIES, study="loss"))
    study = STUDIES["loss"]
    items = {item.mode: item for item in compare(study, begun(study, found))}
    raw = {}
    for mode, item in items.items():
        name = "mnist-scale-" + mode.replace("-", "")
        sides = ACCURACIES[f"{name}-nt-xent"], ACCURACIES[name]
        assert item.tested.values == tuple(map(summarise, sides))
        raw[mode] = stats.ttest_rel(*sides).pvalue
    smallest, largest = sorted(raw, key=lambda mode: raw[mode])
    assert items[smallest].tested.p[0] == pytest.approx(min(1, 2 * raw[smallest]))
    assert items[largest].tested.p[0] == pytest.approx(max(raw[largest], min(1, 2 * raw[smallest])))


def test_variants_that_learned_nothing_are_not_thereby_alike(tmp_path: Path) -> None:
    records = grid(tmp_path, ACCURACIES, study="loss")
    for name, record in records.items():
        if name.startswith(("mnist-scale-hssl-nt-xent", "mnist-scale-assl-nt-xent")):
            stuck = tuple({**line, "train/loss": chance_loss(record)} for line in record.metrics)
            records[name] = record.model_copy(update={"metrics": stuck})
    items = compare(STUDIES["loss"], begun(STUDIES["loss"], entries(records)))
    # A-SSL was equal; H-SSL is shown to differ, whatever its loss.
    assert {item.mode: item.tested.verdict for item in items} == {"a-ssl": claims.UNTRAINED, "h-ssl": claims.DIFFERENT}


def test_single_runs_are_not_tested(tmp_path: Path) -> None:
    section = studies(entries(grid(tmp_path, ACCURACIES, seeds=1, study="loss")))
    assert section is not None
    assert {line[-1] for line in section.parts[0].tables[0].lines} == {claims.UNTESTED}


def test_a_study_that_was_not_begun_has_no_section(tmp_path: Path) -> None:
    # Its first variant is a run of the tables.
    assert studies(entries(grid(tmp_path, SEEDS, seeds=1))) is None


def test_a_study_of_one_variant_tests_the_modes(tmp_path: Path) -> None:
    accuracies = {
        "tiny-imagenet-translation-assl": [14.0, 14.2, 14.1],
        "tiny-imagenet-translation-hssl": [8.0, 8.3, 8.1],
    }
    section = studies(entries(grid(tmp_path, accuracies, of=(["small-maps"], ["tiny-imagenet"], ["translation"]))))
    assert section is not None
    (part,) = section.parts
    assert len(part.tables[0].lines) == 4
    assert part.points[0].endswith(f"{claims.DIFFERENT}.")
