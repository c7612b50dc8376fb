"""Budgets: what they may change, and the rules for learning rate and warm-up."""

import pytest

from hssl.paper import budgets
from hssl.paper import numbers as paper
from hssl.paper.budgets import BUDGET_NAMES, BUDGETS, steps, warmup_epochs

CELLS = [(workload, budget) for budget in BUDGET_NAMES for workload in BUDGETS[budget]]


def test_every_budget_knows_every_workload() -> None:
    assert set(BUDGETS) == set(BUDGET_NAMES)
    for rows in BUDGETS.values():
        assert set(rows) == set(budgets.TRAIN_IMAGES) == set(budgets.REFERENCE)


@pytest.mark.parametrize(
    "workload",
    ["mnist", "mnist-rotation", "mnist-scale", "mnist-mlp", "mnist-cnn", "cifar10", "cifar10-cnn", "tiny-imagenet"],
)
def test_the_paper_budget_is_the_paper(workload: budgets.Workload) -> None:
    row = BUDGETS["paper"][workload]
    assert row == budgets.Budget(paper.EPOCHS[budgets.REFERENCE[workload]], 4096)
    assert warmup_epochs(workload, "paper") == 10
    assert steps(workload, "paper") == paper.steps(budgets.REFERENCE[workload])


@pytest.mark.parametrize(("workload", "budget"), CELLS)
def test_a_run_takes_steps_and_its_batch_fits_its_images(workload: budgets.Workload, budget: str) -> None:
    row = BUDGETS[budget][workload]  # type: ignore[index]
    images = row.train_images or budgets.TRAIN_IMAGES[workload]
    assert images is None or row.batch_size <= images
    assert (row.minutes is None) == (budget == "paper")


@pytest.mark.parametrize(("workload", "budget"), CELLS)
def test_the_warm_up_leaves_at_least_half_of_the_run(workload: budgets.Workload, budget: budgets.BudgetName) -> None:
    assert 0 < warmup_epochs(workload, budget) <= BUDGETS[budget][workload].epochs / 2
