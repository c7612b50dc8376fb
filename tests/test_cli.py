"""The command line: what it prints, what it refuses and with which exit code. Training itself is replaced here."""

import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import hssl
from hssl.cli import COMMANDS, main
from hssl.config import Config, load, override
from hssl.errors import DataError
from hssl.experiments.recipes import describe, recipe, recipe_names

EVALUATION: dict[str, Any] = {
    "recipe": "digits-scale-hssl",
    "epoch": 3,
    "complete": True,
    "labels": True,
    "readout": {"accuracy": 91.25, "protocol": "trained alongside"},
    "linear_probe": {"accuracy": 88.5, "protocol": "logistic regression"},
    "knn": {"accuracy": 80.0, "protocol": "20 neighbours"},
    "equivariance": {
        "group": "Scales(1.0, 1.5)",
        "class": "approximate",
        "bound": None,
        "held": None,
        "errors": {"x1.5": 0.0421},
    },
}


class Engine:
    """Stands where training and comparison stand, and keeps what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Mapping[str, Any] = EVALUATION
        self.failure: BaseException | None = None
        self.code = 0

    def _answer(self, *asked: Any) -> Mapping[str, Any]:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure
        return self.answer

    def train(self, config: Config, out: Path) -> Mapping[str, Any]:
        return self._answer(config, out)

    def evaluate_run(self, run: Path, data_root: str | None, told: Callable[[str], None]) -> Mapping[str, Any]:
        if self.failure is None:
            told("fitting the readout")
        return self._answer(run, data_root)

    def measure_equivariance(self, config: Config | None, run: Path | None, root: str | None) -> Mapping[str, Any]:
        return self._answer(config, run, root)["equivariance"]  # type: ignore[no-any-return]

    def compare(self, *asked: Any) -> int:
        self._answer(*asked)
        return self.code


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine()
    training, comparing = ModuleType("hssl.training.engine"), ModuleType("hssl.experiments.compare")
    for name in ("train", "evaluate_run", "measure_equivariance"):
        setattr(training, name, getattr(stand_in, name))
    comparing.compare = stand_in.compare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hssl.training.engine", training)
    monkeypatch.setitem(sys.modules, "hssl.experiments.compare", comparing)
    return stand_in


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HSSL_DATA", raising=False)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    text = yaml.safe_dump(recipe("digits-scale-hssl", "smoke").model_dump(mode="json"))
    (folder / "config.yaml").write_text(text)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one message on stderr of a command that must end with exit code 2 and print nothing else."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hssl: ")
    return printed.err


def test_help_and_recipes_import_no_torch() -> None:
    program = (
        "import sys\n"
        "from hssl.cli import main\n"
        "for line in ('--help', 'recipes', 'recipes --fields', 'train --help', 'train x --out y', 'evaluate x'):\n"
        "    main(line.split())\n"
        "heavy = {'torch', 'lightning', 'numpy', 'sklearn', 'matplotlib', 'datasets', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)


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
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, env=environment)
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


def test_recipes_are_one_plain_line_each_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[0] for line in lines if "table" in line or "not in the paper" in line]
    assert rows == list(recipe_names())
    row = next(line for line in lines if line.startswith("mnist-scale-hssl "))
    assert row.split("  ")[0] == "mnist-scale-hssl"
    for words in ("98.3 ± 0.2", "8 GPU h", "< 1 min", "< 5 min", "table 1, SESN"):
        assert words in row
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(("width", "columns"), [(200, 6), (90, 5), (70, 3)])
def test_recipes_fit_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, columns: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert main(["recipes", "mnist-scale-cnn"]) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= width
    assert sum(name in table[0] for name in ("recipe", "expected", "cost", "smoke", "quick", "source")) == columns
    assert any(line.startswith("mnist-scale-cnn-supervised") for line in table)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("tiny-imagenet-scale", [f"tiny-imagenet-scale-{mode}" for mode in ("assl", "hssl", "frozen", "supervised")]),
        ("mnist-*-mlp-hssl", ["mnist-translation-mlp-hssl"]),
        ("cifar10-scale-hssl", ["cifar10-scale-hssl"]),
    ],
)
def test_recipes_by_part_of_a_name_or_pattern(
    capsys: pytest.CaptureFixture[str], pattern: str, names: list[str]
) -> None:
    assert main(["recipes", pattern]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[1 : 1 + len(names)]] == names
    assert f"to run one: {describe(names[0]).command}" in shown
    assert shown.splitlines()[1 + len(names)] == ""


def test_a_pattern_that_matches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'mnist-scale-hssl'" in refused(capsys, "recipes", "mnist-scal-hssl")


def test_fields_are_listed_with_what_they_accept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--fields"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("--views.distance "))
    assert "euclidean | topological" in row
    assert sum(line.startswith("--") for line in lines) > 40


def test_train_hands_over_the_recipe_with_budget_and_fields(
    engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    engine.answer = {"epochs": 16, "source": "there", "notes": ("2 images were left out",)}
    words = ["train", "mnist-scale-hssl", "--seed", "3", "--budget", "quick", "--data.root=../there", "--out", str(out)]
    assert main([*words, "--backbone.scales", "1,1.5", "--optimizer.learning_rate", "1e-2"]) == 0
    ((config, folder),) = engine.asked
    expected = recipe("mnist-scale-hssl", "quick")
    assert folder == out
    assert (config.seed, config.data.root, config.optimizer.learning_rate) == (3, "../there", 0.01)
    assert config.backbone.scales == (1.0, 1.5)
    assert config.trainer == expected.trainer
    shown = capsys.readouterr().out
    assert "2 images were left out" in shown
    assert f"hssl evaluate {out}" in shown


def test_train_follows_the_paper_where_no_budget_is_given(engine: Engine, tmp_path: Path) -> None:
    assert main(["train", "--out", str(tmp_path / "x"), "cifar10-rotation-assl"]) == 0
    assert engine.asked[0][0] == recipe("cifar10-rotation-assl", "paper")


def test_a_saved_configuration_is_given_back(engine: Engine, run_folder: Path, tmp_path: Path) -> None:
    path = run_folder / "config.yaml"
    assert main(["train", str(path), "--seed", "5", "--out", str(tmp_path / "again")]) == 0
    assert engine.asked[0][0] == load(path).model_copy(update={"seed": 5})


def test_a_budget_on_top_of_a_saved_configuration_is_refused(
    capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    message = refused(capsys, "train", str(run_folder / "config.yaml"), "--budget", "smoke", "--out", "x")
    assert "a file is already scaled" in message


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
        (("compare", "mnist-scale-hssl"), "leave the mode out: 'mnist-scale'"),
        (("compare", "mnist-scale", "--modes", "hybird"), "assl, hssl, frozen, supervised"),
        (("compare", "mnist-scale", "--seeds", "a"), "invalid int value: 'a'"),
        (("compare", "mnist-scale", "--seeds", "-1"), "'seed' got -1"),
        (("compare", "mnist-scale", "--seed", "1"), "give --seeds instead"),
        (("compare", "mnist-scale", "--mode", "h-ssl"), "give --modes instead"),
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
    engine.failure = DataError("the file is cut short", arrived="5000 bytes")
    assert refused(capsys, "evaluate", str(run_folder)) == "hssl: the file is cut short\n  arrived:  5000 bytes\n"


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


def test_evaluate_prints_each_measure_under_its_own_name(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    assert main(["evaluate", str(run_folder)]) == 0
    assert engine.asked == [(run_folder, None)]
    printed = capsys.readouterr()
    assert printed.err == "fitting the readout\n"
    lines = printed.out.splitlines()
    for name, accuracy, protocol in (
        ("readout", "91.25 %", "trained alongside"),
        ("linear probe", "88.50 %", "logistic regression"),
        ("kNN", "80.00 %", "20 neighbours"),
    ):
        row = next(line for line in lines if line.startswith(f"{name} "))
        assert accuracy in row
        assert protocol in row
    assert "equivariance: Scales(1.0, 1.5); class: approximate; bound: none; no bound to hold" in lines
    assert "fitting the readout" not in lines
    assert any("x1.5" in line and "4.21e-02" in line for line in lines)
    assert not any("interrupted" in line for line in lines)


def test_evaluate_says_plainly_what_could_not_be_measured(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    nothing = {"readout": None, "linear_probe": None, "knn": None}
    engine.answer = {**EVALUATION, **nothing, "labels": False, "complete": False}
    assert main(["evaluate", str(run_folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not measured: the images have no labels") == 3
    assert "interrupted after epoch 3" in shown


@pytest.mark.parametrize(
    ("held", "words"),
    [(True, "class: exact; bound: 1e-05; held"), (False, "class: exact; bound: 1e-05; NOT HELD")],
)
def test_equivariance_of_a_recipe(engine: Engine, capsys: pytest.CaptureFixture[str], held: bool, words: str) -> None:
    entry = {
        "group": "Rotations()",
        "class": "exact",
        "bound": 1e-5,
        "held": held,
        "errors": {"90°": 3e-7, "180°": 0.0},
    }
    engine.answer = {"equivariance": entry}
    assert main(["equivariance", "mnist-rotation-hssl", "--seed", "2"]) == 0
    ((config, run, _),) = engine.asked
    assert run is None
    assert config == recipe("mnist-rotation-hssl", "quick").model_copy(update={"seed": 2})
    shown = capsys.readouterr().out
    assert words in shown
    assert "random weights, width 0.25" in shown
    assert [line.split() for line in shown.splitlines()[-2:]] == [["90°", "3.00e-07"], ["180°", "0.00e+00"]]


def test_equivariance_of_a_run_takes_the_run_as_it_is(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    assert main(["equivariance", str(run_folder)]) == 0
    assert engine.asked == [(None, run_folder, None)]
    assert "trained weights" in capsys.readouterr().out
    assert "measured as it is" in refused(capsys, "equivariance", str(run_folder), "--seed", "1")
    assert "measured as it is" in refused(capsys, "equivariance", str(run_folder), "--budget", "smoke")


def test_the_data_of_a_run_may_lie_elsewhere_now(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    assert main(["evaluate", str(run_folder), "--data.root", "/moved"]) == 0
    assert main(["equivariance", str(run_folder), "--data.root=/moved"]) == 0
    assert engine.asked == [(run_folder, "/moved"), (None, run_folder, "/moved")]
    capsys.readouterr()
    words = ("equivariance", str(run_folder), "--data.root=/moved", "--data.name", "mnist")
    assert "--data.name" in refused(capsys, *words)


def test_data_is_found_in_the_folder_of_the_environment(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, out = tmp_path / "data" / "mnist", str(tmp_path / "x")
    place.mkdir(parents=True)
    monkeypatch.setenv("HSSL_DATA", str(place.parent))
    for words in ((), ("--data.root", "mine"), ("--data.root", "none")):
        assert main(["train", "mnist-scale-hssl", *words, "--out", out]) == 0
    assert [config.data.root for config, _ in engine.asked] == [str(place), "mine", None]
    run = tmp_path / "run"
    run.mkdir()
    for root, asked in ((None, str(place)), (str(tmp_path), None), (str(tmp_path / "gone"), str(place))):
        engine.asked.clear()
        config = override(recipe("mnist-scale-hssl", "smoke"), {"data.root": root})
        (run / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
        assert main(["evaluate", str(run)]) == 0
        assert main(["evaluate", str(run), "--data.root", "mine"]) == 0
        assert main(["equivariance", str(run)]) == 0
        assert engine.asked == [(run, asked), (run, "mine"), (None, run, asked)]


def test_compare_hands_over_rows_modes_and_seeds(engine: Engine, tmp_path: Path) -> None:
    words = [
        "compare",
        "digits-translation",
        "mnist-translation-mlp",
        "--modes",
        "hssl",
        "a-ssl",
        "--seeds",
        "0",
        "1",
        "2",
    ]
    engine.code = 3
    assert main([*words, "--budget", "smoke", "--trainer.epochs", "1", "--out", str(tmp_path)]) == 3
    stems = ("digits-translation", "mnist-translation-mlp")
    assert engine.asked == [(stems, ("h-ssl", "a-ssl"), (0, 1, 2), "smoke", {"trainer.epochs": "1"}, tmp_path)]


def test_compare_runs_every_mode_of_a_quick_budget_where_nothing_else_is_asked(engine: Engine) -> None:
    assert main(["compare", "digits-scale"]) == 0
    modes = ("a-ssl", "h-ssl", "frozen", "supervised")
    assert engine.asked == [(("digits-scale",), modes, (0,), "quick", {}, Path("runs/digits-scale-quick"))]


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


def test_the_cells_of_the_paper_are_listed_without_making_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid"
    assert main(["reproduce", "table2", "--datasets", "mnist", "--seeds", "3", "--list", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 8
    assert any(
        line.split() == ["table2", "mnist-translation-mlp-hssl", "58.2", "±", "0.5", "0", "of", "3"] for line in lines
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("reproduce table3", "no table, figure or study 'table3'"),
        ("reproduce table1 --datasets minst", "did you mean 'mnist'"),
        ("reproduce table1 --seed 3", "give --seeds"),
        ("reproduce table1 --trainer.epoch 3", "did you mean 'trainer.epochs'"),
        ("report nowhere", "no records in nowhere"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, *words.split())


@pytest.mark.parametrize("place", ["file/x.json", "folder"])
def test_a_place_that_cannot_be_written_is_found_before_anything_is_measured(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    measuring = ModuleType("hssl.benchmarks.run")
    measured: list[Path] = []
    measuring.run = lambda kind, rounds, device, file: measured.append(file)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hssl.benchmarks.run", measuring)
    assert str(tmp_path / place) in refused(capsys, "bench", "step", "--json", str(tmp_path / place))
    assert measured == []
    good = tmp_path / "new" / "x.json"
    assert main(["bench", "step", "--json", str(good)]) == 0
    assert measured == [good]
    assert list(good.parent.iterdir()) == []


def test_a_folder_holds_one_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told before the first run is made, not by the report after the last."""
    file = tmp_path / "records" / "mnist-scale-hssl-quick-seed0.json"
    file.parent.mkdir()
    file.touch()
    words = ("reproduce", "table2", "--datasets", "mnist", "--list", "--out", str(tmp_path), "--budget")
    assert main([*words, "quick"]) == 0
    capsys.readouterr()
    assert "--budget smoke, and mnist-scale-hssl-quick-seed0" in refused(capsys, *words, "smoke")
