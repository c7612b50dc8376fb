"""The command line `hssl`. Reads words, calls one function of the package for each command, and speaks for people.

What the commands do lies in `hssl.commands`. Nothing imports torch before a command needs it: `hssl --help` and
`hssl recipes` answer at once. Nothing at all is imported before signals are heard.
Exit codes: 0 done, 1 a run of a comparison broke, 2 something the user can mend (one message, no traceback), 130
interrupted, 129 and 143 ended by SIGHUP and SIGTERM, 141 the reader of a pipe went away.
"""

import argparse
import errno
import io
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from hssl import __version__
from hssl.errors import ConfigurationError, HsslError, nearest
from hssl.signals import endable, name_of

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
    --optimizer.learning_rate 0.3   --trainer.epochs=20
    --group.factors 1,1.5,2   --seed 1
'hssl recipes --fields' lists every field with what it accepts and its default.
Fields are replaced after the budget is applied."""
_SEED = "   --seed 1"
_BUDGET = "smoke: under a minute on two CPU cores; quick: a few; long: sized for twenty on one; paper: the paper's own"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MENDABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, *_FULL}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. `argv` is without the program's name; none: the process's own."""
    words = list(sys.argv[1:] if argv is None else argv)
    return endable(lambda: _guarded(words), lambda number: _leave(words, f"ended by {name_of(number)}"))


