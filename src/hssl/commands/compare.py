"""Run a few recipes side by side, and set the table: what is done is not repeated, what was interrupted goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from hssl.analysis.summaries import comparison_table
from hssl.config import Config
from hssl.errors import HsslError
from hssl.extras import extra
from hssl.report.comparison import in_short, results, write_report
from hssl.report.terminal import terminal
from hssl.runs.record import RunRecord, collect, read, write

with extra("terminal"):
    from rich.console import Console


def compare(configurations: Mapping[str, Config], out: Path) -> int:
    """Train and evaluate runs one after the other; print the table and write `out/report.html`.

    A run lies in `out/runs/NAME`, its record in `out/records/NAME.json`. A run that fails is shown with its error and
    leaves the others alone.

    Args:
        configurations: the runs by name (`hssl.paper.comparison`).
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
    """Print the table, what was gained over random weights, and what the budget shows and what it does not."""
    console = Console()
    rows = comparison_table(records)
    for section in (results(rows), in_short(rows)):
        console.print(terminal(section), highlight=False)


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
