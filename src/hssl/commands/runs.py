"""`hssl train`, `evaluate` and `equivariance`: one run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hssl.commands.terminal import paragraph, progress, table
from hssl.errors import ConfigurationError, RunFolderError
from hssl.evaluation.strength import STRENGTH, changes_nothing
from hssl.places import from_environment
from hssl.training.notices import without_notices

if TYPE_CHECKING:
    from hssl.config import Config


def train(name: str, budget: str | None, overrides: Mapping[str, str], out: Path, measure: bool = True) -> int:
    """Train a recipe or a file's configuration into `out`, and tell what that gained over random weights."""
    config = _configuration(name, budget, overrides, "paper")
    if "data.root" not in overrides:
        config = from_environment(config)
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", hint="name a new folder with --out")
    with without_notices():
        from hssl.training.engine import train as train_run
        from hssl.training.environment import is_first_process

        result = train_run(config, out)
        if not is_first_process():
            return 0
    for note in result.get("notes", ()):
        print(note)
    # Of several processes the others are gone by now, or wait for the first one to end.
    if measure and config.trainer.devices * config.trainer.nodes == 1:
        evaluation = _evaluation(out, config.data.root)
        print()
        _print_measures(evaluation)
        print()
        _print_gain(evaluation)
    print(f"\nrun folder: {out}\nall measures: hssl evaluate {shlex.quote(str(out))}")
    return 0


def _evaluation(run: Path, data_root: str | None) -> Mapping[str, Any]:
    """The evaluation of a finished run: the one that is there, if it is of this run and its last epoch."""
    from hssl.training.run_folder import RunFolder

    folder = RunFolder(run)
    if (there := folder.evaluation()) is not None:
        return there
    with without_notices(), progress("loading") as told:
        from hssl.training.evaluate import evaluate_run

        return evaluate_run(run, data_root, told)


