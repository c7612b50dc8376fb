"""The folder of a run: whose it is, and what a kill may leave in it."""

import json
from pathlib import Path

import pytest
import yaml

from hssl.config import parse
from hssl.errors import RunFolderError
from hssl.training.run_folder import RunFolder
from small_runs import snapshot, tiny


def test_claiming_writes_the_configuration(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.claim(tiny())
    assert parse(yaml.safe_load(folder.config_file.read_text())) == tiny() == folder.config()
    assert folder.checkpoints.is_dir()


def test_an_empty_folder_may_be_claimed(tmp_path: Path) -> None:
    RunFolder(tmp_path).claim(tiny())
    assert RunFolder(tmp_path).config() == tiny()


def test_claiming_again_changes_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.claim(tiny())
    before = snapshot(tmp_path)
    folder.claim(tiny())
    assert snapshot(tmp_path) == before


def test_where_the_data_lies_is_not_part_of_the_run(tmp_path: Path) -> None:
    RunFolder(tmp_path).claim(tiny(data__root="/here"))
    RunFolder(tmp_path).claim(tiny(data__root="/there"))


def test_another_run_is_refused_with_every_difference(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.claim(tiny(seed=1))
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError) as refusal:
        folder.claim(tiny(seed=2, views__base_size=2))
    assert "seed: 1 there, 2 asked" in str(refusal.value)
    assert "views.base_size: 1 there, 2 asked" in str(refusal.value)
    assert snapshot(tmp_path) == before


def test_foreign_files_are_named_and_left(tmp_path: Path) -> None:
    for name in "abcdefg":
        (tmp_path / name).write_text(name)
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError, match=r"a, b, c, d, e, \.\.\."):
        RunFolder(tmp_path).claim(tiny())
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("left", ["a temporary file", "a folder without checkpoints"])
def test_a_kill_while_the_folder_was_made_is_no_foreign_file(left: str, tmp_path: Path) -> None:
    if left == "a temporary file":
        (tmp_path / ".config.yaml.k2j3").write_text("recipe: dig")
    else:
        RunFolder(tmp_path).claim(tiny())
        (tmp_path / "checkpoints").rmdir()
    RunFolder(tmp_path).claim(tiny())
    assert RunFolder(tmp_path).config() == tiny()
    assert (tmp_path / "checkpoints").is_dir()


def test_a_place_that_cannot_hold_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder(tmp_path / "file").claim(tiny())
    with pytest.raises(RunFolderError, match="cannot be created: Not a directory"):
        RunFolder(tmp_path / "file" / "run").claim(tiny())


@pytest.mark.parametrize("text", ["just words", "{half", "no_such_field: 1", "- a\n- b", "seed: -3"])
def test_a_broken_configuration_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunFolderError, match=r"config\.yaml"):
        RunFolder(tmp_path).config()
    with pytest.raises(RunFolderError, match=r"config\.yaml"):
        RunFolder(tmp_path).claim(tiny())
    assert (tmp_path / "config.yaml").read_text() == text


def test_binary_in_place_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RunFolderError, match="cannot be read"):
        RunFolder(tmp_path).config()


def test_trimming_forgets_later_epochs_and_broken_lines(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.trim_metrics(3)
    assert not folder.metrics_file.exists()
    lines = [json.dumps({"epoch": epoch, "train/loss": epoch / 2}) for epoch in range(4)]
    folder.metrics_file.write_text("\n".join([*lines, '{"epoch": 1, "tra']))
    folder.trim_metrics(2)
    assert folder.metrics_file.read_text() == "\n".join(lines[:2]) + "\n"
    folder.trim_metrics(0)
    assert folder.metrics_file.read_text() == ""


def test_last_metrics_skip_a_line_cut_off(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.last_metrics() == {}
    folder.metrics_file.write_text('{"epoch": 0, "train/loss": 2.0}\n{"epoch": 1, "train/loss": 1.0}\n{"epoch": 2, "tr')
    assert folder.last_metrics() == {"epoch": 1, "train/loss": 1.0}


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(folder.evaluation_file, {"accuracy": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json(folder.evaluation_file, {"accuracy": float("nan")})
    assert json.loads(folder.evaluation_file.read_text()) == {"accuracy": 1.5}
    assert [entry.name for entry in tmp_path.iterdir()] == ["evaluation.json"]
