"""What the whole paper costs: its runs, their steps, and the GPU-hours that it reports for them. Imports no torch."""

from __future__ import annotations

from hssl.analysis.summaries import DATASETS, NONE
from hssl.paper import numbers as paper
from hssl.paper.grid import OF_THE_PAPER, cells
from hssl.report.document import Line, Number, Table


def paper_cost(seeds: int = paper.RUNS) -> Table:
    """Runs of tables 1 and 2 and figure 2 by data set, each counted once, at the paper's budget.

    Args:
        seeds: runs of a cell.
    """
    every = [cell for cell in cells(OF_THE_PAPER, budget="paper") if cell.variant is None]
    tables = {cell.run for cell in every if cell.artefact.startswith("table")}
    lines: list[Line] = []
    all_runs = all_hours = 0
    for dataset in paper.EPOCHS:
        names = {cell.run for cell in every if cell.dataset == dataset}
        for where, chosen in (("tables 1 and 2", names & tables), ("figure 2 beside", names - tables)):
            if not chosen:
                continue
            runs = seeds * len(chosen)
            hours = runs * paper.GPU_HOURS[dataset]
            all_runs, all_hours = all_runs + runs, all_hours + hours
            lines.append((DATASETS[dataset], where, _whole(runs), _whole(paper.steps(dataset)), _whole(hours)))
    lines.append(("All", "", _whole(all_runs), Number(NONE), _whole(all_hours)))
    headings = ("Data", "For", f"Runs, {seeds} seeds", "Steps a run", "GPU-hours at the paper's rate")
    return Table("paper-cost", headings, tuple(lines))


def _whole(number: int) -> Number:
    return Number(f"{number:,}", number)
