"""The search looks at held-out images alone, chooses by accuracy, and is what short budgets train with."""

from pathlib import Path

import pytest

from experiments.fake_records import write_run
from hssl.experiments.budgets import SHORT_OPTIMIZER
from hssl.experiments.record import RunRecord, collect
from hssl.experiments.search import CANDIDATES, HELD_OUT_IMAGES, chosen, page, records_of, scores, tasks

COMMITTED = Path(__file__).parents[2] / "results" / "search"


LEVELS = {"lars": 95.0, "1e-3": 90.0, "": 85.0}


@pytest.fixture
def records(tmp_path: Path) -> dict[str, RunRecord]:
    """Of every run; LARS is the best by far, and of the candidates the lowest rate."""
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


def test_every_candidate_is_tried_in_the_same_places_and_never_on_test_images() -> None:
    work = tasks("/data")
    assert len({task.name for task in work}) == len({task.config.identity() for task in work}) == len(work)
    assert {task.config.data.validation_images for task in work} == {HELD_OUT_IMAGES}
    assert {task.config.seed for task in work} == {1000}
    places: dict[tuple[object, ...], set[tuple[str, str]]] = {}
    for task in work:
        optimizer = task.config.optimizer
        key = (optimizer.name, optimizer.learning_rate, optimizer.norm_learning_rate)
        places.setdefault(key, set()).add((task.config.transformation, task.config.mode))
    assert len(places) == len(CANDIDATES)
    assert all(found == next(iter(places.values())) for found in places.values())
    assert len(next(iter(places.values()))) == 6


def test_the_most_accurate_is_chosen_whatever_random_weights_reach(records: dict[str, RunRecord]) -> None:
    found = scores(records)
    assert set(found) == set(CANDIDATES)
    assert chosen(found) == "adamw, 1e-3"
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
    first = next(name for name in records if "1e-3" in name)
    rest = {name: record for name, record in records.items() if name != first}
    assert "adamw, 1e-3" not in scores(rest)
    assert chosen(scores(rest)) != "adamw, 1e-3"


def test_short_budgets_train_with_what_the_committed_search_chose() -> None:
    records = records_of(COMMITTED)
    settings = CANDIDATES[chosen(scores(records))]
    assert SHORT_OPTIMIZER.name == settings["optimizer.name"]
    assert SHORT_OPTIMIZER.learning_rate == settings["optimizer.learning_rate"]
    assert SHORT_OPTIMIZER.norm_learning_rate == settings.get("optimizer.norm_learning_rate")
    assert (COMMITTED / "README.md").read_text() == page(records), "make search"
