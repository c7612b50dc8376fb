"""The manifest holds the paper's cells: each once, with its number, and each a configuration that trains."""

from typing import cast, get_args

import pytest

from hssl.config import BudgetName
from hssl.errors import ConfigurationError
from hssl.groups import BaseSpace, Product
from hssl.paper import numbers as paper
from hssl.paper.grid import ANY_PAIRS, FIGURE_DATASET, OF_THE_PAPER, SHARED_TRUNK, cells
from hssl.paper.recipes import MODES
from hssl.training.build import build_backbone
from hssl.training.engine import check


def test_every_number_of_the_tables_is_there_once() -> None:
    found = [cell for cell in cells(["table1", "table2"]) if cell.variant is None]
    assert len(found) == len(paper.NUMBERS) == 44
    keys = {(*cell.stem.row, cell.mode): cell.expected for cell in found if cell.stem.row is not None}
    assert keys == dict(paper.NUMBERS)
    assert {cell.artefact: sum(other.artefact == cell.artefact for other in found) for cell in found} == {
        "table1": 32,
        "table2": 12,
    }
    assert len({cell.run for cell in found}) == 44


def test_short_budgets_have_the_papers_pairs_and_the_other_reading_beside() -> None:
    for budget in get_args(BudgetName):
        beside = [cell for cell in cells(["table1", "table2"], ["mnist"], budget=budget) if cell.variant is not None]
        named = {(cell.stem.name, cell.mode, cell.variant) for cell in beside}
        trunks = {("mnist-scale-cnn", mode, SHARED_TRUNK) for mode in MODES.values()}
        pairs = {("mnist-translation", "h-ssl", ANY_PAIRS)}
        assert named == (trunks if budget == "paper" else trunks | pairs)
        assert all(cell.expected == paper.NUMBERS[(*cell.stem.row, cell.mode)] for cell in beside if cell.stem.row)
        for cell in beside:
            config = cell.configuration(budget, 0, {})
            if cell.variant == SHARED_TRUNK:
                assert config.backbone.reading == "shared-trunk"
            else:
                assert config.views.max_distance is None


def test_figures_are_drawn_on_the_papers_data_unless_asked_otherwise() -> None:
    for name in ("figure2-base-space", "figure2-distance"):
        found = cells([name])
        assert {cell.dataset for cell in found} == {FIGURE_DATASET}
        assert {cell.transformation for cell in found} == {"rotation", "translation", "scale"}
        assert {cell.mode for cell in found} == {"h-ssl"}
        assert {cell.dataset for cell in cells([name], ["mnist"])} == {"mnist"}


def test_a_point_of_a_figure_that_changes_nothing_is_the_tables_run() -> None:
    tables = {cell.run for cell in cells(["table1"])}
    left, right = (cells([name], budget="paper") for name in ("figure2-base-space", "figure2-distance"))
    assert {cell.run for cell in left if cell.value == 1} <= tables
    assert {cell.run for cell in right if cell.value is None} <= tables
    assert not {cell.run for cell in left if cell.value != 1} & tables
    assert not {cell.run for cell in right if cell.value is not None} & tables


@pytest.mark.parametrize("artefact", OF_THE_PAPER)
@pytest.mark.parametrize("budget", ["smoke", "quick", "paper"])
def test_every_cell_can_train(artefact: str, budget: str) -> None:
    for dataset in ("mnist", "cifar10"):
        for cell in cells([artefact], [dataset], budget=cast(BudgetName, budget)):
            config = cell.configuration(budget, 3, {"trainer.epochs": "20"})
            check(config)
            assert (config.seed, config.trainer.epochs, config.mode) == (3, 20, cell.mode)
            assert (config.data.name, config.transformation) == (cell.dataset, cell.transformation)
            if cell.artefact == "figure2-distance":
                assert config.views.max_distance == cell.value
            if cell.artefact == "figure2-base-space":
                size = config.views.base_size
                assert size in (cell.value, (cell.value, cell.value))
            if cell.artefact.startswith("figure2"):
                assert config.views.streams == "all"


def test_each_distance_allows_more_pairs_than_the_one_before() -> None:
    """A distance that changes nothing would be a point of the figure that cannot differ."""
    for transformation in ("rotation", "translation", "scale"):
        counts = []
        for cell in cells(["figure2-distance"], [FIGURE_DATASET], [transformation], "smoke"):
            config = cell.configuration("smoke", 0, {})
            group = build_backbone(config, 3).feature_group
            # Networks of rotations and scales are pooled over positions.
            along = group.first if isinstance(group, Product) else group
            base = BaseSpace(along, config.views.base_size)
            distance = float("inf") if cell.value is None else cell.value
            counts.append(len(base.pairs_within(distance, "euclidean")))
        assert counts == sorted(set(counts)), transformation


def test_a_figure_can_be_asked_for_with_fewer_places_and_keeps_its_ends() -> None:
    asked = ["figure2-base-space", "figure2-distance", "table1"]
    every, fewer = (cells(asked, ["mnist"], points=points) for points in (None, 3))
    for transformation in ("rotation", "scale", "translation"):
        for name in asked[:2]:
            all_places, places = (
                [cell.value for cell in found if (cell.artefact, cell.transformation) == (name, transformation)]
                for found in (every, fewer)
            )
            assert len(places) == 3
            assert (places[0], places[-1]) == (all_places[0], all_places[-1])
            assert set(places) <= set(all_places)
    assert [cell for cell in every if cell.artefact == "table1"] == [
        cell for cell in fewer if cell.artefact == "table1"
    ]


def test_all_is_everything_and_choices_narrow_it() -> None:
    everything = cells(["all"])
    assert everything == cells()
    assert {cell.artefact for cell in everything} == set(OF_THE_PAPER)
    assert {cell.study for cell in everything} == {None}
    narrow = cells(["all"], ["mnist"], ["scale"])
    assert {(cell.dataset, cell.transformation) for cell in narrow} == {("mnist", "scale")}


@pytest.mark.parametrize(
    ("artefacts", "datasets", "transformations", "message"),
    [
        (["table3"], None, None, "no table, figure or study 'table3'"),
        (["table1"], ["minst"], None, "did you mean 'mnist'"),
        (["table1"], None, ["rotate"], "did you mean 'rotation'"),
        (["table2"], ["tiny-imagenet"], None, "there is no cell there"),
    ],
)
def test_what_there_is_not_is_said(
    artefacts: list[str], datasets: list[str] | None, transformations: list[str] | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cells(artefacts, datasets, transformations)
