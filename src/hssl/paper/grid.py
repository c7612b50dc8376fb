"""Every cell of the paper's tables and figures, and of the studies beyond, as a run to make. Imports no torch.

A cell is one number of the paper, or one point of a figure: which table or figure it stands in, the recipe and the
fields that make it, and what the paper reports there. Two cells may be the same run (|g0| = 1 in figure 2 is table
1's); it is made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from hssl.config import BudgetName, Config, Mode, Transformation, override_where
from hssl.errors import ConfigurationError, nearest
from hssl.paper import numbers as paper
from hssl.paper.recipes import MODES, STEMS, Stem, recipe, recipe_name
from hssl.paper.studies import STUDIES, Study, effective, word

Artefact = Literal["table1", "table2", "figure2-base-space", "figure2-distance", "beyond"]
ARTEFACTS: tuple[Artefact, ...] = get_args(Artefact)
OF_THE_PAPER: tuple[Artefact, ...] = ("table1", "table2", "figure2-base-space", "figure2-distance")
"""What 'all' stands for."""
ANY_PAIRS = "any pairs"
"""In table 1, H-SSL on translations as the paper has it, with g1 and g2 any distance apart; short budgets pair near."""
SHARED_TRUNK = "shared trunk"
"""In table 2, the other reading of 'CNN (6 x CHW)' (docs/decisions.md, row 13)."""
_Row = tuple[paper.Dataset, Transformation, paper.BackboneKind]
# Recipes of studies that no table of the paper has.
_ROWS_BEYOND: dict[str, _Row] = {"tiny-imagenet-translation": ("tiny-imagenet", "translation", "CNN")}
FIGURE_DATASET: paper.Dataset = "cifar10"
"""The data of the paper's figure 2; any other of the tables can be asked for by name."""

# Extents of g0 (figure 2, left: 'patches of sizes from 1 to |G| - 1 with no padding'), by transformation and data set.
# Positions are those of the feature map: 8 x 8 on MNIST, 7 x 7 on CIFAR-10; Tiny ImageNet's 4 x 4 are in no table.
_BASE_SIZES: dict[Transformation, tuple[int, ...]] = {"rotation": (1, 2, 3), "scale": (1, 2, 3, 4, 5)}
_PATCHES: dict[paper.Dataset, tuple[int, ...]] = {"mnist": (1, 2, 3, 5, 7), "cifar10": (1, 2, 3, 4, 6)}
# Largest squared Euclidean distance between g1 and g2 (figure 2, right). Of quarter turns and positions the squares of
# their steps; of scales those of the differences of the paper's six factors; None is any distance.
_DISTANCES: dict[Transformation, tuple[float | None, ...]] = {
    "rotation": (1, 4, None),
    "translation": (1, 2, 4, 8, 18, None),
    "scale": (0.0064, 0.0625, 0.1089, 0.25, 0.4356, None),
}

_VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {ANY_PAIRS: {"views.max_distance": None}, SHARED_TRUNK: {"backbone.reading": "shared-trunk"}}
)
# What is sampled of the streams changes along both axes, and with it what BatchNorm sees.
_EVERY_POINT: Mapping[str, Any] = MappingProxyType({"views.streams": "all"})


@dataclass(frozen=True)
class Cell:
    """One number of the paper, point of its figures, or number beyond it.

    Attributes:
        artefact: the table or figure.
        stem: the row's recipe without its mode.
        mode: the column.
        value: where a figure's point stands on its axis: extents of g0, or the largest distance (None for any).
        changes: fields by dotted name, over the recipe's.
        expected: the paper's number; None for points of figures, whose numbers the paper does not print.
        study: beyond the paper, the question that the cell belongs to (a name out of `beyond.STUDIES`); None elsewhere.
        variant: beyond the paper, the answer that it tries ('nt-xent', 'all'); in a table, what sets the cell apart
            from the row's own (`ANY_PAIRS`, `SHARED_TRUNK`).
        budget: of figures and beyond the paper, the budget that `changes` are over: what its recipes have already is no
            change.
    """

    artefact: Artefact
    stem: Stem
    mode: Mode
    value: float | None = None
    changes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    expected: paper.PaperNumber | None = None
    study: str | None = None
    variant: str | None = None
    budget: str | None = None

    @property
    def dataset(self) -> paper.Dataset:
        return _row(self.stem)[0]

    @property
    def transformation(self) -> Transformation:
        return _row(self.stem)[1]

    @property
    def network(self) -> paper.BackboneKind:
        """As the paper's tables call it."""
        return _row(self.stem)[2]

    @property
    def run(self) -> str:
        """The name of the run, the same for cells that share one: 'cifar10-scale-hssl', 'cifar10-scale-hssl-base-3'.

        It names what is changed over the recipe, so cells share a name exactly where they share a configuration.
        """
        return "-".join([recipe_name(self.stem.name, self.mode), *(word(*change) for change in self.changes.items())])

    def configuration(self, budget: str, seed: int, changes: Mapping[str, Any]) -> Config:
        """The run's configuration: the recipe's, then the cell's fields, then those asked for.

        Raises:
            ConfigurationError: no such budget, or fields that do not hold.
            ValueError: a figure's or study's cell of another budget.
        """
        if self.budget not in (None, budget):
            raise ValueError(f"{self.run} is a cell of the budget {self.budget}, not of {budget}")
        name = recipe_name(self.stem.name, self.mode)
        return override_where(recipe(name, budget), {**self.changes, **changes, "seed": seed})


