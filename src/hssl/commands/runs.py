"""`hssl train`, `evaluate` and `equivariance`: one run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hssl.commands.terminal import paragraph, progress, table
from hssl.errors import ConfigurationError, RunFolderError
from hssl.places import from_environment
from hssl.training.notices import without_notices

if TYPE_CHECKING:
    from hssl.config import Config


def train(name: str, budget: str | None, overrides: Mapping[str, str], out: Path) -> int:
    """Train a recipe or a file's configuration into `out`."""
    config = _configuration(name, budget, overrides, "paper")
    if "data.root" not in overrides:
        config = from_environment(config)
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", remedy="name a new folder with --out")
    with without_notices():
        from hssl.training.engine import train as train_run
        from hssl.training.environment import is_first_process

        result = train_run(config, out)
        if not is_first_process():
            return 0
    for note in result.get("notes", ()):
        print(note)
    print(f"\nrun folder: {out}\nmeasure it: hssl evaluate {shlex.quote(str(out))}")
    return 0


def evaluate(run: Path, data_root: str | None) -> int:
    """Measure a run and print each measure under its own name."""
    _check_run(run)
    if not os.access(run, os.W_OK):
        raise RunFolderError(
            f"{run} cannot be written, and its evaluation.json is to hold the measures",
            remedy="measure a copy of it elsewhere; 'hssl equivariance' reads alone",
        )
    with without_notices(), progress("loading") as told:
        from hssl.training.evaluate import evaluate_run

        result = evaluate_run(run, data_root or _moved_to(run), told)
    _print_evaluation(result)
    return 0


def equivariance(subject: str, budget: str | None, overrides: Mapping[str, str]) -> int:
    """Measure the equivariance error of a run, or of a recipe with random weights."""
    run: Path | None = None
    config: Config | None = None
    if Path(subject).is_dir():
        run = Path(subject)
        _check_run(run)
        given = [*(name for name in overrides if name != "data.root"), *(["budget"] if budget else [])]
        if given:
            raise ConfigurationError(
                "a trained run is measured as it is",
                arrived=f"--{given[0]}",
                accepted="--data.root PATH, where the run's data lies now",
                remedy="leave it out, or name a recipe instead",
            )
    else:
        config = _configuration(subject, budget, overrides, "quick", runs_too=True)
    with without_notices():
        from hssl.training.evaluate import measure_equivariance

        root = overrides.get("data.root") or _moved_to(run) if run else None
        entry = measure_equivariance(config, run, root)
    weights = "trained weights" if run else f"random weights, width {config.backbone.width:g}" if config else ""
    print(f"{subject} ({weights})")
    _print_equivariance(entry)
    return 0


def _configuration(
    name: str, budget: str | None, overrides: Mapping[str, str], default_budget: str, *, runs_too: bool = False
) -> Config:
    from hssl.config import load, override
    from hssl.experiments.recipes import recipe, recipe_names

    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if budget is not None:
            raise ConfigurationError(
                "a budget scales a recipe, and a file is already scaled",
                arrived=f"--budget {budget} with {name}",
                remedy="leave --budget out, and change fields by name",
            )
        return override(load(path), overrides)
    if path.is_dir() and name not in recipe_names():
        raise ConfigurationError(
            f"{name} is a folder", accepted="a recipe, or a file", remedy=f"{path / 'config.yaml'}"
        )
    try:
        config = recipe(name, budget or default_budget)
    except ConfigurationError as error:
        if runs_too and os.sep in name:
            raise RunFolderError(f"there is no folder {name}", accepted="a run's folder, or a recipe") from error
        raise
    return override(config, overrides)


def _check_run(run: Path) -> None:
    if not run.is_dir():
        raise RunFolderError(f"there is no folder {run}", accepted="a folder that 'hssl train' has made")
    if not (run / "config.yaml").is_file():
        inside = sorted(path.name for path in run.iterdir())
        shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
        raise RunFolderError(
            f"{run} is not a run's folder: it has no config.yaml",
            arrived=f"a folder with {shown}" if inside else "an empty folder",
            accepted="a folder that 'hssl train' has made",
        )


def _moved_to(run: Path) -> str | None:
    """Where HSSL_DATA has the data of a run that lies no more where it lay; None for as the run says."""
    from hssl.training.run_folder import RunFolder

    config = RunFolder(run).config().with_absolute_root()
    if config.data.root is not None and Path(config.data.root).exists():
        return None
    nowhere = config.model_copy(update={"data": config.data.model_copy(update={"root": None})})
    return from_environment(nowhere).data.root


def _print_evaluation(result: Mapping[str, Any]) -> None:
    if "equivariance" not in result:
        return
    if result.get("complete") is False:
        print(f"interrupted after epoch {result.get('epoch')}; measured as it stands\n")
    unlabelled = result.get("labels") is False
    absent = "not measured: the images have no labels" if unlabelled else "not measured"
    rows = []
    for key, words in (("readout", "readout"), ("linear_probe", "linear probe"), ("knn", "kNN")):
        entry = result.get(key)
        rows.append(
            (words, f"{entry['accuracy']:.2f} %" if entry else "-", str(entry["protocol"]) if entry else absent)
        )
    table(("measure", "test accuracy", "protocol"), rows)
    print()
    if result["equivariance"]:
        _print_equivariance(result["equivariance"])
    else:
        print("equivariance: not measured")


_LAW = "relative error of f(T_g x) = Γ_g f(x), over the spread of the features: 0 is the law, 1 is far from it"
_NOT_HELD = (
    "not held: an error is above the bound, which allows for float32 rounding. Features whose constant is much larger "
    "than their spread lose digits and can be a little above it; a network that breaks the law is mostly far above"
)
_OF_SCALES = (
    "scales are approximate: read their errors against violations of the law (wrong stream, other image), which a "
    "network that obeys it is below, and against what the pixels alone cost (round trip). The paper's 'sesn' basis is "
    "cut off at whole pixels and not always below the wrong stream; in the three-layer network the untruncated basis is"
)


def _print_equivariance(entry: Mapping[str, Any]) -> None:
    errors: Mapping[str, float | None] = entry["errors"]
    held = {True: "held", False: "NOT HELD", None: "no bound to hold"}[entry.get("held")]
    bound = "none" if entry.get("bound") is None else f"{entry['bound']:g}"
    print(f"equivariance: {entry['group']}; class: {entry['class']}; bound: {bound}; {held}")
    rows = [(element, _shown(error)) for element, error in errors.items()]
    if rows:
        table(("element", "relative error"), rows)
    context: Mapping[str, float | None] = entry.get("context", {})
    # 'element: figure' belongs to an element: a row a figure, a column an element.
    figures = tuple(dict.fromkeys(name.split(": ", 1)[1] for name in context if name.split(": ", 1)[0] in errors))
    if figures:
        beside = [(figure, *(_shown(context.get(f"{element}: {figure}")) for element in errors)) for figure in figures]
        table(("beside it", *errors), beside)
    elif context:
        table(("beside it", "relative error"), [(what, _shown(error)) for what, error in context.items()])
    print()
    paragraph(_LAW)
    if entry.get("held") is False:
        paragraph(_NOT_HELD)
    if figures:
        paragraph(_OF_SCALES)


def _shown(error: float | None) -> str:
    return "nothing to compare" if error is None else f"{error:.2e}"
