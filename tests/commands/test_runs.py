"""Training and measuring one run: what is handed over, what is printed, where data is looked for."""

import json
import os
from pathlib import Path

import pytest
import yaml

from hssl.cli import main
from hssl.config import load, override
from hssl.paper.recipes import recipe
from stand_in_engine import EVALUATION, Engine, refused


def test_train_hands_over_the_recipe_with_budget_and_fields(
    engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    engine.answer = {"epochs": 16, "source": "there", "notes": ("2 images were left out",)}
    words = ["train", "mnist-scale-hssl", "--seed", "3", "--budget", "quick", "--data.root=../there", "--out", str(out)]
    assert main([*words, "--group.factors", "1,1.5", "--optimizer.learning_rate", "1e-2"]) == 0
    (config, folder), measured = engine.asked
    assert measured == (out, "../there"), "measured where it was trained, wherever the folder says its data lay"
    expected = recipe("mnist-scale-hssl", "quick")
    assert folder == out
    assert (config.seed, config.data.root, config.optimizer.learning_rate) == (3, "../there", 0.01)
    assert config.group.factors == (1.0, 1.5)
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


GAINED = {"accuracy": 70.0, "protocol": "logistic regression"}


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (
            {"points": {"linear_probe": 18.5}, "better": ["linear_probe"], "worse": []},
            "better than random weights, in points: linear probe +18.5",
        ),
        ({"points": {"linear_probe": 0.5}, "better": [], "worse": []}, "nothing gained over random weights"),
    ],
)
def test_training_ends_with_what_it_gained(
    gain: dict[str, object], words: str, engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    engine.answer = {**EVALUATION, "epochs": 3, "untrained": {"linear_probe": GAINED}, "gain": gain}
    assert main(["train", "digits-scale-hssl", "--out", str(tmp_path / "x")]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("linear probe "))
    assert row.split()[2:6] == ["88.50", "%", "70.00", "%"]
    assert words in shown
    assert ("to try:" in shown) == (words.startswith("nothing"))


def test_training_without_an_evaluation_ends_with_its_folder(
    engine: Engine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    assert main(["train", "digits-scale-hssl", "--no-evaluation", "--out", str(out)]) == 0
    assert len(engine.asked) == 1
    shown = capsys.readouterr().out
    assert f"hssl evaluate {out}" in shown
    assert "linear probe" not in shown


def test_a_finished_run_that_was_measured_is_not_measured_again(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    there = {**EVALUATION, "identity": load(run_folder / "config.yaml").identity()}
    for name, measured_again in (("identity", False), ("complete", True)):
        changed = there if name == "identity" else {**there, "complete": False}
        (run_folder / "evaluation.json").write_text(json.dumps(changed))
        engine.asked.clear()
        assert main(["train", str(run_folder / "config.yaml"), "--out", str(run_folder)]) == 0
        assert ((run_folder, None) in engine.asked) is measured_again
        assert "88.50 %" in capsys.readouterr().out


def test_a_budget_on_top_of_a_saved_configuration_is_refused(
    capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    message = refused(capsys, "train", str(run_folder / "config.yaml"), "--budget", "smoke", "--out", "x")
    assert "a file is already scaled" in message


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


def test_evaluate_refuses_a_folder_that_cannot_be_written_before_it_measures(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written" in refused(capsys, "evaluate", str(run_folder))
    assert engine.asked == []


def test_evaluate_says_plainly_what_could_not_be_measured(
    engine: Engine, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    nothing = {"readout": None, "linear_probe": None, "knn": None}
    engine.answer = {**EVALUATION, **nothing, "labels": False, "complete": False}
    assert main(["evaluate", str(run_folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not measured: the images have no labels") == 5
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
    rows = [line.split() for line in shown.splitlines()]
    assert rows.index(["180°", "0.00e+00"]) == rows.index(["90°", "3.00e-07"]) + 1
    assert "0 is the law" in shown
    assert ("not held: an error is above the bound" in shown) is not held
    assert "scales are approximate" not in shown


@pytest.mark.parametrize("strength", [0.7, 1e-6])
def test_the_strength_of_the_action_stands_beside_its_error(
    engine: Engine, capsys: pytest.CaptureFixture[str], strength: float
) -> None:
    entry = {
        "group": "Translations()",
        "class": "exact off the border",
        "bound": 1e-5,
        "held": True,
        "errors": {"(+4, +0) px off the border": 3e-7, "(+0, +4) px off the border": 0.0},
        "context": {
            "(+4, +0) px with the border": 0.5,
            "(+4, +0) px off the border: strength of the action": strength,
            "(+0, +4) px off the border: strength of the action": None,
        },
    }
    engine.answer = {"equivariance": entry}
    assert main(["equivariance", "mnist-translation-hssl"]) == 0
    shown = capsys.readouterr().out
    lines = [line.split("  ") for line in shown.splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["element", "relative error", "strength of the action"] in rows
    assert ["(+4, +0) px off the border", "3.00e-07", f"{strength:.2e}"] in rows
    assert ["(+0, +4) px off the border", "0.00e+00", "nothing to compare"] in rows
    # What belongs to no element stands below, and is lost to no other figure.
    assert ["(+4, +0) px with the border", "5.00e-01"] in rows
    assert "|f(T_g x) - f(x)|" in shown
    assert "scales are approximate" not in shown
    assert ("held; the features do not change" in shown) is (strength < 1e-3)
    assert ("no evidence here" in shown) is (strength < 1e-3)


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
        assert main(["train", "mnist-scale-hssl", *words, "--no-evaluation", "--out", out]) == 0
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
