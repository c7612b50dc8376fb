"""Many runs: which are handed over, listed and refused. The runs themselves: tests/runs."""

from pathlib import Path

import pytest

from hssl.cli import main
from hssl.paper.recipes import recipe
from stand_in_engine import Engine, refused


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
    ((made, out),) = engine.asked
    stems, modes = ("digits-translation", "mnist-translation-mlp"), ("hssl", "assl")
    wanted = [f"{stem}-{mode}-smoke-seed{seed}" for seed in range(3) for stem in stems for mode in modes]
    assert (list(made), out) == (wanted, tmp_path)
    assert {(config.budget, config.trainer.epochs) for config in made.values()} == {("smoke", 1)}
    assert [config.seed for config in made.values()] == [0] * 4 + [1] * 4 + [2] * 4


def test_compare_runs_every_mode_of_a_quick_budget_where_nothing_else_is_asked(engine: Engine) -> None:
    assert main(["compare", "digits-scale"]) == 0
    ((made, out),) = engine.asked
    modes = ("assl", "hssl", "frozen", "supervised")
    assert (list(made), out) == ([f"digits-scale-{m}-quick-seed0" for m in modes], Path("runs/digits-scale-quick"))
    assert made["digits-scale-hssl-quick-seed0"] == recipe("digits-scale-hssl", "quick")


def test_compare_varies_fields_of_a_recipe(engine: Engine, tmp_path: Path) -> None:
    vary = ["method.temperature=0.1,0.2", "optimizer.name=adamw,lars"]
    fields = ["--optimizer.trust_coefficient", "0.01"]
    assert main(["compare", "digits-scale-hssl", "--vary", *vary, *fields, "--out", str(tmp_path)]) == 0
    ((made, _),) = engine.asked
    told = {
        (config.method.temperature, config.optimizer.name, getattr(config.optimizer, "trust_coefficient", None))
        for config in made.values()
    }
    assert told == {(0.1, "adamw", None), (0.2, "adamw", None), (0.1, "lars", 0.01), (0.2, "lars", 0.01)}


def test_the_cells_of_the_paper_are_listed_without_making_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid"
    assert main(["reproduce", "table2", "--datasets", "mnist", "--seeds", "3", "--list", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Two rows of four modes, and the other reading of one of them.
    assert len(lines) == 1 + 12 + 2
    assert lines[-1] == f"36 runs at the quick budget, in {out}"
    assert any(
        line.split() == ["table2", "mnist-translation-mlp-hssl", "58.2", "±", "0.5", "0", "of", "3"] for line in lines
    )
    assert not out.exists()


def test_a_run_of_several_cells_is_listed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "reproduce streams joint --datasets mnist --transformations scale --list --out"
    assert main([*words.split(), str(tmp_path / "grid")]) == 0
    lines = [line.rsplit(None, 4) for line in capsys.readouterr().out.splitlines()]
    assert "paper" not in lines[0]
    listed = [line[1] for line in lines[1:-2]]
    assert len(listed) == len(set(listed))
    assert any(
        line[0].strip() == "streams, joint" and line[1] == "mnist-scale-hssl-all-streams" for line in lines[1:-2]
    )
    assert lines[-1][0].startswith(f"{len(listed)} runs")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("reproduce table1 --seeds 0 1 2", "how many seeds, not which"),
        ("reproduce table3", "no table, figure or study 'table3'"),
        ("reproduce table1 --datasets minst", "did you mean 'mnist'"),
        ("reproduce table1 --seed 3", "give --seeds"),
        ("reproduce table1 --trainer.epoch 3", "did you mean 'trainer.epochs'"),
        ("report nowhere", "no records in nowhere"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, *words.split())


def test_a_folder_holds_one_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told before the first run is made, not by the report after the last."""
    file = tmp_path / "records" / "mnist-scale-hssl-quick-seed0.json"
    file.parent.mkdir()
    file.touch()
    words = ("reproduce", "table2", "--datasets", "mnist", "--list", "--out", str(tmp_path), "--budget")
    assert main([*words, "quick"]) == 0
    capsys.readouterr()
    assert "--budget smoke, and mnist-scale-hssl-quick-seed0" in refused(capsys, *words, "smoke")
