"""One folder for several data sets, given or in HSSL_DATA: each finds its own, and no number depends on where."""

from pathlib import Path

import pytest

from hssl.config import Config, override
from hssl.errors import ConfigurationError
from hssl.places import VARIABLE, below, data_folder, from_environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "cifar10").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def of(name: str, root: str | None = None) -> Config:
    return override(Config(), {"data.name": name, "data.root": root})


def test_the_environment_places_what_has_a_folder_there(folder: Path) -> None:
    placed = from_environment(of("mnist"))
    assert placed.data.root == str(folder / "mnist")
    assert placed.identity() == of("mnist").identity()


@pytest.mark.parametrize("name", ["cifar10", "tiny-imagenet", "digits", "folder", "hub:owner/mnist"])
def test_the_environment_leaves_what_has_none(folder: Path, name: str) -> None:
    assert from_environment(of(name)) == of(name)


def test_what_says_itself_where_it_lies_is_left(folder: Path) -> None:
    assert from_environment(of("mnist", "elsewhere")).data.root == "elsewhere"


def test_without_the_variable_nothing_moves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv(VARIABLE) if value is None else monkeypatch.setenv(VARIABLE, value)
        assert data_folder() is None
        assert from_environment(of("mnist")) == of("mnist")


@pytest.mark.parametrize("value", ["nowhere", "~nobody-of-that-name/data", "mnist/file"])
def test_a_variable_that_names_no_folder_is_refused(folder: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "mnist" / "file").touch()
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigurationError, match="HSSL_DATA names no folder") as refused:
        from_environment(of("mnist"))
    assert value in str(refused.value)
    # It is no business of those that need it not.
    assert from_environment(of("digits")) == of("digits")
    assert from_environment(of("mnist", "elsewhere")) == of("mnist", "elsewhere")


def test_a_place_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv(VARIABLE, f"~/{folder.name}")
    assert from_environment(of("mnist")).data.root == str(folder / "mnist")


@pytest.mark.parametrize("alone", [True, False])
def test_a_folder_for_several_data_sets(folder: Path, alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for given in (str(folder), "."):
        assert below(of("mnist"), given, alone=alone).data.root == str(folder / "mnist")
        # Alone it may lie in the folder itself; beside others it would be taken for theirs.
        expected = folder if alone else folder / "tiny-imagenet"
        assert below(of("tiny-imagenet"), given, alone=alone).data.root == str(expected)
        assert below(of("digits"), given, alone=alone) == of("digits")
