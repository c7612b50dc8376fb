"""Sections of the page of a reproduction, as HTML text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from hssl.experiments import paper
from hssl.experiments.claims import statements
from hssl.experiments.entries import AXES, Entry, interval
from hssl.experiments.manifest import Artefact
from hssl.experiments.page import figure, table
from hssl.experiments.plots import points
from hssl.experiments.tables import DATASETS, MODES, NONE, summarise


def claims(found: Sequence[Entry]) -> str:
    lines = "".join(f"<li>{html.escape(text)}</li>" for text in statements(found))
    if not lines:
        return ""
    return (
        '<div class="note"><h3>What the theory says, tested</h3><p>With structure A-SSL and H-SSL are one training; '
        "without it H-SSL has nothing to learn from. Welch's t-test, 95 % intervals; equivalence by two one-sided "
        f"tests.</p><ul>{lines}</ul></div>"
    )


def paper_table(artefact: Artefact, here: Sequence[Entry]) -> str:
    """As the paper has it: a row a network, a column a mode; sorted by whatever heading is pressed."""
    headings = ("Data", "Transformation", "Backbone", *(MODES[mode] for mode in _modes(here)))
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    rows = []
    for stem in dict.fromkeys(entry.cell.stem for entry in here):
        assert stem.row is not None
        dataset, transformation, backbone = stem.row
        cells_of: dict[str, Entry] = {entry.cell.mode: entry for entry in here if entry.cell.stem is stem}
        texts = "".join(_number(cells_of.get(mode)) for mode in _modes(here))
        rows.append(
            f'<tr><th scope="row">{DATASETS[dataset]}</th><td class="word">{transformation}</td>'
            f'<td class="word">{html.escape(backbone)}</td>{texts}</tr>'
        )
    return (
        f'<div class="scroll"><table class="results sortable" id="{artefact}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="caption">Ours: mean ± sample standard deviation and number of runs. Below it the paper\'s number, '
        "and ours minus the paper's with its 95 % interval. Press a heading to sort.</p>"
    )


def _number(entry: Entry | None) -> str:
    if entry is None or entry.readout is None:
        word = f"{entry.failed} failed" if entry is not None and entry.failed else NONE
        return f'<td data-value="">{word}</td>'
    theirs = "" if entry.paper is None else f'<span class="below">paper {entry.paper}</span>'
    apart = "" if entry.to_paper is None else f'<span class="below">{interval(entry.to_paper)}</span>'
    failed = f'<span class="below">{entry.failed} failed</span>' if entry.failed else ""
    return (
        f'<td data-value="{entry.readout.mean!r}" data-cell="{entry.cell.run}"><b>{entry.readout}</b> '
        f'<span class="std">n {entry.readout.count}</span>{theirs}{apart}{failed}</td>'
    )


def figure_points(artefact: Artefact, here: Sequence[Entry]) -> str:
    figures, lines = [], []
    for number, stem in enumerate(dict.fromkeys(entry.cell.stem for entry in here)):
        assert stem.row is not None
        of_stem = [entry for entry in here if entry.cell.stem is stem]
        shown = [(entry.place, entry.readout) for entry in of_stem if entry.readout is not None]
        heading = f"{DATASETS[stem.row[0]]} · {stem.row[1]}"
        plot = points(shown, AXES[artefact], f"{artefact}{number}") if shown else None
        figures.append(figure(heading, plot, "H-SSL, readout; bar: sample standard deviation"))
        lines += [(heading, entry.place, entry.text, str(len(entry.records)), entry.cell.run) for entry in of_stem]
    return (
        f'<div class="plots">{"".join(figures)}</div><details><summary>As numbers</summary>'
        f"{table(('', AXES[artefact], 'Accuracy', 'Runs', 'Run'), lines)}</details>"
    )


def costs(found: Sequence[Entry]) -> str:
    lines = []
    seen: set[str] = set()
    for entry in found:
        seconds = summarise(record.wall_seconds for record in entry.records)
        if seconds is None or entry.cell.run in seen:
            continue
        seen.add(entry.cell.run)
        devices = ", ".join(sorted({record.device for record in entry.records}))
        theirs = f"{paper.GPU_HOURS[entry.cell.dataset]} GPU-hours"
        lines.append((entry.cell.run, f"{seconds.mean:,.0f} s", devices, theirs))
    if not lines:
        return ""
    return (
        "<h2>Cost</h2><p>Wall-clock time of a run, training and evaluation, beside what the paper's run took.</p>"
        f"<details><summary>By cell</summary>{table(('Run', 'Ours', 'On', 'The paper'), lines)}</details>"
    )


def failed_runs(failures: Mapping[str, str]) -> str:
    if not failures:
        return ""
    lines = "".join(
        f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"
        for name, text in failures.items()
    )
    return f"<h2>Failed</h2>{lines}"


def _modes(here: Sequence[Entry]) -> list[str]:
    return [mode for mode in MODES if any(entry.cell.mode == mode for entry in here)]
