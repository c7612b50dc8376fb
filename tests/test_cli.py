"""The command line: what it prints, what it refuses and with which exit code. Training itself is replaced here."""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hssl
from hssl.cli import COMMANDS, main
from hssl.config import Config
from hssl.errors import DataError
from stand_in_engine import Engine, refused
from waiting import HANG_SECONDS


def test_help_and_recipes_import_no_torch() -> None:
    program = (
        "import sys\n"
        "from hssl.cli import main\n"
        "for line in ('--help', 'recipes', 'recipes --fields', 'train --help', 'train x --out y', 'evaluate x'):\n"
        "    main(line.split())\n"
        "heavy = {'torch', 'lightning', 'numpy', 'sklearn', 'matplotlib', 'datasets', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=HANG_SECONDS)


@pytest.mark.parametrize(
    ("words", "given", "seen"),
    [("train digits-scale-hssl --out o", None, "1"), ("train digits-scale-hssl --out o", "0", "0"),
     ("evaluate o", None, None)],
)  # fmt: skip
def test_training_asks_for_large_pages_unless_told_otherwise(
    words: str, given: str | None, seen: str | None, engine: Engine, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", given or "")
    if given is None:
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    monkeypatch.chdir(run_folder.parent)
    main([word if word != "o" else str(run_folder) for word in words.split()])
    assert os.environ.get("THP_MEM_ALLOC_ENABLE") == seen


def test_the_console_script_answers_and_leaves_without_noise_when_its_reader_does() -> None:
    command = "set -o pipefail; " + f"'{sys.executable}' -m hssl.cli recipes | head -n 1; echo ${{PIPESTATUS[0]}}"
    # Unbuffered, so that the second line already meets a closed pipe.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=HANG_SECONDS, env=environment
    )
    first, code = done.stdout.splitlines()
    assert first.startswith("recipe")
    assert code in ("0", "141")
    assert done.stderr == ""


def test_help_names_every_command_and_train_shows_how_fields_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    for command in ("train", "equivariance", "compare"):
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "--optimizer.learning_rate 0.3" in shown
        assert "hssl recipes --fields" in shown


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_80_columns(
    command: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*([command] if command else []), "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hssl {hssl.__version__}\n"


def test_no_command_shows_the_help_and_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: hssl" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("train", "mnist-scale-hsl", "--out", "o"), "did you mean 'mnist-scale-hssl'?"),
        (("train", "mnist-scale", "--out", "o"), "add a mode"),
        (("train", "mnist-scale-hssl", "--optimizer.lrr", "0.1", "--out", "o"), "optimizer.learning_rate"),
        (("train", "mnist-scale-hssl", "--seeds", "1", "--out", "o"), "did you mean 'seed'?"),
        (("train", "mnist-scale-hssl", "--budget", "tiny", "--out", "o"), "smoke"),
        (("train", "mnist-scale-hssl", "--seed", "-1", "--out", "o"), "'seed' got -1"),
        (("train", "mnist-scale-hssl", "--trainer.batch_size", "1", "--out", "o"), "no negatives"),
        (("train", "mnist-scale-hssl", "--backbone.plan", "seperable", "--out", "o"), "did you mean 'separable'?"),
        (("train", "mnist-scale-hssl", "--seed", "--out", "o"), "'--seed' has no value"),
        (("train", "mnist-scale-hssl", "--out", "o", "--seed"), "'--seed' has no value"),
        (("train", "mnist-scale-hssl", "--verbose", "--out", "o"), "no field 'verbose'"),
        (("train", "mnist-scale-hssl", "seed=1", "--out", "o"), "unrecognized arguments: seed=1"),
        (("train", "mnist-scale-hssl"), "--out"),
        (("train", "--out", "o"), "RECIPE"),
        (("train", "nowhere/config.yaml", "--out", "o"), "nowhere/config.yaml cannot be read"),
        (("evaluate", "nowhere"), "there is no folder nowhere"),
        (("evaluate",), "RUN"),
        (("evaluate", "nowhere", "--seed", "1"), "unrecognized arguments"),
        (("equivariance", "mnist-scale"), "add a mode"),
        (("equivariance", "runs/nowhere"), "there is no folder runs/nowhere"),
        (("compare", "mnist-scal"), "did you mean 'mnist-scale'?"),
        (("compare", "mnist-scale-hsl"), "leave the mode out: 'mnist-scale'"),
        (("compare", "mnist-scale", "--modes", "hybird"), "assl, hssl, frozen, supervised"),
        (("compare", "mnist-scale", "--seeds", "a"), "invalid int value: 'a'"),
        (("compare", "mnist-scale", "--seeds", "-1"), "'seed' got -1"),
        (("compare", "mnist-scale", "--seed", "1"), "give --seeds instead"),
        (("compare", "mnist-scale", "--method", "frozen"), "give --modes, or --vary method.name="),
        (("compare", "mnist-scale", "--views.name", "inputs"), "give --modes, or --vary views.name="),
        (("compare", "mnist-scale-hssl", "--modes", "hssl"), "a whole recipe has its mode"),
        (("compare", "custom", "--vary", "method.temperatur=1,2"), "did you mean 'method.temperature'?"),
        (("compare", "custom", "--vary", "method.temperature"), "--vary FIELD=VALUE,VALUE"),
        (("compare", "custom", "--vary", "seed=1,2"), "give --seeds instead"),
        (("compare", "custom", "--group", "c4", "--group.name", "scales"), "contradict each other"),
        (("train", "mnist-scale-hssl", "--group", "c4", "--out", "runs/x"), "is about scales"),
        (
            ("train", "mnist-scale-frozen", "--method.temperature", "1", "--out", "runs/x"),
            "method 'frozen' has no field",
        ),
        (("compare", "mnist-scale", "--trainer.epochs", "0"), "'trainer.epochs' got 0"),
        (("frobnicate",), "compare, equivariance, evaluate, recipes, report, reproduce, train"),
        (("trian", "x"), "did you mean 'train'?"),
        (("--seed", "1"), "there is no command '1'"),
    ],
)
def test_bad_words_are_one_message_and_exit_code_2(
    engine: Engine, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    assert expected in refused(capsys, *words)
    assert engine.asked == []


def test_a_folder_that_is_no_run_and_an_out_that_is_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "an empty folder" in refused(capsys, "evaluate", str(tmp_path))
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    assert "a folder with notes.txt" in refused(capsys, "evaluate", str(tmp_path))
    assert "is a file" in refused(capsys, "train", "digits-scale-hssl", "--out", str(file))
    assert "is a file" in refused(capsys, "compare", "digits-scale", "--out", str(file))
    assert "config.yaml" in refused(capsys, "train", str(tmp_path), "--out", str(tmp_path / "x"))
    assert file.read_text() == "mine"


def test_errors_of_the_package_keep_their_message(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    engine.failure = DataError("the file is cut short", got="5000 bytes")
    assert refused(capsys, "evaluate", str(run_folder)) == "hssl: the file is cut short\n  got:      5000 bytes\n"


def test_a_bug_keeps_its_traceback(engine: Engine, run_folder: Path) -> None:
    engine.failure = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        main(["evaluate", str(run_folder)])
    engine.failure = FileNotFoundError(2, "No such file", "inner.bin")
    with pytest.raises(FileNotFoundError):
        main(["evaluate", str(run_folder)])


def test_a_disk_that_refuses_is_told_without_traceback(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.failure = PermissionError(13, "Permission denied", "/runs/x")
    assert refused(capsys, "train", "digits-scale-hssl", "--out", "x") == "hssl: Permission denied: /runs/x\n"


def leave_like_lightning(*_: Any) -> int:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)


@pytest.mark.parametrize("leave", [None, leave_like_lightning])
def test_an_interrupt_says_how_to_continue(
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    leave: Callable[..., int] | None,
) -> None:
    engine.failure = KeyboardInterrupt()
    if leave is not None:
        monkeypatch.setattr(sys.modules["hssl.training.engine"], "train", leave)
    assert main(["train", "digits-scale-hssl", "--out", "my runs"]) == 130
    message = capsys.readouterr().err
    assert "hssl train digits-scale-hssl --out 'my runs'" in message
    assert "Traceback" not in message


def test_an_exit_that_is_no_interrupt_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, run_folder: Path
) -> None:
    engine.failure = SystemExit(7)
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", str(run_folder)])
    assert caught.value.code == 7


def test_notices_that_a_user_cannot_act_on_are_silent_only_while_a_command_runs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chatter = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    monkeypatch.setattr(chatter, "level", logging.INFO)
    heard: list[str] = []

    def noisy(config: Config, out: Path) -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn_explicit("a notice", UserWarning, "file.py", 1, module="lightning.pytorch.trainer")
            warnings.warn_explicit("a notice", UserWarning, "file.py", 1, module="torch.optim.lr_scheduler")
            warnings.warn_explicit("ours", UserWarning, "file.py", 1, module="hssl.data.folder")
            warnings.warn_explicit("a namesake", UserWarning, "file.py", 1, module="torchlike")
        heard.extend(str(warning.message) for warning in caught)
        chatter.info("a tip")
        chatter.error("a failure")
        return {}

    monkeypatch.setattr(sys.modules["hssl.training.engine"], "train", noisy)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["train", "digits-scale-hssl", "--out", str(tmp_path / "x")]) == 0
    assert heard == ["ours", "a namesake"]
    assert [record.message for record in caplog.records] == ["a failure"]
    assert chatter.level == logging.INFO
