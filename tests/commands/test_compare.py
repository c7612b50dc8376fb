"""A comparison: refused as a whole before its first run, repeated at no cost, and never of other data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hssl.commands.compare import compare
from hssl.config import Config, Mode
from hssl.errors import ConfigurationError, RunFolderError
from hssl.paper.comparison import configurations
from hssl.runs.record import read
from hssl.training import engine, evaluate
from small_runs import TINY, write_images

FIELDS = TINY | {"trainer.epochs": 1, "optimizer.warmup_epochs": 0, "data.test_images": 8, "trainer.batch_size": 8}


def compared(
    stems: Sequence[str], modes: Sequence[Mode], seeds: Sequence[int], budget: str, fields: dict[str, Any], out: Path
) -> int:
    return compare(configurations(stems, modes, seeds, budget, {}, fields), out)


def failing(error: Exception) -> Any:
    def fail(*_: Any) -> None:
        raise error

    return fail


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", 40, classes=2)


def row(images: Path, out: Path) -> int:
    return compared(["folder-rotation"], ["h-ssl"], [0], "smoke", FIELDS | {"data.root": str(images)}, out)


@pytest.mark.parametrize(
    "field",
    [{"data.resolution": 14}, {"views.base_size": 5}, {"views.max_distance": 0.0}, {"trainer.batch_size": 15}],
    ids=str,
)
def test_a_bad_configuration_is_refused_before_the_first_run(
    field: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "train", lambda *_: pytest.fail("a run was started"))
    fields = FIELDS | {"trainer.accumulate": 2} | field
    # In supervised mode alone most of these would do: the last cell is the bad one.
    with pytest.raises(ValueError, match=r"13|fit|distance|divide"):
        compared(["digits-rotation"], ["supervised", "h-ssl"], [0], "smoke", fields, tmp_path)
    assert not (tmp_path / "runs").exists()


def test_exit_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (["digits-rotation"], ("h-ssl", "a-ssl"), [0], "smoke", FIELDS, tmp_path)
    monkeypatch.setattr(engine, "train", failing(ConfigurationError("mend it")))
    assert compared(*asked) == 2
    monkeypatch.setattr(engine, "train", failing(ZeroDivisionError("a bug")))
    assert compared(*asked) == 1
    errors = iter((ZeroDivisionError("a bug"), RunFolderError("mend it")))
    monkeypatch.setattr(engine, "train", lambda *_: failing(next(errors))())
    assert compared(*asked) == 1


def test_a_finished_comparison_is_not_measured_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert row(images, tmp_path / "out") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "H-SSL" in told
    assert "over 1 seed" in told
    (file,) = (tmp_path / "out" / "records").iterdir()
    first = read(file)
    monkeypatch.setattr(evaluate, "evaluate_run", lambda *_: pytest.fail("measured again"))
    assert row(images, tmp_path / "out") == 0
    assert read(file) == first


def test_a_record_is_never_shown_for_other_data(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert row(images, tmp_path / "out") == 0
    other = write_images(tmp_path / "other", 40, classes=2)
    Image.new("L", (13, 13), 200).save(next((other / "class0").iterdir()))
    capsys.readouterr()
    assert row(other, tmp_path / "out") == 2
    assert "trained on other data" in " ".join(capsys.readouterr().err.split())


def test_a_run_that_was_deleted_is_measured_anew(images: Path, tmp_path: Path) -> None:
    assert row(images, tmp_path / "out") == 0
    (file,) = (tmp_path / "out" / "records").iterdir()
    first = read(file)
    (tmp_path / "out" / "runs").rename(tmp_path / "away")
    for place in (images / "class0").iterdir():
        Image.new("L", (13, 13), 200).save(place)
    assert row(images, tmp_path / "out") == 0
    assert read(file).evaluation != first.evaluation


def test_each_recipe_finds_its_data_in_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("mnist", "cifar10")]
    for place in places:
        place.mkdir()
    monkeypatch.setenv("HSSL_DATA", str(tmp_path))
    asked: list[str | None] = []

    def keep(config: Config, *_: Any) -> None:
        asked.append(config.data.root)
        raise RunFolderError("enough")

    monkeypatch.setattr(engine, "train", keep)
    stems = ["mnist-rotation", "cifar10-rotation", "digits-rotation"]
    for overrides in ({}, {"data.root": "mine"}):
        compared(stems[: 2 if overrides else 3], ["h-ssl"], [0], "smoke", overrides, tmp_path / "out")
    assert asked == [*map(str, places), None, "mine", "mine"]
