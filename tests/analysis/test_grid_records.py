"""A grid's records are those of the runs that their files are named after, each once."""

import shutil
from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from hssl.analysis.grid_records import grid_records
from hssl.errors import DataError
from hssl.runs.record import write

NAME = "mnist-scale-hssl-quick-seed0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, record in grid(tmp_path / "runs", SEEDS, seeds=2, of=(["table1"], ["mnist"], ["scale"])).items():
        write(record, tmp_path / "records" / f"{name}.json")
    return tmp_path


def test_records_are_found_by_the_name_of_their_run(folder: Path) -> None:
    records, wrong = grid_records(folder)
    assert not wrong
    assert len(records) == 8
    assert records[NAME].recipe == "mnist-scale-hssl"
    with pytest.raises(DataError, match="there are no records"):
        grid_records(folder / "nowhere")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist-scale-hssl-quick-seed2", "of another run than its name says"),
        ("mnist-scale-hssl-paper-seed0", "of another run than its name says"),
        ("mnist-scale-assl-base-2-quick-seed0", "of another run than its name says"),
        ("mnist-scale-hssl-base-2-quick-seed0", "of a run that has one already"),
        ("something", "not the name of a run"),
    ],
)
def test_a_run_does_not_count_twice(folder: Path, name: str, message: str) -> None:
    shutil.copy(folder / "records" / f"{NAME}.json", folder / "records" / f"{name}.json")
    records, wrong = grid_records(folder)
    assert len(records) == 8
    assert len(wrong) == 1
    assert message in next(iter(wrong.values()))


def test_one_that_was_changed_is_told_and_the_others_stand(folder: Path) -> None:
    file = folder / "records" / f"{NAME}.json"
    file.write_text(file.read_text()[:-40])
    records, wrong = grid_records(folder)
    assert len(records) == 7
    assert "cut short" in wrong[NAME]
