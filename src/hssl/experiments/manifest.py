"""Every cell of the paper's tables and figures as a run that this package can make. Imports no torch.

A cell is one number of the paper, or one point of a figure: which table or figure it stands in, the recipe and the
fields that make it, and what the paper reports there. Two cells may be the same run (|g0| = 1 in figure 2 is table
1's); it is made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from hssl.config import Config, Mode, Transformation, override
from hssl.errors import ConfigurationError, nearest
from hssl.experiments import paper
from hssl.experiments.recipes import MODES, STEMS, Stem, recipe, recipe_name

Artefact = Literal["table1", "table2", "figure2-base-space", "figure2-distance", "beyond"]
ARTEFACTS: tuple[Artefact, ...] = get_args(Artefact)
OF_THE_PAPER: tuple[Artefact, ...] = ("table1", "table2", "figure2-base-space", "figure2-distance")
"""What 'all' stands for."""
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


@dataclass(frozen=True)
class Cell:
    """One number of the paper or point of its figures.

    Attributes:
        artefact: the table or figure.
        stem: the row's recipe without its mode.
        mode: the column.
        value: where a figure's point stands on its axis: extents of g0, or the largest distance (None for any).
        changes: fields by dotted name, over the recipe's.
        expected: the paper's number; None for points of figures, whose numbers the paper does not print.
        study: beyond the paper, the question that the cell belongs to ('loss', 'streams'); None elsewhere.
        variant: beyond the paper, the answer that it tries ('nt_xent', 'all').
    """

    artefact: Artefact
    stem: Stem
    mode: Mode
    value: float | None = None
    changes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    expected: paper.PaperNumber | None = None
    study: str | None = None
    variant: str | None = None

    @property
    def dataset(self) -> paper.Dataset:
        assert self.stem.row is not None
        return self.stem.row[0]

    @property
    def transformation(self) -> Transformation:
        assert self.stem.row is not None
        return self.stem.row[1]

    @property
    def run(self) -> str:
        """The name of the run, the same for cells that share one: 'cifar10-scale-hssl', 'cifar10-scale-hssl-base-3'."""
        name = recipe_name(self.stem.name, self.mode)
        if not self.changes:
            return name
        word = "base" if self.artefact == "figure2-base-space" else "distance"
        return f"{name}-{word}-{self.value:g}"

    def configuration(self, budget: str, seed: int, changes: Mapping[str, Any]) -> Config:
        """The run's configuration: the recipe's, then the cell's fields, then those asked for.

        Raises:
            ConfigurationError: no such budget, or fields that do not hold.
        """
        name = recipe_name(self.stem.name, self.mode)
        return override(recipe(name, budget), {**self.changes, **changes, "seed": seed})


def cells(
    artefacts: Iterable[str] = OF_THE_PAPER,
    datasets: Sequence[str] | None = None,
    transformations: Sequence[str] | None = None,
) -> tuple[Cell, ...]:
    """The cells that were asked for, in the order of the paper.

    Args:
        artefacts: names out of `ARTEFACTS`; 'all' is every one of the paper.
        datasets: of the tables' rows; None for all, and for CIFAR-10 in figure 2, as in the paper.
        transformations: None for all.

    Raises:
        ConfigurationError: a name that there is not (the nearest is named), or a choice that leaves no cell.
    """
    asked = list(dict.fromkeys(name for word in artefacts for name in (OF_THE_PAPER if word == "all" else (word,))))
    _known(asked, (*ARTEFACTS, "all"), "table or figure")
    _known(datasets or (), tuple(paper.EPOCHS), "data set")
    _known(transformations or (), tuple(get_args(Transformation)), "transformation")
    rows = [
        stem
        for stem in STEMS.values()
        if stem.row is not None
        and (datasets is None or stem.row[0] in datasets)
        and (transformations is None or stem.row[1] in transformations)
    ]
    found = tuple(cell for name in asked for stem in rows for cell in _cells_of(cast(Artefact, name), stem, datasets))
    if not found:
        raise ConfigurationError(
            "the paper has no cell there",
            arrived=f"{', '.join(asked)} of {', '.join(datasets or ('all data',))}, "
            f"{', '.join(transformations or ('all transformations',))}",
            remedy="leave --datasets or --transformations out to see what there is",
        )
    return found


def _cells_of(artefact: Artefact, stem: Stem, datasets: Sequence[str] | None) -> Iterable[Cell]:
    assert stem.row is not None
    dataset, transformation, kind = stem.row
    if artefact in ("table1", "table2"):
        for mode in MODES.values():
            number = paper.NUMBERS[(*stem.row, mode)]
            if artefact == f"table{number.table}":
                yield Cell(artefact, stem, mode, expected=number)
        return
    structured = kind in ("Rot-Eq.", "CNN", "SESN")
    if artefact == "beyond" or not structured or (datasets is None and dataset != FIGURE_DATASET):
        return
    if artefact == "figure2-distance":
        for distance in _DISTANCES[transformation]:
            changes = {} if distance is None else {"views.max_distance": distance}
            yield Cell(artefact, stem, "h-ssl", distance, MappingProxyType(changes))
        return
    extents = _PATCHES[dataset] if transformation == "translation" else _BASE_SIZES[transformation]
    for extent in extents:
        size: Any = (extent, extent) if transformation == "translation" else extent
        # A recipe's own g0 is a single element.
        yield Cell(artefact, stem, "h-ssl", extent, MappingProxyType({} if extent == 1 else {"views.base_size": size}))


def _known(names: Iterable[str], known: Sequence[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"there is no {kind} '{name}'", accepted=", ".join(known), remedy=nearest(name, known)
            )
