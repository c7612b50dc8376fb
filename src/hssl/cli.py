"""The command line `hssl`. Reads words, calls one function of the package for each command, and speaks for people.

Nothing here imports torch before a command needs it: `hssl --help` and `hssl recipes` answer at once.
Exit codes: 0 done, 1 a run of a comparison broke, 2 something the user can mend (one message, no traceback), 130
interrupted, 141 the reader of a pipe went away.
"""

import argparse
import errno
import fnmatch
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hssl import __version__
from hssl.errors import ConfigurationError, HsslError, RunFolderError, nearest
from hssl.experiments.budgets import BUDGET_NAMES
from hssl.experiments.manifest import ARTEFACTS
from hssl.training.notices import without_notices

if TYPE_CHECKING:
    from hssl.config import Config
    from hssl.experiments.cell import GridFolder
    from hssl.experiments.manifest import Cell
    from hssl.experiments.reproduce import Task

COMMANDS = {
    "recipes": "list the recipes, or every field of the configuration",
    "train": "train a recipe, or a run's config.yaml",
    "evaluate": "readout, linear probe, kNN and equivariance error of a run",
    "equivariance": "equivariance error by group element, of a run or of a recipe before training",
    "compare": "train a row of the paper's tables in every mode and print it beside the paper's numbers",
    "reproduce": "make the runs behind the paper's tables and figures, and the report",
    "report": "write the report of a reproduction from its records alone",
    "bench": "measure speed and memory against the plain formulation, side by side",
}
BENCHMARKS = ("layers", "step", "loss", "data", "scaling")
_OVERRIDES = """\
Any field of the configuration is an option by its dotted name:
    --optimizer.learning_rate 0.3   --trainer.epochs=20   --seed 1   --backbone.scales 1,1.5,2
'hssl recipes --fields' lists every field with what it accepts and its default.
Fields are replaced after the budget is applied."""
_BUDGET = "smoke: under a minute on two CPU cores; quick: under five; paper: the paper's own settings"
_MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EDQUOT}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. `argv` is without the program's name; none: the process's own."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        sys.stdout.flush()
    except HsslError as error:
        print(f"hssl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted(words)
    except SystemExit as stop:
        # Lightning turns an interrupt into exit(1) after it has put the trainer away.
        if isinstance(stop.__context__, KeyboardInterrupt):
            return _interrupted(words)
        raise
    except BrokenPipeError:
        # Python flushes stdout once more when it ends, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        if error.errno not in _MENDABLE or error.filename is None:
            raise
        print(f"hssl: {error.strerror}: {error.filename}", file=sys.stderr)
        return 2
    return code


def _interrupted(words: Sequence[str]) -> int:
    line = "hssl: interrupted"
    if words and words[0] in ("train", "compare"):
        line += (
            f"; the same command continues after the last finished epoch, or starts again:\n  hssl {shlex.join(words)}"
        )
    print(line, file=sys.stderr)
    return 130


def _run(words: list[str]) -> int:
    parser, commands = _parsers()
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        raise ConfigurationError(f"there is no command '{command}'", remedy=nearest(command, COMMANDS))
    if not words:
        parser.print_help()
        return 2
    overrides: dict[str, str] = {}
    if command in ("train", "equivariance", "compare", "reproduce") and words[0] == command:
        words, overrides = _split_overrides(words, commands[command])
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:  # --help and --version: argparse has printed and wants to leave
        return int(stop.code or 0)
    if arguments.command in ("train", "compare"):
        # Large tensors on large pages: torch reads this when it first allocates, and a step on a CPU then waits less
        # for page faults. Not where formulations are measured in turns: they would wait for each other's pages.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    match arguments.command:
        case "recipes":
            return _fields() if arguments.fields else _recipes(arguments.pattern)
        case "train":
            return _train(arguments.recipe, arguments.budget, overrides, arguments.out)
        case "evaluate":
            return _evaluate(arguments.run, arguments.data_root)
        case "equivariance":
            return _equivariance(arguments.subject, arguments.budget, overrides)
        case "bench":
            return _bench(arguments)
        case "report":
            return _report(arguments.folder)
        case "reproduce":
            return _reproduce(arguments, overrides)
        case _:
            return _compare(arguments, overrides)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        # Without abbreviations: '--bud' is not '--budget', it may be a mistyped field.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self.known = {"-h", "--help"}

    def option(self, *names: str, **settings: Any) -> None:
        self.known.update(name for name in names if name.startswith("-"))
        self.add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(message, remedy=f"{self.prog} --help shows how it is written")


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="hssl",
        description="Homomorphic self-supervised learning:\n"
        "positive pairs inside the feature space of equivariant networks.",
        epilog="First steps:\n"
        "    hssl recipes mnist\n"
        "    hssl train digits-rotation-hssl --budget quick --out runs/first\n"
        "    hssl evaluate runs/first",
    )
    parser.option("--version", action="version", version=f"hssl {__version__}")
    group = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands = {
        name: group.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=_epilog(name)
        )
        for name, text in COMMANDS.items()
    }  # fmt: skip

    recipes = commands["recipes"]
    recipes.option("pattern", nargs="?", metavar="PATTERN", help="part of a name, or a pattern such as '*-scale-*'")
    recipes.option("--fields", action="store_true", help="list every field of the configuration instead")

    train = commands["train"]
    train.option("recipe", metavar="RECIPE", help="a name that 'hssl recipes' lists, or a config.yaml")
    train.option("--budget", choices=BUDGET_NAMES, help=f"{_BUDGET} (default: paper)")
    train.option(
        "--out", type=Path, required=True, metavar="DIR", help="the run's folder; an interrupted run continues"
    )

    evaluate = commands["evaluate"]
    evaluate.option("run", type=Path, metavar="RUN", help="the folder of a finished or interrupted run")
    evaluate.option("--data.root", dest="data_root", metavar="PATH", help="where the run's data lies now")

    equivariance = commands["equivariance"]
    equivariance.option(
        "subject", metavar="RUN|RECIPE", help="a run's folder, a recipe (random weights) or a config.yaml"
    )
    equivariance.option("--budget", choices=BUDGET_NAMES, help=f"{_BUDGET}; of a recipe (default: quick)")

    compare = commands["compare"]
    compare.option("stems", nargs="+", metavar="STEM", help="recipes without their mode, such as mnist-translation-mlp")
    compare.option("--modes", nargs="+", metavar="MODE", help="of assl, hssl, frozen, supervised (default: all)")
    compare.option("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="one run for each (default: 0)")
    compare.option("--budget", choices=BUDGET_NAMES, default="quick", help=f"{_BUDGET} (default: quick)")
    compare.option("--out", type=Path, metavar="DIR", help="runs and report (default: runs/STEM-BUDGET)")

    reproduce = commands["reproduce"]
    reproduce.option("artefacts", nargs="+", metavar="WHAT", help=f"of {', '.join(ARTEFACTS)}, all")
    reproduce.option("--datasets", nargs="+", metavar="DATA", help="of mnist, cifar10, tiny-imagenet (default: all)")
    reproduce.option("--transformations", nargs="+", metavar="T", help="of rotation, translation, scale (default: all)")
    reproduce.option("--seeds", type=_at_least_one, default=1, metavar="N", help="runs a cell, seeds 0 to N-1")
    reproduce.option("--budget", choices=BUDGET_NAMES, default="quick", help=f"{_BUDGET} (default: quick)")
    reproduce.option("--jobs", type=_at_least_one, metavar="N", help="runs at a time (default: one a GPU, or one)")
    reproduce.option("--out", type=Path, metavar="DIR", help="runs, records, report (default: runs/reproduce-BUDGET)")
    reproduce.option("--list", action="store_true", help="show the cells and how they stand, and make nothing")

    report = commands["report"]
    report.option("folder", type=Path, metavar="DIR", help="a folder of 'hssl reproduce', with its records/")

    bench = commands["bench"]
    bench.option("kind", choices=BENCHMARKS, metavar="KIND", help=f"one of {', '.join(BENCHMARKS)}")
    bench.option("--json", type=Path, metavar="FILE", help="write the measurements with what they were made on")
    bench.option("--rounds", type=_at_least_one, default=5, metavar="N", help="turns of each contestant (default: 5)")
    bench.option("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one")
    bench.option("--threads", type=_at_least_one, metavar="N", help="CPU threads (default: as torch chooses)")
    return parser, commands


def _at_least_one(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not '{word}'")
    return int(word)


def _epilog(command: str) -> str | None:
    return {
        "train": f"{_OVERRIDES}\n\nExample:\n    hssl train mnist-scale-hssl --budget quick --out runs/x",
        "equivariance": f"{_OVERRIDES}\n\nExample:\n    hssl equivariance mnist-rotation-hssl",
        "reproduce": f"{_OVERRIDES}\n\nA run that is there is not made again; an interrupted one goes on. Several of\n"
        "these may work on one folder at once.\n\nExample:\n    hssl reproduce table1 --datasets mnist --budget smoke",
        "bench": "layers: every layer of the paper's networks. step: a whole training step. loss: time and memory\n"
        "against N. data: batches and views against a loader. scaling: batch, |G|, width, resolution.\n\n"
        "Example:\n    hssl bench step --rounds 3 --json step.json",
        "compare": f"{_OVERRIDES}\n\nExample:\n    hssl compare digits-translation --seeds 0 1 2 --out runs/demo",
    }.get(command)


def _split_overrides(words: Sequence[str], parser: _Parser) -> tuple[list[str], dict[str, str]]:
    """The words for argparse, and the fields: every '--name value' or '--name=value' that it does not know."""
    rest: list[str] = []
    fields: dict[str, str] = {}
    waiting = iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name == "--" or name in parser.known:
            rest.append(word)
            continue
        if not equals:
            following = next(waiting, None)
            if following is None or following.startswith("--"):
                _known_field(name.removeprefix("--"))
                raise ConfigurationError(f"'{name}' has no value", accepted=f"{name} VALUE or {name}=VALUE")
            value = following
        fields[name.removeprefix("--")] = value
    return rest, fields


def _known_field(name: str) -> None:
    from hssl.config import Config, fields_of, override

    if name not in dict(fields_of()):
        override(Config(), {name: ""})


def _recipes(pattern: str | None) -> int:
    from hssl.experiments.recipes import describe, recipe_names

    names = recipe_names()
    if pattern is not None:
        wild = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
        names = tuple(fnmatch.filter(names, wild))
        if not names:
            remedy = nearest(pattern, recipe_names(), "hssl recipes lists all of them")
            raise ConfigurationError(f"no recipe matches '{pattern}'", remedy=remedy)
    cards = [describe(name) for name in names]
    rows = [
        (
            card.name,
            str(card.expected or "-"),
            f"{card.gpu_hours} GPU h" if card.gpu_hours else "-",
            *(f"< {card.minutes[budget]:g} min" for budget in ("smoke", "quick")),
            card.source,
        )
        for card in cards
    ]
    columns = ("recipe", "expected %", "paper's cost", "smoke", "quick", "source in the paper")
    _table(columns, rows, droppable=("smoke", "quick", "paper's cost"))
    print()
    if len(cards) == 1:
        print(cards[0].summary)
    print("expected: top-1 test accuracy in the paper, mean ± std over 3 runs; smoke, quick: a run on two CPU cores")
    print(f"to run one: {cards[0].command}")
    return 0


def _fields() -> int:
    from hssl.config import accepted_of, fields_of

    rows = [(f"--{name}", *accepted_of(name), description) for name, description in fields_of()]
    _table(("field", "accepts", "default", "what it is"), rows)
    print("\nThe defaults are those of a bare configuration; a recipe and a budget set their own.")
    return 0


def _train(name: str, budget: str | None, overrides: Mapping[str, str], out: Path) -> int:
    config = _configuration(name, budget, overrides, "paper")
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", remedy="name a new folder with --out")
    with without_notices():
        from hssl.training.engine import train
        from hssl.training.environment import is_first_process

        result = train(config, out)
        if not is_first_process():
            return 0
    for note in result.get("notes", ()):
        print(note)
    print(f"\nrun folder: {out}\nmeasure it: hssl evaluate {shlex.quote(str(out))}")
    return 0


def _evaluate(run: Path, data_root: str | None) -> int:
    _check_run(run)
    with without_notices():
        from hssl.training.engine import evaluate_run

        result = evaluate_run(run, data_root)
    _print_evaluation(result)
    return 0


def _equivariance(subject: str, budget: str | None, overrides: Mapping[str, str]) -> int:
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
        from hssl.training.engine import measure_equivariance

        entry = measure_equivariance(config, run, overrides.get("data.root") if run else None)
    weights = "trained weights" if run else f"random weights, width {config.backbone.width:g}" if config else ""
    print(f"{subject} ({weights})")
    _print_equivariance(entry)
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.json is not None and arguments.json.is_dir():
        raise ConfigurationError(f"{arguments.json} is a folder", accepted="--json FILE")
    with without_notices():
        import torch

        from hssl.benchmarks.machine import find_device
        from hssl.benchmarks.run import run

        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        run(arguments.kind, arguments.rounds, find_device(arguments.device), arguments.json)
    return 0


def _compare(arguments: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from hssl.config import override
    from hssl.experiments.recipes import MODES, find_stem, recipe, recipe_name

    stems = tuple(dict.fromkeys(find_stem(stem).name for stem in arguments.stems))
    spelled = dict(MODES) | {str(mode): mode for mode in MODES.values()}
    asked = list(MODES) if arguments.modes is None else arguments.modes
    for word in asked:
        if word not in spelled:
            raise ConfigurationError(f"there is no mode '{word}' to compare", accepted=", ".join(MODES))
    modes = tuple(dict.fromkeys(spelled[word] for word in asked))
    seeds = tuple(dict.fromkeys(arguments.seeds))
    for field, option in (("seed", "--seeds"), ("mode", "--modes")):
        if field in overrides:
            raise ConfigurationError(f"a comparison sets '{field}' itself", remedy=f"give {option} instead")
    for stem in stems:  # every configuration of the comparison holds, before the first run starts
        for seed in seeds:
            changes: dict[str, Any] = {**overrides, "seed": seed}
            override(recipe(recipe_name(stem, modes[0]), arguments.budget), changes)
    out = arguments.out or Path("runs") / f"{'+'.join(stems)}-{arguments.budget}"
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", remedy="name a new folder with --out")
    with without_notices():
        from hssl.experiments.compare import compare

        return compare(stems, modes, seeds, arguments.budget, overrides, out)


def _reproduce(arguments: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from hssl.experiments.cell import GridFolder
    from hssl.experiments.manifest import cells
    from hssl.experiments.reproduce import tasks

    chosen = cells(arguments.artefacts, arguments.datasets, arguments.transformations)
    work = tasks(chosen, range(arguments.seeds), arguments.budget, overrides)
    out = arguments.out or Path("runs") / f"reproduce-{arguments.budget}"
    if out.exists() and not out.is_dir():
        raise RunFolderError(f"{out} is a file, not a folder", remedy="name a new folder with --out")
    folder = GridFolder(out)
    if arguments.list:
        return _list_runs(chosen, work, folder)
    with without_notices():
        from hssl.experiments.reproduce import run
        from hssl.experiments.reproduction import entries, lines, statements, write_reproduction

        outcome = run(work, folder, arguments.jobs)
        if outcome.records:
            found = [entry for entry in entries(outcome.records, outcome.failures) if entry.cell in chosen]
            columns = ("where", "run", "ours %", "runs", "paper %", "ours - paper (95 %)")
            _table(columns, lines(found), droppable=("where", "ours - paper (95 %)"))
            for statement in statements(found):
                print(statement)
            print(f"\nreport: {write_reproduction(out)}")
    for name, message in outcome.failures.items():
        print(f"\nfailed: {name}\n{message}", file=sys.stderr)
    if outcome.failures:
        total = f"{len(outcome.failures)} of {len(work)} runs failed"
        print(f"\n{total}; the same command tries them again", file=sys.stderr)
    return 1 if outcome.failures else 0


def _report(out: Path) -> int:
    from hssl.experiments.reproduction import write_reproduction

    print(write_reproduction(out))
    return 0


def _list_runs(chosen: "Sequence[Cell]", work: "Sequence[Task]", folder: "GridFolder") -> int:
    """Each cell with the paper's number and how many of its runs are done."""
    rows = []
    for cell in chosen:
        names = [task.name for task in work if task.name.startswith(f"{cell.run}-{task.config.budget}-seed")]
        done = sum(folder.record_file(name).exists() for name in names)
        failed = sum(folder.failure_file(name).exists() for name in names)
        state = f"{done} of {len(names)}" + (f", {failed} failed" if failed else "")
        rows.append((cell.artefact, cell.run, "-" if cell.expected is None else str(cell.expected), state))
    _table(("where", "run", "paper %", "done"), rows)
    return 0


def _configuration(
    name: str, budget: str | None, overrides: Mapping[str, str], default_budget: str, *, runs_too: bool = False
) -> "Config":
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
    _table(("measure", "test accuracy", "protocol"), rows)
    print()
    if result["equivariance"]:
        _print_equivariance(result["equivariance"])
    else:
        print("equivariance: not measured")


def _print_equivariance(entry: Mapping[str, Any]) -> None:
    errors: Mapping[str, float | None] = entry["errors"]
    held = {True: "held", False: "NOT HELD", None: "no bound to hold"}[entry.get("held")]
    bound = "none" if entry.get("bound") is None else f"{entry['bound']:g}"
    print(f"equivariance: {entry['group']}; class: {entry['class']}; bound: {bound}; {held}")
    rows = [(element, _shown(error)) for element, error in errors.items()]
    if rows:
        _table(("element", "relative error"), rows)
    context: Mapping[str, float | None] = entry.get("context", {})
    # 'element: figure' belongs to an element: a row a figure, a column an element.
    figures = tuple(dict.fromkeys(name.split(": ", 1)[1] for name in context if name.split(": ", 1)[0] in errors))
    if figures:
        beside = [(figure, *(_shown(context.get(f"{element}: {figure}")) for element in errors)) for figure in figures]
        _table(("beside it", *errors), beside)
    elif context:
        _table(("beside it", "relative error"), [(what, _shown(error)) for what, error in context.items()])


def _shown(error: float | None) -> str:
    return "nothing to compare" if error is None else f"{error:.2e}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], droppable: Sequence[str] = ()) -> None:
    """A table that fits the terminal, or aligned plain text, one line a row, where the reader is a program.

    Too wide a table first loses its `droppable` columns, in that order, and then folds its cells.
    """
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown = list(range(len(columns)))
    for name in droppable:
        if sum(widths[index] + 2 for index in shown) > console.width:
            shown.remove(columns.index(name))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold underline")
    for index in shown:
        # The first column is what one copies: it is never folded.
        table.add_column(columns[index], no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[index]) for index in shown))
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
