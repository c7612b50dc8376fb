"""`hssl compare`, `reproduce` and `report`: many runs and what they show together."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hssl.commands.terminal import paragraph, table
from hssl.config import CUSTOM
from hssl.errors import ConfigurationError, RunFolderError, nearest
from hssl.training.notices import without_notices

if TYPE_CHECKING:
    from hssl.paper.grid import Cell
    from hssl.runs.grid import Task
    from hssl.runs.run import GridFolder


def compare(arguments: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Rows of the paper's tables in every mode, or fields in every value; one run after the other in this process."""
    from hssl.paper.comparison import configurations
    from hssl.paper.recipes import MODES, find_stem, recipe_names

    whole = (*recipe_names(), CUSTOM)
    stems = tuple(dict.fromkeys(stem if stem in whole else find_stem(stem).name for stem in arguments.stems))
    spelled = dict(MODES) | {str(mode): mode for mode in MODES.values()}
    for word in arguments.modes or ():
        if word not in spelled:
            raise ConfigurationError(
                f"there is no mode '{word}' to compare",
                expected=", ".join(MODES),
                hint=nearest(word, MODES, "") or None,
            )
    modes = None if arguments.modes is None else tuple(dict.fromkeys(spelled[word] for word in arguments.modes))
    if "seed" in overrides:
        raise ConfigurationError("a comparison sets 'seed' itself", hint="give --seeds instead")
    if modes is not None or any(stem not in whole for stem in stems):
        for field in ("method", "method.name", "views", "views.name"):
            if field in overrides:
                raise ConfigurationError(
                    f"the modes of a comparison set '{field}'",
                    hint=f"give --modes, or --vary {field.partition('.')[0]}.name={overrides[field]},... of one recipe",
                )
    vary: dict[str, list[str]] = {}
    for word in arguments.vary:
        field, equals, values = word.partition("=")
        vary[field] = [value for value in values.split(",") if value]
        if not equals or not vary[field]:
            raise ConfigurationError(
                f"'{word}' does not say what varies", expected="--vary FIELD=VALUE,VALUE", hint="hssl compare --help"
            )
        if field == "seed":
            raise ConfigurationError("a comparison sets 'seed' itself", hint="give --seeds instead")
        if field in overrides:
            raise ConfigurationError(f"'{field}' varies and is set", got=f"--vary {word} --{field} {overrides[field]}")
    seeds = tuple(dict.fromkeys(arguments.seeds))
    chosen = configurations(stems, modes, seeds, arguments.budget, vary, overrides)
    out = arguments.out or Path("runs") / f"{'+'.join(stems)}-{arguments.budget}"
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", hint="name a new folder with --out")
    with without_notices():
        from hssl.commands.compare import compare as make_and_show

        return make_and_show(chosen, out)


