"""A loss at chance is that of projections that all look alike, and a run that ended there is told."""

from pathlib import Path

import pytest
import torch

from fakes.records import configuration, record
from hssl.analysis.chance import chance_loss, ended_at_chance, mostly_at_chance
from hssl.analysis.limits import protocol_statements
from hssl.objectives import contrastive, nt_xent
from hssl.runs.record import RunRecord


def run(folder: Path, loss: float, mode: str = "h-ssl", seed: int = 0, **changes: object) -> RunRecord:
    made = record(folder / f"{mode}{seed}", configuration("scale", mode, seed, **changes))
    return made.model_copy(update={"metrics": ({"epoch": 0, "train/loss": 9.0}, {"epoch": 1, "train/loss": loss})})


@pytest.mark.parametrize(("name", "objective"), [("contrastive", contrastive), ("nt-xent", nt_xent)])
def test_chance_is_the_loss_of_projections_that_look_alike(tmp_path: Path, name: str, objective) -> None:  # type: ignore[no-untyped-def]
    made = run(tmp_path, 1.0, method__objective=name, trainer__batch_size=32)
    same = torch.ones(32, 4, dtype=torch.float64)
    assert chance_loss(made) == pytest.approx(float(objective(same, same)))
    assert chance_loss(made) != pytest.approx(float(objective(same[:16], same[:16])))


def test_parts_of_a_batch_do_not_see_each_other(tmp_path: Path) -> None:
    whole, parts = (
        run(tmp_path / str(number), 1.0, trainer__batch_size=32, trainer__accumulate=number) for number in (1, 2)
    )
    same = torch.ones(16, 4, dtype=torch.float64)
    assert chance_loss(parts) == pytest.approx(float(contrastive(same, same)))
    assert chance_loss(parts) != chance_loss(whole)


def test_runs_that_end_there_are_told(tmp_path: Path) -> None:
    chance = chance_loss(run(tmp_path, 1.0))
    assert chance is not None
    stuck = [run(tmp_path / f"a{seed}", chance, seed=seed) for seed in range(2)]
    learned = run(tmp_path / "b", chance - 0.5, seed=2)
    assert [ended_at_chance(item) for item in (*stuck, learned)] == [True, True, False]
    assert mostly_at_chance([*stuck, learned])
    assert not mostly_at_chance([stuck[0], learned])
    (told,) = (text for text in protocol_statements([*stuck, learned]) if "at chance" in text)
    assert "H-SSL" in told
    assert "2 of 3 runs" in told
    assert not any("at chance" in text for text in protocol_statements([learned]))


def test_without_pairs_there_is_no_chance(tmp_path: Path) -> None:
    supervised = run(tmp_path, 9.9, mode="supervised")
    assert chance_loss(supervised) is None
    assert not ended_at_chance(supervised)
