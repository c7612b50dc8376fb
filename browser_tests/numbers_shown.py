"""What a page shows against what the records hold, read as JSON and averaged here: nothing of hssl is used."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path

from chromium import Browser

NAME = re.compile(r"(.+)-(?:smoke|quick|paper)-seed\d+")
# Runs that a table of the paper has a cell for; those of figure 2 say what they vary after the mode.
IN_A_TABLE = re.compile(r".+-(assl|hssl|frozen|supervised)")
CELLS = """
return [...document.querySelectorAll('[data-cell]')].map((cell) =>
  [cell.closest('table').id, cell.dataset.cell, cell.dataset.measure, cell.dataset.value, cell.textContent]);
"""


def accuracies(records: Path) -> dict[str, dict[str, list[float]]]:
    """Accuracies by run's name and measure."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(records.glob("*.json")):
        match = NAME.fullmatch(file.stem)
        assert match is not None, file
        evaluation = json.loads(file.read_text())["record"]["evaluation"]
        for measure in ("readout", "linear_probe", "knn", "few_labels"):
            if evaluation.get(measure) is not None:
                found[match[1]][measure].append(evaluation[measure]["accuracy"])
    return found


def wrong_numbers(browser: Browser, records: Path) -> list[str]:
    """Every cell of the open page that is not its records' mean, deviation and count, and what has no cell."""
    held = accuracies(records)
    wrong, in_tables, measured = [], set(), set()
    for table, run, measure, value, text in browser.run(CELLS):
        measured.add((run, measure))
        if table in ("table1", "table2"):
            in_tables.add(run)
        values = held[run][measure]
        if not values:
            wrong.append(f"{run}, {measure}: {text!r} is shown, and there is no record")
            continue
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((x - mean) ** 2 for x in values) / (len(values) - 1)) if len(values) > 1 else None
        if not math.isclose(float(value), mean, rel_tol=1e-12):
            wrong.append(f"{run}, {measure}: sorted by {value}, the mean is {mean}")
        shown = re.match(r"\s*(-?[\d.]+) ± ([\d.]+|–)", text)
        expected = (f"{mean:.1f}", "–" if spread is None else f"{spread:.1f}")
        if shown is None or shown.groups() != expected:
            wrong.append(f"{run}, {measure}: shown {text!r}, the records say {' ± '.join(expected)}")
        count = re.search(r"\bn (\d+)", text)
        if count is not None and int(count[1]) != len(values):
            wrong.append(f"{run}, {measure}: n {count[1]}, and there are {len(values)} records")
    due = {run for run in held if IN_A_TABLE.fullmatch(run)}
    wrong += [f"{run} has records and no cell" for run in sorted(due - in_tables)]
    unseen = {(run, measure) for run in due for measure in held[run]} - measured
    return wrong + [f"{run} has a {measure} that is not shown" for run, measure in sorted(unseen)]
