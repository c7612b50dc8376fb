"""Runs with other settings than their recipes are told, and runs with theirs are not."""

from pathlib import Path
from typing import Any

from fakes.grid import SEEDS, grid
from hssl.analysis.deviations import deviations
from hssl.analysis.entries import entries
from hssl.report.reproduction import reproduction
from hssl.runs.record import RunRecord


def changed(record: RunRecord, section: str, **fields: Any) -> RunRecord:
    part = record.configuration[section] | fields
    return record.model_copy(update={"configuration": record.configuration | {section: part}, "identity": "another"})


def told(records: dict[str, RunRecord]) -> str:
    return " ".join(deviations(entries(records)))


def test_runs_of_the_recipe_deviate_in_nothing(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=2, study="loss")
    assert told(records) == ""
    assert "Every run has the settings of its recipe." in reproduction(records, {}).sections[1].points


def test_a_changed_field_is_told_with_both_values(tmp_path: Path) -> None:
    records = {name: changed(item, "trainer", epochs=1) for name, item in grid(tmp_path, SEEDS, seeds=1).items()}
    said = told(records)
    wanted = next(iter(grid(tmp_path / "again", SEEDS, seeds=1).values())).configuration["trainer"]["epochs"]
    assert f"trainer.epochs is 1 instead of {wanted} in mnist-scale-assl, mnist-scale-hssl" in said
    assert "more." in said
    assert "no one setting" not in said
    summary = reproduction(records, {}).sections[0]
    assert any("other settings than their recipes" in text for text in summary.text)


def test_seeds_that_differ_are_told_apart(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=2)
    name = "mnist-scale-hssl-quick-seed1"
    records[name] = changed(records[name], "optimizer", learning_rate=0.7)
    said = told(records)
    wanted = records["mnist-scale-hssl-quick-seed0"].configuration["optimizer"]["learning_rate"]
    assert f"optimizer.learning_rate is 0.7 instead of {wanted} in mnist-scale-hssl (seed 1 alone)." in said
    assert "of no one setting" in said


def test_where_a_run_computes_is_no_deviation(tmp_path: Path) -> None:
    records = {
        name: changed(changed(item, "trainer", threads=7), "data", root="/elsewhere", store="memory")
        for name, item in grid(tmp_path, SEEDS, seeds=1).items()
    }
    assert told(records) == ""


def test_a_record_older_than_a_field_has_its_default(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=1)
    older = {}
    for name, item in records.items():
        views = {key: value for key, value in item.configuration["views"].items() if key != "streams"}
        older[name] = item.model_copy(
            update={"configuration": item.configuration | {"views": views}, "identity": "another"}
        )
    said = told(older)
    # The quick recipes of self-supervised training sample streams; the default, once the only way, is all.
    assert "views.streams is all instead of sampled in mnist-scale-assl, mnist-scale-hssl" in said
    assert "frozen" not in said
