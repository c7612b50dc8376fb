"""Data is looked at before the first run starts: all that is wrong with it in one message, and nothing is trained."""

from pathlib import Path

import pytest
from rich.console import Console

from hssl.config import Config
from hssl.data import hub
from hssl.errors import DataError
from hssl.paper.grid import cells
from hssl.places import VARIABLE
from hssl.runs import grid as reproduce
from hssl.runs.data_check import check_data
from hssl.runs.grid import Task, run, tasks
from hssl.runs.run import GridFolder
from small_data import write_cifar10, write_mnist


@pytest.fixture(autouse=True)
def _no_environment_and_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    def unreachable(name: str) -> None:
        raise DataError(f"the data set '{name}' cannot be fetched from the hub", got="no network")

    monkeypatch.setattr(hub, "read_hub", unreachable)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_mnist(tmp_path / "data" / "mnist")
    write_cifar10(tmp_path / "data" / "cifar10")
    return tmp_path / "data"


def grid(*datasets: str, root: str | None = None) -> list[Task]:
    changes = {} if root is None else {"data.root": root}
    return tasks(cells(["table1"], datasets, budget="smoke"), (0, 1), "smoke", changes)


def configs(*datasets: str, root: str | None = None) -> list[Config]:
    return [task.config for task in grid(*datasets, root=root)]


def test_data_that_is_there_is_taken(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = configs("mnist", "cifar10", root=str(data))
    assert {config.data.root for config in asked} == {str(data / "mnist"), str(data / "cifar10")}
    check_data(asked)
    # A single data set may lie in the folder itself.
    check_data(configs("mnist", root=str(data / "mnist")))
    monkeypatch.setenv(VARIABLE, str(data))
    assert configs("mnist", "cifar10") == asked
    check_data(configs("mnist", "cifar10"))


def test_where_data_lies_is_no_part_of_a_run(data: Path) -> None:
    here, hub_runs = configs("mnist", root=str(data)), configs("mnist")
    assert [config.identity() for config in here] == [config.identity() for config in hub_runs]


def test_the_hub_can_be_asked_for_past_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(data))
    assert {config.data.root for config in configs("mnist", root="none")} == {None}


def test_everything_that_is_missing_is_told_at_once(data: Path) -> None:
    (data / "tiny-imagenet").mkdir()
    (data / "cifar10").rename(data / "cifar")
    with pytest.raises(DataError) as refused:
        check_data(configs("mnist", "cifar10", "tiny-imagenet", root=str(data)))
    told = str(refused.value)
    assert "2 of 3 data sets cannot be used" in told
    assert f"cifar10: the folder {data / 'cifar10'} does not exist" in told
    assert f"tiny-imagenet: {data / 'tiny-imagenet'} holds no images" in told
    assert f"{data} has mnist/, tiny-imagenet/, cifar/" in told
    assert "DIR/cifar10 and DIR/tiny-imagenet" in told
    assert "--datasets" in told
    assert "mnist:" not in told


@pytest.mark.parametrize(("name", "below"), [("cifar10", "mnist"), ("tiny-imagenet", ".")])
def test_a_single_data_set_is_not_taken_from_anothers_folder(data: Path, name: str, below: str) -> None:
    """A parquet file in the only sub-folder that has one is found, and does not hold what the name says."""
    with pytest.raises(DataError, match="no run was started: the data set cannot be used") as refused:
        check_data(configs(name, root=str(data / below)))
    assert f"does not hold {name}" in str(refused.value)
    assert f"DIR/{name}; or DIR with its files" in str(refused.value)


def test_damaged_files_are_found(data: Path) -> None:
    file = data / "mnist" / "t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="truncated or damaged"):
        check_data(configs("mnist", "cifar10", root=str(data)))


def test_what_the_environment_lacks_is_looked_for_at_the_hub(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(data))
    with pytest.raises(DataError, match="1 of 2") as refused:
        check_data(configs("mnist", "tiny-imagenet"))
    assert "tiny-imagenet: the data set 'zh-plus/tiny-imagenet' cannot be fetched" in str(refused.value)
    assert f"{data} has cifar10/, mnist/" in str(refused.value)


def test_no_run_is_started_without_its_data_and_none_that_is_done_needs_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = GridFolder(tmp_path / "grid")
    quiet = Console(quiet=True)
    monkeypatch.setattr(reproduce, "command", lambda *_: pytest.fail("a run was started"))
    with pytest.raises(DataError, match="cannot be used"):
        run(grid("mnist", "tiny-imagenet", root=str(data)), folder, 1, quiet)
    monkeypatch.setattr(GridFolder, "record", lambda *_: object())
    work = grid("tiny-imagenet", root=str(data))
    assert len(run(work, folder, 1, quiet).records) == len(work)