def _guarded(words: list[str]) -> int:
    """Runs one command and turns the errors that are for people into a message and an exit code."""
    _escape_what_cannot_be_shown()
    try:
        code = _run(words)
        sys.stdout.flush()
    except HsslError as error:
        print(f"hssl: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _leave(words, "interrupted")
        return 130
    except SystemExit as stop:
        # Lightning turns an interrupt into exit(1) after it has put the trainer away.
        if isinstance(stop.__context__, KeyboardInterrupt):
            _leave(words, "interrupted")
            return 130
        raise
    except BrokenPipeError:
        _drop(sys.stdout)
        return 128 + 13
    except OSError as error:
        if error.errno not in _MENDABLE or (error.filename is None and error.errno not in _FULL):
            raise
        print(f"hssl: {error.strerror}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)
        return 2
    return code


def _leave(words: Sequence[str], how: str) -> None:
    """Last words of a command that did not come to its end."""
    line = f"hssl: {how}"
    command = words[0] if words else None
    if command in ("train", "compare", "reproduce"):
        line += "; the same command continues after the last finished epoch, or starts again"
    elif command == "evaluate":
        line += "; the same command measures it again"
    if command in ("train", "compare", "reproduce", "evaluate"):
        line += f":\n  hssl {shlex.join(words)}"
    # One voice for all the processes of a run.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        try:
            print(line, file=sys.stderr, flush=True)
        except OSError:  # the terminal is gone
            _drop(sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _drop(sys.stdout)


def _drop(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python flushes once more when it ends, and would complain there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _escape_what_cannot_be_shown() -> None:
    """Letters that a terminal or a pipe has no code for are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):  # one that is closed, or another than it was opened as
                stream.reconfigure(errors="backslashreplace")


def _run(words: list[str]) -> int:
    from hssl.commands import bench, catalogue, grids, runs

    parser, commands = _parsers()
    command = next((word for word in words if not word.startswith("-")), None)
    if command is not None and command not in COMMANDS:
        raise ConfigurationError(f"there is no command '{command}'", hint=nearest(command, COMMANDS))
    if not words:
        parser.print_help()
        return 2
    overrides: dict[str, str] = {}
    if command in ("recipes", "train", "equivariance", "compare", "reproduce") and words[0] == command:
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
            if overrides and not arguments.fields:
                raise ConfigurationError(
                    f"there is no option --{next(iter(overrides))} here", hint="hssl recipes --help"
                )
            return catalogue.fields(overrides) if arguments.fields else catalogue.recipes(arguments.pattern)
        case "train":
            return runs.train(
                arguments.recipe, arguments.budget, overrides, arguments.out, measure=not arguments.no_evaluation
            )
        case "evaluate":
            return runs.evaluate(arguments.run, arguments.data_root)
        case "equivariance":
            return runs.equivariance(arguments.subject, arguments.budget, overrides)
        case "bench":
            return bench.bench(arguments)
        case "report":
            return grids.report(arguments.folder)
        case "reproduce":
            return grids.reproduce(arguments, overrides)
        case _:
            return grids.compare(arguments, overrides)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        # Without abbreviations: '--bud' is not '--budget', it may be a mistyped field.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)
        self.known = {"-h", "--help"}

    def option(self, *names: str, **settings: Any) -> None:
        self.known.update(name for name in names if name.startswith("-"))
        self.add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(message, hint=f"{self.prog} --help shows how it is written")


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    from hssl.paper.budgets import BUDGET_NAMES
    from hssl.paper.grid import OF_THE_PAPER
    from hssl.paper.studies import STUDIES

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
            name, help=text, description=textwrap.fill(f"{text[0].upper()}{text[1:]}.", 79), epilog=_epilog(name)
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
    train.option(
        "--no-evaluation",
        action="store_true",
        help="do not measure in the end what training gained over random weights",
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
    compare.option(
        "stems",
        nargs="+",
        metavar="STEM",
        help="recipes without their mode, such as mnist-translation-mlp; with --vary whole recipes, or custom",
    )
    compare.option(
        "--vary", nargs="+", default=[], metavar="FIELD=V,V", help="compare values of fields instead of modes"
    )  # fmt: skip
    compare.option("--modes", nargs="+", metavar="MODE", help="of assl, hssl, frozen, supervised (default: all)")
    compare.option("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="one run for each (default: 0)")
    compare.option("--budget", choices=BUDGET_NAMES, default="quick", help=f"{_BUDGET} (default: quick)")
    compare.option("--out", type=Path, metavar="DIR", help="runs and report (default: runs/STEM-BUDGET)")

    reproduce = commands["reproduce"]
    reproduce.option(
        "artefacts", nargs="+", metavar="WHAT",
        help=f"{', '.join(OF_THE_PAPER)}, all (of these); beyond (the paper), or of its studies {', '.join(STUDIES)}",
    )  # fmt: skip
    reproduce.option(
        "--datasets",
        nargs="+",
        metavar="DATA",
        help="of mnist, cifar10, tiny-imagenet (default: all; figure 2: cifar10)",
    )
    reproduce.option("--transformations", nargs="+", metavar="T", help="of rotation, translation, scale (default: all)")
    reproduce.option(
        "--seeds", type=_number_of_seeds, default=1, metavar="N", help="runs of each cell, seeds 0 to N-1 (default: 1)"
    )
    reproduce.option(
        "--points",
        type=_at_least_two,
        metavar="N",
        help="places at most on a figure's axis, ends among them (default: all)",
    )
    reproduce.option("--budget", choices=BUDGET_NAMES, default="quick", help=f"{_BUDGET} (default: quick)")
    reproduce.option("--jobs", type=_at_least_one, metavar="N", help="runs at a time (default: one a GPU, or one)")
    reproduce.option("--out", type=Path, metavar="DIR", help="runs, records, report (default: runs/reproduce-BUDGET)")
    reproduce.option(
        "--launcher", choices=("local", "slurm"), default="local",
        help="local: here; slurm: as jobs of a cluster, requeued when their time is up (default: local)",
    )  # fmt: skip
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


def _at_least_two(word: str) -> int:
    if not word.isdecimal() or int(word) < 2:
        raise argparse.ArgumentTypeError(f"a whole number of at least 2, the ends of an axis, not '{word}'")
    return int(word)


def _number_of_seeds(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"how many seeds, not which: 3 makes 0, 1 and 2; not '{word}'")
    return int(word)


def _epilog(command: str) -> str | None:
    from hssl.runs.slurm_options import OPTIONS as SLURM_OPTIONS

    return {
        "train": f"{_OVERRIDES}\n\nExample:\n    hssl train mnist-scale-hssl --budget quick --out runs/x",
        "equivariance": f"{_OVERRIDES}\n\nExample:\n    hssl equivariance mnist-rotation-hssl",
        "reproduce": f"{_OVERRIDES.replace(_SEED, '')}\n\n"
        "--data.root DIR holds a sub-folder for each data set that is asked for: mnist,\n"
        "cifar10, tiny-imagenet; with a single one it may be the data's own folder.\n"
        "Without it they are looked for in HSSL_DATA, then on the hub.\n\n"
        "A run that is there is not made again; an interrupted one goes on. Several of\n"
        "these may work on one folder at once.\n\n"
        "With --launcher slurm, which takes pip install 'hssl[slurm]':\n"
        + "".join(f"    --slurm.{name:<11} {text}\n" for name, text in SLURM_OPTIONS.items())
        + "\nExamples:\n    hssl reproduce table1 --datasets mnist --budget smoke\n"
        "    hssl reproduce all --budget paper --launcher slurm --slurm.partition gpu",
        "bench": "layers: every layer of the paper's networks. step: a whole training step.\n"
        "loss: time and memory against N. data: batches and views against a loader.\n"
        "scaling: batch, |G|, width, resolution.\n\n"
        "Example:\n    hssl bench step --rounds 3 --json step.json",
        "compare": f"{_OVERRIDES.replace(_SEED, '')}\n\n"
        "Examples:\n    hssl compare digits-translation --seeds 0 1 2 --out runs/demo\n"
        "    hssl compare digits-scale-hssl --vary method.name=contrastive,my_module:Mine\n"
        "    hssl compare digits-scale-hssl --vary method.temperature=0.05,0.1,0.2",
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
                raise ConfigurationError(f"'{name}' has no value", expected=f"{name} VALUE or {name}=VALUE")
            value = following
        fields[name.removeprefix("--")] = value
    return rest, fields


def _known_field(name: str) -> None:
    from hssl.config import Config, fields_of_parts, override
    from hssl.parts import KINDS
    from hssl.runs.slurm_options import OPTIONS as SLURM_OPTIONS

    known = {field for field, _, _ in fields_of_parts(Config())}
    if name.removeprefix("slurm.") not in SLURM_OPTIONS and name not in known | KINDS.keys():
        override(Config(), {name: ""})


if __name__ == "__main__":
    raise SystemExit(main())
