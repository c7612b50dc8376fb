"""What fibers tell of each other, by their distance, in the networks of a grid: measured, told and drawn.

    python -m tools.information GRID results/quick/information.json

GRID is a folder of `hssl reproduce` that still holds its runs. Trained and untrained networks of each seed get critics
of their own; nothing is tuned, and the bound is of test images. What is measured already is not measured again.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hssl.analysis.differences import Trend, trend
from hssl.analysis.summaries import Summary, summarise
from hssl.errors import HsslError, RunFolderError
from hssl.files import write_atomically
from hssl.report.colours import LIGHT
from hssl.report.plots import MARKERS
from tools.results_picture import STYLE

ROWS = {"mnist-translation-hssl": "Translation", "mnist-rotation-hssl": "Rotation", "mnist-scale-hssl": "Scale"}
# Squared distances on MNIST's 8 x 8 map of positions; other groups have few, and all of them are measured.
_POSITIONS = (1.0, 2.0, 4.0, 8.0, 18.0, 32.0, 50.0, 98.0)
_IMAGES = 5000
_NAMES = {"trained": "after H-SSL", "untrained": "random weights"}


def measure(run: Path, images_at_once: int = 512) -> dict[str, Any]:
    """The bound at each distance, of a run's network and of the same network before training, as plain data.

    Raises:
        HsslError: no finished run, or data that is not there.
    """
    import torch

    from hssl.evaluation.embeddings import embed
    from hssl.evaluation.feature_store import FeatureStore
    from hssl.evaluation.fiber_information import fiber_information
    from hssl.groups import Product, Translations
    from hssl.training.environment import describe_environment
    from hssl.training.evaluate import restored, untrained_module
    from hssl.training.run_folder import RunFolder

    folder = RunFolder(run)
    config = folder.config()
    module, data, _ = restored(folder, config)
    found: dict[str, Any] = {"recipe": config.recipe, "seed": config.seed, "identity": config.identity()}
    for name, network in (("trained", module), ("untrained", untrained_module(config, data, data.train))):
        network.eval()
        group = network.backbone.feature_group
        pooled = isinstance(group, Product)
        fibers = group.first if isinstance(group, Product) else group

        def flat(images: torch.Tensor, network: Any = network, pooled: bool = pooled) -> torch.Tensor:
            features = network.backbone(images)
            return (features.pool_space() if pooled else features).values.flatten(1)  # type: ignore[no-any-return]

        values = []
        for store in (data.train, data.test):
            chosen = torch.arange(min(_IMAGES, len(store))) * len(store) // min(_IMAGES, len(store))
            rows = embed(lambda features: features, FeatureStore(flat, store, chosen))
            values.append(rows.reshape(len(rows), network.backbone.channels, fibers.order))
        distances = _POSITIONS if isinstance(fibers, Translations) else None
        points = fiber_information(
            values[0], values[1], fibers, distances=distances, seed=config.seed, images_at_once=images_at_once
        )
        found[name] = [vars(point) for point in points]
    return found | {"environment": describe_environment(torch.device("cpu"))}


def measured(file: Path) -> list[dict[str, Any]]:
    """What a file of this module's says of each run; none where there is no file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def by_place(runs: Sequence[Mapping[str, Any]], recipe: str, which: str, key: str = "nats") -> dict[float, Summary]:
    """Over seeds, the bound at each distance, in the order of distances."""
    values: dict[float, dict[int, float]] = defaultdict(dict)
    for run in runs:
        if run["recipe"] == recipe:
            for point in run[which]:
                values[float(point["distance"])][int(run["seed"])] = float(point[key])
    found = {distance: summarise(values[distance]) for distance in sorted(values)}
    return {distance: summary for distance, summary in found.items() if summary is not None}


def fall(runs: Sequence[Mapping[str, Any]], recipe: str, which: str) -> Trend | None:
    """The trend over distances from nearest to farthest, tested over seeds; None where it cannot be tested."""
    return trend(*by_place(runs, recipe, which).values())


def sentences(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a row: what nearest and farthest fibers share, and whether that falls with distance."""
    lines = []
    for recipe, name in ROWS.items():
        places = list(by_place(runs, recipe, "trained").values())
        if not places:
            continue
        near, far, told = places[0], places[-1], fall(runs, recipe, "trained")
        verdict = "too few seeds or distances for a test"
        if told is not None:
            direction = "falls" if told.mean < 0 else "rises"
            verdict = (
                f"{direction} with distance (p = {told.p:.2g})" if told.p < 0.05 else f"undecided (p = {told.p:.2g})"
            )
        lines.append(f"{name}: {near.mean:.2f} nats at the nearest, {far.mean:.2f} at the farthest distance; {verdict}")
    return lines


def draw(runs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A panel a row: the bound against distance, with 95 % of the mean over seeds, trained and untrained."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.9), dpi=160, layout="constrained", facecolor=LIGHT["page"])
        shown = [recipe for recipe in ROWS if by_place(runs, recipe, "trained")]
        every = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, recipe in zip(every, shown, strict=True):
            for which, color, marker in (
                ("trained", LIGHT["h-ssl"], MARKERS["h-ssl"]),
                ("untrained", LIGHT["frozen"], "D"),
            ):
                places = by_place(runs, recipe, which)
                spans = [_half(summary) for summary in places.values()]
                axes.errorbar(
                    range(len(places)), [s.mean for s in places.values()], yerr=spans, color=color, marker=marker,
                    markersize=5, capsize=2.5, linewidth=1.4, label=_NAMES[which],
                )  # fmt: skip
            shuffled = by_place(runs, recipe, "trained", "shuffled")
            axes.plot(
                range(len(shuffled)), [s.mean for s in shuffled.values()], color=LIGHT["muted"], linestyle=":",
                linewidth=1.2, label="fibers of other images",
            )  # fmt: skip
            axes.set_xticks(range(len(shuffled)), [f"{distance:.3g}" for distance in shuffled])
            axes.set_title(ROWS[recipe], fontsize=11.5)
            axes.set_xlabel("squared distance between the two elements")
            axes.grid(axis="y")
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_facecolor(LIGHT["page"])
        every[0].set_ylabel("InfoNCE bound, nats")
        every[0].legend(frameon=False, fontsize=9.5)
        figure.suptitle("What two fibers of one image tell of each other, by their distance", fontsize=13)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor=LIGHT["page"])


def _half(summary: Summary) -> float:
    """Half of the 95 % interval of a mean; 0 for one run."""
    from scipy import stats

    if summary.std is None:
        return 0.0
    return float(stats.t.ppf(0.975, summary.count - 1) * summary.std / summary.count**0.5)


def main(arguments: Sequence[str]) -> int:
    """GRID JSON; returns the exit code."""
    if len(arguments) != 2:
        print("usage: python -m tools.information GRID JSON", file=sys.stderr)
        return 2
    grid, file = map(Path, arguments)
    runs = measured(file)
    known = {run["identity"] for run in runs}
    try:
        from hssl.training.run_folder import RunFolder

        for recipe in ROWS:
            for folder in sorted((grid / "runs").glob(f"{recipe}-*-seed*")):
                config = RunFolder(folder).config()
                variant = folder.name != f"{recipe}-{config.budget}-seed{config.seed}"
                if variant or config.identity() in known or not (folder / "evaluation.json").exists():
                    continue
                print(folder.name, file=sys.stderr, flush=True)
                runs.append(measure(folder))
                write_atomically(file, json.dumps(runs, indent=1) + "\n")
        if not runs:
            raise RunFolderError(f"there is no finished run of {', '.join(ROWS)} in {grid / 'runs'}")
    except HsslError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(sentences(runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
