import logging
import threading
from pathlib import Path

import datasets
import huggingface_hub
import pytest
import torch
from PIL import Image

from hssl.data import load_data
from hssl.data.hub import REPOSITORIES
from hssl.data.settings import DataSettings
from hssl.errors import ConfigurationError, DataError


def _dataset(values: list[int]) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["even", "odd"])})
    rows = {"image": [Image.new("L", (8, 8), value) for value in values], "label": [value % 2 for value in values]}
    return datasets.Dataset.from_dict(rows, features=features)


def _splits() -> datasets.DatasetDict:
    return datasets.DatasetDict(train=_dataset([0, 1, 2, 3, 4, 5]), test=_dataset([9, 8]))


def _no_network(*_: object, **__: object) -> None:
    raise ConnectionError("no route to the hub")


@pytest.mark.parametrize("name", [*REPOSITORIES, "hub:someone/something"])
def test_without_a_network_there_is_one_error_at_once_and_in_silence(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", _no_network)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    load, offline = datasets.load_dataset, []

    def load_dataset(name: str) -> object:
        offline.append(datasets.config.HF_HUB_OFFLINE and huggingface_hub.constants.HF_HUB_OFFLINE)
        return load(name)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    level = logging.getLogger("datasets").level
    with pytest.raises(DataError) as caught:
        load_data(DataSettings(name=name))
    assert offline == [True]  # else it would try again and again for minutes
    message = str(caught.value)
    assert REPOSITORIES.get(name, "someone/something") in message
    assert "no route to the hub" in message
    assert "--data.root" in message
    assert capfd.readouterr() == ("", "")
    assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert logging.getLogger("datasets").level == level


def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: given_up.wait())
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr("hssl.data.hub._PATIENCE_SECONDS", 0.1)
    with pytest.raises(DataError, match="no answer"):
        load_data(DataSettings(name="hub:someone/something"))
    given_up.set()


def test_what_the_hub_gives_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: asked.append(name) or _splits())
    data = load_data(DataSettings(name="mnist", resolution=8))
    assert asked == ["ylecun/mnist"]
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test.labels.tolist() == [1, 0]


def test_an_error_of_the_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise RuntimeError("Dataset scripts are no longer supported\nat great length")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(DataError, match="no longer supported") as caught:
        load_data(DataSettings(name="hub:a/b"))
    assert "at great length" not in str(caught.value)


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:/b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigurationError, match="hub:OWNER/NAME"):
        load_data(DataSettings(name=name))


def test_a_saved_data_set(tmp_path: Path) -> None:
    _splits().save_to_disk(str(tmp_path))
    data = load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8))
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.test.images[:, 0, 0, 0].tolist() == [9, 8]
    assert data.train.class_names == ("even", "odd")
    assert data.channels == 1


def test_a_saved_single_split_respects_its_order(tmp_path: Path) -> None:
    _dataset(list(range(20))).select(range(19, -1, -1)).save_to_disk(str(tmp_path))
    data = load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8, test_fraction=0.25))
    values = data.train.images[:, 0, 0, 0]
    assert torch.equal(values % 2, data.train.labels.to(torch.uint8))
    assert sorted(values.tolist(), reverse=True) == values.tolist()
    assert len(data.test) == 5
    assert "held out" in data.notes[0]


def test_a_damaged_saved_data_set_is_refused(tmp_path: Path) -> None:
    _splits().save_to_disk(str(tmp_path))
    next((tmp_path / "train").glob("*.arrow")).write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8))


def test_a_saved_data_set_without_training_images_is_refused(tmp_path: Path) -> None:
    datasets.DatasetDict(test=_dataset([1, 2])).save_to_disk(str(tmp_path))
    with pytest.raises(DataError, match="no split 'train'"):
        load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8))


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_saved_test_split_alone_is_not_trained_on(tmp_path: Path, split: str) -> None:
    saved = datasets.Dataset(_dataset([1, 2, 3, 4]).data, split=datasets.NamedSplit(split))
    saved.save_to_disk(str(tmp_path))
    with pytest.raises(DataError, match=rf"no split 'train'[\s\S]*'{split}'"):
        load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8))


def test_splits_that_are_not_used_are_told(tmp_path: Path) -> None:
    splits = _splits() | {"extra": _dataset([1]), "valid": _dataset([2, 3])}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path))
    data = load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8))
    assert data.notes == ("not used: 'extra'", "measured on the split 'test', not on 'valid'")
    assert data.test.images[:, 0, 0, 0].tolist() == [9, 8]
