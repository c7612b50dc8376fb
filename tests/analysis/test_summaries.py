"""The table says what the records say: means, sample standard deviations, counts, and the paper's numbers beside."""

import math
from pathlib import Path

import pytest

from fakes.records import comparison, configuration, record
from hssl.analysis.summaries import (
    Summary,
    comparison_table,
    differing_fields,
    provenance,
    summarise,
)
from hssl.errors import DataError


def test_std_is_the_sample_std() -> None:
    summary = summarise([90.0, 91.0, 95.0])
    assert summary is not None
    assert summary.mean == pytest.approx(92)
    # Deviations -2, -1, 3: 14 / (n - 1), not 14 / n.
    assert summary.std == pytest.approx(math.sqrt(14 / 2))
    assert str(summary) == "92.0 ± 2.6"
    assert summarise([90.0, None]) == Summary(90.0, None, 1)
    assert str(Summary(90.0, None, 1)) == "90.0 ± –"
    assert summarise([None]) is None
    assert summarise({3: 90.0, 5: None}) == Summary(90.0, None, 1)


def test_pairs_without_a_limit_are_named_beside_near_ones(tmp_path: Path) -> None:
    near, far = (
        [record(tmp_path, configuration(seed=seed, views__max_distance=limit)) for seed in range(2)]
        for limit in (2, None)
    )
    rows = comparison_table([*near, *far])
    assert [row.mode_name for row in rows] == ["H-SSL", "H-SSL, any pairs"]
    assert [row.note for row in rows] == ["views.max_distance 2.0", ""]
    # The control: where there are no near ones there is nothing to tell apart.
    assert [row.mode_name for row in comparison_table(far)] == ["H-SSL"]


def test_rows_average_seeds_and_stand_in_the_papers_order(tmp_path: Path) -> None:
    records = [
        record(tmp_path, configuration("translation", "h-ssl", seed), accuracy=accuracy)
        for seed, accuracy in enumerate((90.0, 91.0, 95.0))
    ]
    records += [
        record(tmp_path, configuration("rotation", "frozen")),
        record(tmp_path, configuration("rotation", "a-ssl")),
    ]
    rows = comparison_table(list(reversed(records)))
    assert [(row.cell.transformation, row.mode) for row in rows] == [
        ("rotation", "a-ssl"),
        ("rotation", "frozen"),
        ("translation", "h-ssl"),
    ]
    last = rows[-1]
    assert str(last.readout) == "92.0 ± 2.6"
    assert str(last.measured("linear_probe")) == "89.0 ± 2.6"
    assert str(last.measured("knn")) == "87.0 ± 2.6"
    assert last.readout is not None
    assert last.readout.by_seed == {0: 90.0, 1: 91.0, 2: 95.0}
    assert last.readout is not None
    assert last.readout.count == len(last.records) == 3
    assert rows[0].readout is not None
    assert rows[0].readout.std is None


def test_the_papers_numbers_stand_beside(tmp_path: Path) -> None:
    changes = {"backbone__name": "mlp"}
    rows = comparison_table(
        [
            record(tmp_path, configuration("translation", "h-ssl")),
            record(tmp_path, configuration("translation", "h-ssl", **changes)),
            record(tmp_path, configuration("scale", "a-ssl", backbone__name="cnn-three-layer")),
            record(tmp_path, configuration("rotation", "h-ssl", data__name="digits")),
        ]
    )
    told = {
        (row.cell.dataset_name, row.cell.backbone_name): None if row.paper is None else str(row.paper) for row in rows
    }
    assert told == {
        ("MNIST", "CNN"): "96.0 ± 1.3",
        ("MNIST", "MLP"): "58.2 ± 0.5",
        ("MNIST", "CNN (6 x CHW)"): "95.2 ± 0.1",
        ("Digits", "Rot-Eq."): None,
    }


def test_runs_that_differ_in_more_than_the_seed_are_never_averaged(tmp_path: Path) -> None:
    records = [record(tmp_path, configuration(seed=seed, trainer__epochs=6 + 6 * (seed > 1))) for seed in range(4)]
    rows = comparison_table(records)
    assert [len(row.records) for row in rows] == [2, 2]
    assert [row.note for row in rows] == ["trainer.epochs 6", "trainer.epochs 12"]
    assert differing_fields(records) == {"trainer.epochs": [6, 6, 12, 12]}


def test_the_same_run_twice_and_no_run_at_all_are_refused(tmp_path: Path) -> None:
    one = record(tmp_path, configuration())
    with pytest.raises(DataError, match="two records are of the same run"):
        comparison_table([one, one])
    with pytest.raises(DataError, match="no records"):
        comparison_table([])


def test_an_interrupted_run_is_told(tmp_path: Path) -> None:
    made = record(tmp_path, configuration())
    evaluation = made.evaluation.model_copy(update={"complete": False, "epoch": 5})
    rows = comparison_table([made.model_copy(update={"evaluation": evaluation})])
    assert rows[0].note == "seed 0 interrupted at epoch 5 of 12"


def test_the_caption_tells_where_and_with_what(tmp_path: Path) -> None:
    text = provenance(comparison(tmp_path))
    for part in ("some processor", "2 threads", "torch 2.13.0", "2024-05-01 to 2024-05-03", "quick", "6 and 12 epochs"):
        assert part in text
    for part in ("batch 256", "learning rate 0.3", "width 0.5", "5,000 training images", "seeds 0, 1 and 2"):
        assert part in text


def test_a_run_without_labels_has_a_row_without_numbers(tmp_path: Path) -> None:
    rows = comparison_table([record(tmp_path, configuration(data__name="folder"), labels=False)])
    assert rows[0].readout is None