def reproduce(arguments: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    """Cells of the paper's tables and figures, each run in a process of its own, and the report."""
    from hssl.paper.grid import cells
    from hssl.runs.grid import tasks
    from hssl.runs.run import GridFolder

    cluster = {name.removeprefix("slurm."): word for name, word in overrides.items() if name.startswith("slurm.")}
    overrides = {name: word for name, word in overrides.items() if not name.startswith("slurm.")}
    if cluster and arguments.launcher != "slurm":
        raise ConfigurationError(f"--slurm.{next(iter(cluster))} is for --launcher slurm")
    chosen = cells(
        arguments.artefacts, arguments.datasets, arguments.transformations, arguments.budget, arguments.points
    )
    work = tasks(chosen, range(arguments.seeds), arguments.budget, overrides)
    out = arguments.out or Path("runs") / f"reproduce-{arguments.budget}"
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", hint="name a new folder with --out")
    folder = GridFolder(out)
    folder.check_budget(arguments.budget)
    if arguments.list:
        return _list(chosen, work, folder, arguments.budget)
    if arguments.launcher == "slurm" and not _submit(work, folder, cluster, arguments.jobs):
        return 0
    with without_notices():
        from hssl.analysis.entries import entries, lines
        from hssl.report.reproduction import write_reproduction
        from hssl.report.sections.claims import summary
        from hssl.runs.grid import run

        outcome = run(work, folder, arguments.jobs)
        if outcome.records:
            found = [entry for entry in entries(outcome.records, outcome.failures) if entry.cell in chosen]
            print()
            columns = ("where", "run", "ours %", "runs", "paper %", "ours - paper (95 %)")
            table(columns, lines(found), droppable=("where", "ours - paper (95 %)"))
            short = summary(found, arguments.budget)
            for text in () if short is None else (*short.text, *short.points):
                paragraph(text)
            print(f"\nreport: {write_reproduction(out)}")
    for name, message in outcome.failures.items():
        told, _, traceback = message.partition("\n\n")
        print(f"\nfailed: {name}\n{told}", file=sys.stderr)
        if traceback:
            print(f"  in full:  {folder.failure_file(name)}", file=sys.stderr)
    if outcome.failures:
        total = f"{len(outcome.failures)} of {len(work)} runs failed"
        which = "it" if len(outcome.failures) == 1 else "them"
        print(f"\n{total}; the same command tries {which} again", file=sys.stderr)
    return 1 if outcome.failures else 0


def _submit(work: Sequence[Task], folder: GridFolder, words: Mapping[str, str], at_once: int | None) -> bool:
    """Hand what is missing to SLURM and say how all runs stand. Returns whether all of them are done."""
    from hssl.runs.slurm import submit
    from hssl.runs.slurm_options import resources

    standing = submit(work, folder, resources(words, [task.config for task in work]), at_once)
    if not standing.open:
        return True
    for name, message in standing.failures.items():
        told = message.partition("\n\n")[0]
        print(f"failed, and submitted again: {name}\n{told}\n", file=sys.stderr)
    states = list(standing.states.values())
    rows = [(name, state, standing.jobs.get(name, "-")) for name, state in standing.states.items()]
    table(("run", "state", "job"), rows)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print(
        f"\n{len(states)} runs: {counts}\n"
        f"the same command tells how they stand, and submits again what was lost\n"
        f"what they say: {folder.path / 'logs'}; what SLURM says: squeue --me, {folder.path / 'slurm'}\n"
        f"the report of those that are done: hssl report {shlex.quote(str(folder.path))}"
    )
    return False


def report(out: Path) -> int:
    """Write the report of a grid's folder and say where it is."""
    from hssl.report.reproduction import write_reproduction

    print(write_reproduction(out))
    return 0


def _list(chosen: Sequence[Cell], work: Sequence[Task], folder: GridFolder, budget: str) -> int:
    """Each run with its cells, the paper's number and how many of its seeds are done; and how many there are."""
    where: dict[str, list[str]] = {}
    paper: dict[str, str] = {}
    for cell in chosen:
        places = where.setdefault(cell.run, [])
        if (place := cell.study or cell.artefact) not in places:
            places.append(place)
        if cell.expected is not None:
            paper[cell.run] = str(cell.expected)
    rows = []
    for run, places in where.items():
        names = [task.name for task in work if task.name.startswith(f"{run}-{task.config.budget}-seed")]
        done = sum(folder.record_file(name).exists() for name in names)
        failed = sum(folder.failure_file(name).exists() for name in names)
        state = f"{done} of {len(names)}" + (f", {failed} failed" if failed else "")
        rows.append((", ".join(places), run, paper.get(run, "-"), state))
    columns = ("where", "run", "paper %", "done")
    kept = [place for place in range(len(columns)) if place != 2 or paper]
    table(tuple(columns[place] for place in kept), [tuple(row[place] for place in kept) for row in rows])
    print(f"\n{len(work)} run{'' if len(work) == 1 else 's'} at the {budget} budget, in {folder.path}")
    return 0
