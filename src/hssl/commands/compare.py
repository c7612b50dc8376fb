"""Run a few recipes side by side, and set the table: what is done is not repeated, what was interrupted goes on."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hssl.analysis.limits import budget_statement
from hssl.analysis.summaries import comparison_table, to_rich
from hssl.config import CUSTOM, Config, Mode, fields_of, override, override_where
from hssl.errors import ConfigurationError, HsslError
from hssl.paper.recipes import MODES, recipe, recipe_name, recipe_names
from hssl.parts import KINDS
from hssl.places import from_environment
from hssl.report.comparison import write_report
from hssl.report.sections.gains import gains_sentence, trained
from hssl.runs.record import RunRecord, collect, read, write


def configurations(
    stems: Sequence[str],
    modes: Sequence[Mode] | None,
    seeds: Sequence[int],
    budget: str,
    vary: Mapping[str, Sequence[str]],
    overrides: Mapping[str, Any],
) -> dict[str, Config]:
    """The runs of a comparison by name, seeds outermost: after one round every line of its table has a number.

    Args:
        stems: recipes without their mode, e.g. `digits-translation`; whole recipes or `custom` where fields vary.
        modes: what to run each stem in; None for all, and for whole recipes.
        seeds: one run for each.
        budget: smoke, quick, long or paper.
        vary: values by field; every combination is run.
        overrides: fields by dotted name. One that only some of the parts have is set where it is.

    Raises:
        ConfigurationError: fields that do not hold, or that none of the runs has.
    """
    whole = [stem for stem in stems if stem == CUSTOM or stem in recipe_names()]
    if whole and modes is not None:
        raise ConfigurationError(
            "a whole recipe has its mode", got=f"{whole[0]} with --modes", hint="leave --modes out, or the mode"
        )
    every = tuple(MODES.values()) if modes is None else modes
    names = [
        name for stem in stems for name in ([stem] if stem in whole else [recipe_name(stem, mode) for mode in every])
    ]
    changes = [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]
    chosen: dict[str, tuple[Config, dict[str, Any]]] = {}
    for seed in seeds:
        for name in names:
            for varied in changes:
                slug = "".join(f"-{field.rpartition('.')[2]}-{_slug(value)}" for field, value in varied.items())
                parts = {field: value for field, value in varied.items() if _names_a_part(field)}
                base = override(recipe(name, budget), parts)
                chosen[f"{name}{slug}-{budget}-seed{seed}"] = (base, {**varied, "seed": seed})
    every_part = [config for config, _ in chosen.values()]
    made = {
        cell: override(override_where(config, overrides, every_part), varied)
        for cell, (config, varied) in chosen.items()
    }
    for field, value in overrides.items():
        if not _names_a_part(field) and not any(field in fields_of(config) for config in made.values()):
            override(next(iter(made.values())), {field: value})
    return made if "data.root" in overrides else {cell: from_environment(config) for cell, config in made.items()}


def _names_a_part(field: str) -> bool:
    return field in KINDS or field.removesuffix(".name") in KINDS


def _slug(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", value).strip("-")


def compare(configurations: Mapping[str, Config], out: Path) -> int:
    """Train and evaluate runs one after the other; print the table and write `out/report.html`.

    A run lies in `out/runs/NAME`, its record in `out/records/NAME.json`. A run that fails is shown with its error and
    leaves the others alone.

    Args:
        configurations: the runs by name (`configurations`).
        out: the folder for everything.

    Returns:
        0; 2 when runs failed for reasons that the user can mend, 1 when one failed for another.

    Raises:
        HsslError: a configuration that cannot train; no run has been started then.
    """
    from hssl.training.engine import check

    console = Console(stderr=True)
    records: list[RunRecord] = []
    failures: dict[str, str] = {}
    code = 0
    for cell, config in configurations.items():
        try:
            check(config)
        except HsslError:
            console.print(f"{cell} cannot train; no run was started", highlight=False)
            raise
    for index, (cell, config) in enumerate(configurations.items(), start=1):
        console.print(f"[bold]run {index} of {len(configurations)}:[/bold] {cell}", highlight=False)
        try:
            record = _run(config, out / "runs" / cell, out / "records" / f"{cell}.json")
            if record is not None:
                records.append(record)
        except HsslError as error:
            failures[cell] = str(error)
            code = code or 2
            console.print(f"[red]{cell} failed[/red]: {error}", highlight=False, markup=True)
        except Exception as error:  # one broken cell must not take the others with it
            logging.getLogger(__name__).exception("%s failed", cell)
            failures[cell] = f"{type(error).__name__}: {error}"
            code = 1
    if records:
        page = write_report(records, out)
        show(records)
        Console().print(f"\nreport: {page}", highlight=False, soft_wrap=True)
    for cell, message in failures.items():
        console.print(f"failed: {cell}: {message}", highlight=False, markup=False)
    return code


def show(records: Sequence[RunRecord]) -> None:
    """Print the table, what was gained over random weights, and the plain statement of what the budget shows."""
    console = Console()
    rows = comparison_table(records)
    console.print(to_rich(rows))
    if gained := gains_sentence(trained(rows)):
        console.print(gained, style="bold", highlight=False)
    for statement in budget_statement(records):
        console.print(statement, highlight=False)


def _run(config: Config, folder: Path, file: Path) -> RunRecord | None:
    from hssl.training.engine import train
    from hssl.training.environment import is_first_process
    from hssl.training.evaluate import evaluate_run

    # A record speaks of this very run where the run was measured before; what is trained anew is measured anew.
    measured = (folder / "evaluation.json").exists()
    # Of a finished run no more than whether it is this one and its data the same.
    train(config, folder)
    if not is_first_process():
        return None
    if measured and file.exists() and (there := read(file)).identity == config.identity():
        return there
    evaluate_run(folder)
    record = collect(folder)
    write(record, file)
    return record
