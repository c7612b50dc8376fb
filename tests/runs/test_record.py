"""A record holds what the run's folder holds, and is refused when it was cut short, changed or is something else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.records import configuration, record, write_run
from hssl.errors import DataError, RunFolderError
from hssl.runs.record import collect, read, read_all, write


def test_collects_what_the_folder_holds(tmp_path: Path) -> None:
    config = configuration("rotation", "a-ssl", seed=2)
    run = write_run(tmp_path / "run", config)
    found = collect(run)
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert (found.recipe, found.dataset, found.transformation) == ("mnist-rotation-assl", "mnist", "rotation")
    assert (found.mode, found.backbone, found.budget, found.seed) == ("a-ssl", "three-layer", "quick", 2)
    assert found.identity == config.identity()
    assert found.evaluation.readout is not None
    assert found.evaluation.readout.accuracy == evaluation["readout"]["accuracy"]
    assert found.evaluation.equivariance is not None
    assert found.evaluation.equivariance.exactness == "exact"
    assert found.evaluation.equivariance.errors == evaluation["equivariance"]["errors"]
    assert found.wall_seconds == pytest.approx(12 * 9 + evaluation["wall_seconds"])
    assert found.environment["torch"] == "2.13.0"
    assert [entry["epoch"] for entry in found.metrics] == list(range(12))
    assert found.configuration["trainer"]["batch_size"] == 256


def test_hours_count_every_device_of_training(tmp_path: Path) -> None:
    one = record(tmp_path, configuration())
    several = record(tmp_path, configuration(trainer__devices=4, trainer__nodes=2))
    for found, devices in ((one, 1), (several, 8)):
        evaluation = found.evaluation.wall_seconds
        assert evaluation is not None
        assert found.device_hours == pytest.approx((12 * 9 * devices + evaluation) / 3600)
        assert found.energy_joules is None
    assert several.model_copy(update={"wall_seconds": None}).device_hours is None


def test_a_place_on_one_machine_is_no_part_of_a_record(tmp_path: Path) -> None:
    config = configuration()
    assert config.data.root is not None
    write(record(tmp_path, config), tmp_path / "record.json")
    assert config.data.root not in (tmp_path / "record.json").read_text()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for labels in (True, False):
        config = configuration(seed=int(labels))
        made = record(tmp_path / "runs", config, labels=labels)
        write(made, tmp_path / f"{labels}.json")
        assert read(tmp_path / f"{labels}.json") == made


def test_a_folder_of_records_is_read_in_order(tmp_path: Path) -> None:
    for seed in (2, 0, 1):
        write(record(tmp_path / "runs", configuration(seed=seed)), tmp_path / "results" / f"seed-{seed}.json")
    assert [item.seed for item in read_all(tmp_path / "results")] == [0, 1, 2]
    with pytest.raises(DataError, match="no records"):
        read_all(tmp_path / "nowhere")


def test_a_record_of_an_unlabelled_run_has_no_accuracies(tmp_path: Path) -> None:
    found = record(tmp_path, configuration(), labels=False)
    assert not found.evaluation.labels
    assert found.evaluation.readout is None
    assert found.evaluation.knn is None


def test_a_truncated_record_is_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write(record(tmp_path, configuration()), path)
    whole = path.read_text()
    for length in range(0, len(whole) - 2, len(whole) // 23):
        path.write_text(whole[:length])
        with pytest.raises(DataError, match="cut short"):
            read(path)
    path.write_text(whole)
    read(path)


CHANGES: list[tuple[tuple[str | int, ...], Any]] = [
    (("seed",), 7),
    (("configuration", "trainer", "epochs"), 500),
    (("environment", "torch"), "9.9.9"),
    (("evaluation", "knn", "accuracy"), 99.0),
    (("metrics", 0, "epoch"), 5),
    (("wall_seconds",), 1.0),
]


@pytest.mark.parametrize(("place", "value"), CHANGES)
def test_a_change_anywhere_is_found(tmp_path: Path, place: tuple[str | int, ...], value: Any) -> None:
    path = tmp_path / "record.json"
    write(record(tmp_path, configuration()), path)
    envelope = json.loads(path.read_text())
    part = envelope["record"]
    for name in place[:-1]:
        part = part[name]
    assert part[place[-1]] != value
    path.write_text(json.dumps(envelope))
    read(path)
    part[place[-1]] = value
    path.write_text(json.dumps(envelope))
    with pytest.raises(DataError, match="changed after it was written"):
        read(path)


def test_a_configuration_of_another_run_is_found_even_with_a_new_checksum(tmp_path: Path) -> None:
    found = record(tmp_path, configuration())
    configured = {**found.configuration, "trainer": {**found.configuration["trainer"], "epochs": 500}}
    path = tmp_path / "record.json"
    write(found.model_copy(update={"configuration": configured}), path)
    with pytest.raises(DataError, match="not the one that its identity is of"):
        read(path)
    # Fields that this version does not know cannot be held against anything.
    later = tmp_path / "later.json"
    write(found.model_copy(update={"configuration": {**found.configuration, "of_a_later_version": 1}}), later)
    assert read(later).identity == found.identity


def test_a_changed_number_is_found(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write(record(tmp_path, configuration(), accuracy=91.25), path)
    text = path.read_text()
    assert "91.25" in text
    path.write_text(text.replace("91.25", "99.25"))
    with pytest.raises(DataError, match="changed after it was written"):
        read(path)


@pytest.mark.parametrize("content", ['{"accuracy": 99}', "[]", '"text"', "null", '{"format": "hssl run record"}'])
def test_a_foreign_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(DataError, match="is not the record of a run"):
        read(tmp_path / "other.json")


def test_a_missing_file_and_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "nothing.json")
    path = tmp_path / "record.json"
    write(record(tmp_path, configuration()), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(DataError, match="version 99"):
        read(path)


def test_another_run_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    first = record(tmp_path, configuration(seed=0))
    write(first, path)
    write(first, path)
    with pytest.raises(RunFolderError, match="record of another run"):
        write(record(tmp_path, configuration(seed=1)), path)
    assert read(path) == first


def test_a_resumed_run_counts_the_later_line_and_a_broken_last_line_is_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path, configuration())
    lines = [
        '{"epoch": 1, "train/loss": 5}',
        '{"epoch": 2, "train/loss": 4}',
        '{"epoch": 2, "train/loss": 3, "x": NaN}',
    ]
    (run / "metrics.jsonl").write_text("\n".join([*lines, '{"epoch": 2, "test/accuracy": 50}', '{"epoch": 3, "tra']))
    assert collect(run).metrics == (
        {"epoch": 1, "train/loss": 5},
        {"epoch": 2, "train/loss": 3, "x": None, "test/accuracy": 50},
    )
    (run / "metrics.jsonl").write_text("\n".join([lines[0], '{"epoch": 2, "tra', lines[1]]))
    with pytest.raises(RunFolderError, match="line 2"):
        collect(run)


def test_what_is_not_an_evaluated_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no folder"):
        collect(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="not the folder of a run"):
        collect(tmp_path / "empty")
    run = write_run(tmp_path / "run", configuration())
    evaluation = (run / "evaluation.json").read_text()
    (run / "evaluation.json").write_text(evaluation[:50])
    with pytest.raises(RunFolderError, match="cut short"):
        collect(run)
    (run / "evaluation.json").write_text(json.dumps(json.loads(evaluation) | {"identity": "0" * 16}))
    with pytest.raises(RunFolderError, match="different runs"):
        collect(run)
    (run / "evaluation.json").write_text(
        json.dumps(json.loads(evaluation) | {"readout": {"accuracy": 140, "protocol": ""}})
    )
    with pytest.raises(RunFolderError, match=r"readout\.accuracy"):
        collect(run)
    (run / "evaluation.json").unlink()
    with pytest.raises(RunFolderError, match="hssl evaluate"):
        collect(run)


def test_records_need_no_torch() -> None:
    code = "import sys, hssl.runs.record, hssl.report.comparison; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