def cells(
    artefacts: Iterable[str] = OF_THE_PAPER,
    datasets: Sequence[str] | None = None,
    transformations: Sequence[str] | None = None,
    budget: BudgetName = "quick",
    points: int | None = None,
) -> tuple[Cell, ...]:
    """The cells that were asked for, in the order of the paper.

    Args:
        artefacts: names out of `ARTEFACTS` or of studies beyond the paper (`beyond.STUDIES`); 'all' is every one of
            the paper, 'beyond' every study.
        datasets: of the tables' rows; None for all, and for CIFAR-10 in figure 2, as in the paper.
        transformations: None for all.
        budget: of the runs. What a figure or a study asks for and the budget's recipes have already is the recipe's
            run.
        points: places of a figure's axis at most in each row: its ends, and others evenly between them; None for all.

    Raises:
        ConfigurationError: a name that there is not (the nearest is named), or a choice that leaves no cell.
    """
    several = {"all": OF_THE_PAPER, "beyond": tuple(STUDIES)}
    asked = list(dict.fromkeys(name for word in artefacts for name in several.get(word, (word,))))
    _known(asked, (*ARTEFACTS, *STUDIES, "all"), "table, figure or study")
    _known(datasets or (), tuple(paper.EPOCHS), "data set")
    _known(transformations or (), tuple(get_args(Transformation)), "transformation")
    rows = [
        stem
        for stem in STEMS.values()
        if (stem.row is not None or stem.name in _ROWS_BEYOND)
        and (datasets is None or _row(stem)[0] in datasets)
        and (transformations is None or _row(stem)[1] in transformations)
    ]
    found: list[Cell] = []
    for name in asked:
        if name in STUDIES:
            found += [cell for stem in rows for cell in _cells_beyond(STUDIES[name], stem, budget)]
        else:
            of_the_paper = [stem for stem in rows if stem.row is not None]
            for stem in of_the_paper:
                row = list(_cells_of(cast(Artefact, name), stem, datasets, budget))
                found += _thinned(row, points) if name.startswith("figure2") else row
    if not found:
        raise ConfigurationError(
            "there is no cell there",
            got=f"{', '.join(asked)} of {', '.join(datasets or ('all data',))}, "
            f"{', '.join(transformations or ('all transformations',))}",
            hint="leave --datasets or --transformations out to see what there is",
        )
    return tuple(found)


def _thinned(row: Sequence[Cell], points: int | None) -> Sequence[Cell]:
    if points is None or points >= len(row):
        return row
    return [row[round(place * (len(row) - 1) / (points - 1))] for place in range(points)]


def _row(stem: Stem) -> _Row:
    return stem.row or _ROWS_BEYOND[stem.name]


def _cells_beyond(study: Study, stem: Stem, budget: BudgetName) -> Iterable[Cell]:
    if stem.name not in study.stems:
        return
    for variant, changes in study.variants.items():
        for mode in study.modes:
            over = effective(changes, recipe(recipe_name(stem.name, mode), budget))
            yield Cell("beyond", stem, mode, changes=over, study=study.name, variant=variant, budget=budget)


def _cells_of(artefact: Artefact, stem: Stem, datasets: Sequence[str] | None, budget: BudgetName) -> Iterable[Cell]:
    assert stem.row is not None
    dataset, transformation, kind = stem.row
    if artefact in ("table1", "table2"):
        for mode in MODES.values():
            number = paper.NUMBERS[(*stem.row, mode)]
            if artefact != f"table{number.table}":
                continue
            yield Cell(artefact, stem, mode, expected=number)
            for variant, changes in _VARIANTS.items():
                over = effective(changes, recipe(recipe_name(stem.name, mode), budget))
                if over and _applies(variant, stem, mode):
                    yield Cell(artefact, stem, mode, None, over, number, variant=variant, budget=budget)
        return
    structured = kind in ("Rot-Eq.", "CNN", "SESN")
    if not structured or (datasets is None and dataset != FIGURE_DATASET):
        return
    plain = recipe(recipe_name(stem.name, "h-ssl"), budget)
    for value, changes in _points(artefact, transformation, dataset):
        over = effective({**_EVERY_POINT, **changes}, plain)
        yield Cell(artefact, stem, "h-ssl", value, over, budget=budget)


def _applies(variant: str, stem: Stem, mode: Mode) -> bool:
    assert stem.row is not None
    if variant == SHARED_TRUNK:
        return stem.row[2] == "CNN (6 x CHW)"
    return stem.row[1:] == ("translation", "CNN") and mode == "h-ssl"


def _points(
    artefact: Artefact, transformation: Transformation, dataset: paper.Dataset
) -> Iterable[tuple[float | None, Mapping[str, Any]]]:
    if artefact == "figure2-distance":
        for distance in _DISTANCES[transformation]:
            yield distance, {"views.max_distance": distance}
        return
    for extent in _PATCHES[dataset] if transformation == "translation" else _BASE_SIZES[transformation]:
        yield extent, {"views.base_size": (extent, extent) if transformation == "translation" else extent}


def _known(names: Iterable[str], known: Sequence[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"there is no {kind} '{name}'", expected=", ".join(known), hint=nearest(name, known)
            )
