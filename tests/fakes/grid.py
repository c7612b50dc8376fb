"""Records of a small grid whose runs never took place, for tests of the report of a reproduction."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fakes.records import write_run
from hssl.paper.grid import cells
from hssl.runs.grid import tasks
from hssl.runs.record import RunRecord, collect

SEEDS = {"mnist-scale-assl": [98.0, 98.4, 98.2], "mnist-scale-hssl": [98.1, 98.3, 98.0],
         "mnist-scale-cnn-assl": [95.1, 95.3, 95.2], "mnist-scale-cnn-hssl": [87.0, 86.0, 88.5]}  # fmt: skip


def grid(
    folder: Path,
    accuracies: Mapping[str, Sequence[float]],
    seeds: int = 3,
    study: str | None = None,
    of: tuple[Sequence[str], Sequence[str], Sequence[str]] = (("all",), ("mnist",), ("scale",)),
) -> dict[str, RunRecord]:
    """Records of MNIST's scale rows of both tables and its figures, with accuracies by run's name where they matter.

    Args:
        folder: where the runs' folders are made.
        accuracies: by run and seed.
        seeds: how many runs a cell has.
        study: of the studies beyond the paper, one to add.
        of: tables and figures, data and transformations, where they are others.
    """
    artefacts, datasets, transformations = of
    chosen = cells([*artefacts, *([study] if study else [])], datasets, transformations)
    found = {}
    for task in tasks(chosen, range(seeds), "quick", {}):
        run, seed = task.name.removesuffix(f"-quick-seed{task.config.seed}"), task.config.seed
        accuracy = accuracies[run][seed] if run in accuracies else None
        found[task.name] = collect(write_run(folder / task.name, task.config, accuracy=accuracy))
    return found