def evaluate(run: Path, data_root: str | None) -> int:
    """Measure a run and print each measure under its own name."""
    _check_run(run)
    if not os.access(run, os.W_OK):
        raise RunFolderError(
            f"{run} cannot be written, and its evaluation.json is to hold the measures",
            hint="measure a copy of it elsewhere; 'hssl equivariance' reads alone",
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
                got=f"--{given[0]}",
                expected="--data.root PATH, where the run's data lies now",
                hint="leave it out, or name a recipe instead",
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
    from hssl.paper.recipes import recipe, recipe_names

    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if budget is not None:
            raise ConfigurationError(
                "a budget scales a recipe, and a file is already scaled",
                got=f"--budget {budget} with {name}",
                hint="leave --budget out, and change fields by name",
            )
        return override(load(path), overrides)
    if path.is_dir() and name not in recipe_names():
        raise ConfigurationError(f"{name} is a folder", expected="a recipe, or a file", hint=f"{path / 'config.yaml'}")
    try:
        config = recipe(name, budget or default_budget)
    except ConfigurationError as error:
        if runs_too and os.sep in name:
            raise RunFolderError(f"there is no folder {name}", expected="a run's folder, or a recipe") from error
        raise
    return override(config, overrides)


def _check_run(run: Path) -> None:
    if not run.is_dir():
        raise RunFolderError(f"there is no folder {run}", expected="a folder that 'hssl train' has made")
    if not (run / "config.yaml").is_file():
        inside = sorted(path.name for path in run.iterdir())
        shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
        raise RunFolderError(
            f"{run} is not a run's folder: it has no config.yaml",
            got=f"a folder with {shown}" if inside else "an empty folder",
            expected="a folder that 'hssl train' has made",
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
    _print_measures(result)
    print()
    _print_gain(result)
    print()
    if result["equivariance"]:
        _print_equivariance(result["equivariance"])
    else:
        print("equivariance: not measured")


_ACCURACIES = {
    "readout": "readout",
    "linear_probe": "linear probe",
    "knn": "kNN",
    "few_labels": "few labels",
    "knn_raw": "kNN, raw",
}
_LABEL_FREE = {
    "neighbour_agreement": ("neighbours kept", "share of nearest neighbours that a transformed copy keeps", 100, " %"),
    "effective_rank": ("effective rank", "directions that the features use", 1, ""),
    "alignment": ("alignment", "squared distance to a transformed copy on the sphere; 0 is invariant", 1, ""),
    "uniformity": ("uniformity", "0 is one point, lower is spread over the sphere", 1, ""),
}


def _print_measures(result: Mapping[str, Any]) -> None:
    """Each measure under its own name, of the trained network and of the same network before training."""
    before = result.get("untrained") or {}
    unlabelled = result.get("labels") is False
    absent = "not measured: the images have no labels" if unlabelled else "not measured"
    rows: list[tuple[str, ...]] = []
    for key, words in _ACCURACIES.items():
        entry, start = result.get(key), before.get(key)
        rows.append(
            (
                words,
                f"{entry['accuracy']:.2f} %" if entry else "-",
                f"{start['accuracy']:.2f} %" if start else "-",
                f"{entry['accuracy'] - start['accuracy']:+.1f}" if entry and start else "-",
                str(entry["protocol"]) if entry else absent,
            )
        )
    free, free_before = (tree.get("label_free") or {} for tree in (result, before))
    for key, (words, meaning, factor, unit) in _LABEL_FREE.items():
        if key in free:
            shown = [f"{factor * tree[key]:.2f}{unit}" if key in tree else "-" for tree in (free, free_before)]
            change = f"{factor * (free[key] - free_before[key]):+.1f}" if key in free_before else "-"
            rows.append((words, *shown, change, meaning))
    table(("measure", "test images", "untrained", "gained", "what it is"), rows)


def _print_gain(result: Mapping[str, Any]) -> None:
    """One sentence: what training added, and where it added nothing what to try."""
    gain = result.get("gain")
    if gain is None:
        return
    points = {_ACCURACIES[name]: value for name, value in gain["points"].items()}
    if not points:
        paragraph("gained: without labels no accuracy tells; compare the measures above with the untrained ones")
        return
    better, worse = (
        ", ".join(f"{_ACCURACIES[name]} {gain['points'][name]:+.1f}" for name in gain[side])
        for side in ("better", "worse")
    )
    if better:
        paragraph(f"better than random weights, in points: {better}" + (f"; worse: {worse}" if worse else ""))
    else:
        paragraph(
            "nothing gained over random weights: "
            + (f"worse, in points: {worse}" if worse else "no measure differs by more than its test images can tell")
        )
        paragraph(
            "to try: more epochs or images (--budget long), another --optimizer.learning_rate (is train/loss in "
            "metrics.jsonl still falling?), or near pairs for translations (--views.max_distance 2)"
        )


_LAW = "relative error of f(T_g x) = Γ_g f(x), over the spread of the features: 0 is the law, 1 is far from it"
_STRENGTH = (
    f"{STRENGTH}: |f(T_g x) - f(x)| in the same units. It tells a network that follows the transformation from one "
    "that does not see it and so obeys any law"
)
_IDLE = (
    "the features do not change with the transformation: they are invariant or collapsed, and such features obey any "
    "law. That an error is small is no evidence here"
)
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
    context: Mapping[str, float | None] = entry.get("context", {})
    idle = changes_nothing(context)
    held = {True: "held", False: "NOT HELD", None: "no bound to hold"}[entry.get("held")]
    if idle:
        held += "; the features do not change"
    bound = "none" if entry.get("bound") is None else f"{entry['bound']:g}"
    print(f"equivariance: {entry['group']}; class: {entry['class']}; bound: {bound}; {held}")
    # 'element: figure' belongs to an element: a row a figure, a column an element.
    figures = tuple(dict.fromkeys(name.split(": ", 1)[1] for name in context if name.split(": ", 1)[0] in errors))
    if errors:
        # What every class has stands in a column: the names of shifts are long, and four of them are a line too wide.
        strong = STRENGTH in figures
        rows = [
            (element, _shown(error), *((_shown(context.get(f"{element}: {STRENGTH}")),) if strong else ()))
            for element, error in errors.items()
        ]
        table(("element", "relative error", *((STRENGTH,) if strong else ())), rows)
    further = [figure for figure in figures if figure != STRENGTH]
    if further:
        beside = [(figure, *(_shown(context.get(f"{element}: {figure}")) for element in errors)) for figure in further]
        table(("beside it", *errors), beside)
    others = [(what, _shown(error)) for what, error in context.items() if what.split(": ", 1)[0] not in errors]
    if others:
        table(("beside it", "relative error"), others)
    print()
    paragraph(_LAW)
    if STRENGTH in figures:
        paragraph(_STRENGTH)
    if idle:
        paragraph(_IDLE)
    if entry.get("held") is False:
        paragraph(_NOT_HELD)
    if "wrong stream" in figures:
        paragraph(_OF_SCALES)


def _shown(error: float | None) -> str:
    return "nothing to compare" if error is None else f"{error:.2e}"
