"""The search looks at held-out images alone, chooses by accuracy, and is what short budgets train with."""

from pathlib import Path

import pytest

from fakes.records import write_run
from hssl.paper.budgets import Workload, short_optimizer
from hssl.runs.record import RunRecord, collect
from tools.search import (
    CNN,
    HELD_OUT_IMAGES,
    MLP,
    OPTIMIZER,
    QUESTIONS,
    Question,
    chosen,
    page,
    records_of,
    scores,
    tasks,
)

COMMITTED = Path(__file__).parents[2] / "results" / "search"
LEVELS = {"lars": 95.0, "1e-3": 90.0, "": 85.0}


@pytest.fixture
def records(tmp_path: Path) -> dict[str, RunRecord]:
    """Of every run; LARS is the best by far, and of the candidates the rate 1e-3."""
    return {
        task.name: collect(
            write_run(
                tmp_path / task.name,
                task.config,
                accuracy=next(level for word, level in LEVELS.items() if word in task.name),
            )
        )
        for task in tasks("/data")
    }


def test_no_run_looks_at_test_images_or_has_a_seed_of_the_results() -> None:
    work = tasks("/data")
    assert len({task.name for task in work}) == len({task.config.identity() for task in work}) == len(work)
    assert {task.config.data.validation_images for task in work} == {HELD_OUT_IMAGES}
    assert {task.config.seed for task in work} == {1000}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_candidate_is_tried_in_the_same_places(question: Question) -> None:
    names = {task.name for task in tasks("/data")}
    runs = [question.run(place, candidate) for candidate in question.candidates for place in question.places]
    assert len(runs) == len(set(runs)) == len(question.candidates) * len(question.rows) * 2
    assert set(runs) <= names


def test_the_most_accurate_is_chosen_whatever_random_weights_reach(records: dict[str, RunRecord]) -> None:
    assert set(scores(OPTIMIZER, records)) == set(OPTIMIZER.candidates)
    assert chosen(OPTIMIZER, records) == chosen(CNN, records) == "adamw, 1e-3"
    assert "Chosen: **adamw, 1e-3**" in page(records)
    # LARS stands beside: a rate of it serves one number of steps.
    assert "| (lars, 2) |" in page(records)
    # The control: what random weights reach is not looked at.
    raised = {
        name: record.model_copy(
            update={"evaluation": record.evaluation.model_copy(update={"untrained": {"knn": {"accuracy": 99.0}}})}
        )
        for name, record in records.items()
    }
    assert page(raised) == page(records)


def test_a_candidate_that_is_not_complete_is_not_compared(records: dict[str, RunRecord]) -> None:
    first = OPTIMIZER.run("mnist-scale-hssl", "adamw, 1e-3")
    rest = {name: record for name, record in records.items() if name != first}
    assert len(rest) == len(records) - 1
    assert "adamw, 1e-3" not in scores(OPTIMIZER, rest)
    assert chosen(OPTIMIZER, rest) != "adamw, 1e-3"


def test_short_budgets_train_with_what_the_committed_search_chose() -> None:
    records = records_of(COMMITTED)
    workloads: dict[Workload, Question] = {
        "mnist": OPTIMIZER, "mnist-rotation": OPTIMIZER, "mnist-scale": OPTIMIZER, "mnist-mlp": MLP, "mnist-cnn": CNN
    }  # fmt: skip
    for workload, question in workloads.items():
        settings = question.candidates[chosen(question, records)]
        optimizer = short_optimizer(workload)
        assert optimizer.name == settings["optimizer.name"]
        assert optimizer.learning_rate == settings["optimizer.learning_rate"], workload
        assert optimizer.norm_learning_rate is None
    assert (COMMITTED / "README.md").read_text() == page(records), "make search"
