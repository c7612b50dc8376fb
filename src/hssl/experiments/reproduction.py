"""The report of a reproduction, from its records alone: the paper's tables and figures with ours beside them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hssl.config import BudgetName
from hssl.errors import DataError
from hssl.experiments import paper
from hssl.experiments.cell import GridFolder
from hssl.experiments.differences import Difference, difference
from hssl.experiments.manifest import ARTEFACTS, Artefact, Cell, cells
from hssl.experiments.page import document, figure, table
from hssl.experiments.plots import points
from hssl.experiments.record import RunRecord, read_all
from hssl.experiments.tables import DATASETS, MODES, NONE, Summary, provenance, summarise
from hssl.files import write_atomically

_NAME = re.compile(r"(?P<run>.+)-(?P<budget>smoke|quick|paper)-seed(?P<seed>\d+)")
_TITLES: dict[Artefact, str] = {
    "table1": "Table 1: networks with structure",
    "table2": "Table 2: networks without structure",
    "figure2-base-space": "Figure 2, left: the extent of g0",
    "figure2-distance": "Figure 2, right: the distance between g1 and g2",
    "beyond": "Beyond the paper",
}
_AXES: dict[Artefact, str] = {
    "figure2-base-space": "extent of g0",
    "figure2-distance": "largest squared distance of g1 and g2",
}
MARGIN = 2.0
"""Points of accuracy within which A-SSL and H-SSL count as equal in the test of equivalence."""

# Rows are sorted by the number in data-value where a cell has one, else by their text.
_SORT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const value = (row, column) => {
    const cell = row.cells[column], number = parseFloat(cell.dataset.value);
    return cell.dataset.value === undefined ? cell.textContent.trim() : (isNaN(number) ? -Infinity : number);
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const sort = () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        const order = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    };
    head.tabIndex = 0;
    head.addEventListener('click', sort);
    head.addEventListener('keydown', (event) => { if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault(); sort(); } });
  });
}
"""


@dataclass(frozen=True)
class Entry:
    """A cell of the manifest with its runs.

    Attributes:
        cell: what the paper has there.
        records: of its runs, by seed.
        failed: how many runs failed.
    """

    cell: Cell
    records: tuple[RunRecord, ...]
    failed: int

    @property
    def readout(self) -> Summary | None:
        """Test accuracy of the readout, the measure of the paper."""
        return summarise(
            None if record.evaluation.readout is None else record.evaluation.readout.accuracy for record in self.records
        )

    @property
    def paper(self) -> Summary | None:
        number = self.cell.expected
        return None if number is None else Summary(number.mean, number.std, paper.RUNS)

    @property
    def to_paper(self) -> Difference | None:
        """Ours minus the paper's."""
        return difference(self.readout, self.paper)


def entries(records: Mapping[str, RunRecord], failures: Iterable[str] = ()) -> list[Entry]:
    """The cells that runs were made for, in the order of the paper.

    Args:
        records: by the name of their run, 'RECIPE-BUDGET-seedN'.
        failures: names of runs that failed.

    Raises:
        DataError: a name that is none, or runs of several budgets, which no table may mix.
    """
    by_run: dict[str, list[RunRecord]] = {}
    failed: dict[str, int] = {}
    budgets = set()
    for name in (*records, *failures):
        match = _NAME.fullmatch(name)
        if match is None:
            raise DataError(f"'{name}' is not the name of a run", accepted="RECIPE-BUDGET-seedN")
        budgets.add(match["budget"])
        if name in records:
            by_run.setdefault(match["run"], []).append(records[name])
        else:
            failed[match["run"]] = failed.get(match["run"], 0) + 1
    if len(budgets) > 1:
        raise DataError(
            "these runs are of several budgets", arrived=", ".join(sorted(budgets)), remedy="one folder for each budget"
        )
    every = cells(ARTEFACTS, tuple(paper.EPOCHS), budget=cast(BudgetName, next(iter(budgets), "quick")))
    # A study whose only run is one of the paper's has not been begun.
    of_the_paper = {cell.run for cell in every if cell.study is None}
    begun = {
        cell.study for cell in every if cell.run not in of_the_paper and (cell.run in by_run or cell.run in failed)
    }
    return [
        Entry(cell, tuple(sorted(by_run.get(cell.run, ()), key=lambda record: record.seed)), failed.get(cell.run, 0))
        for cell in every
        if (cell.run in by_run or cell.run in failed) and (cell.study is None or cell.study in begun)
    ]


def lines(found: Sequence[Entry]) -> list[tuple[str, ...]]:
    """A line a cell for the terminal: where it stands, its run, ours, how many runs, the paper's, the difference."""
    return [
        (
            _TITLES[entry.cell.artefact].split(":")[0],
            entry.cell.run,
            _text(entry),
            str(len(entry.records)),
            NONE if entry.paper is None else str(entry.paper),
            _interval(entry.to_paper),
        )
        for entry in found
    ]


def write_reproduction(out: Path) -> Path:
    """Write `report.html` and `report.md` from the records and failures in a folder. Returns the page's path.

    Raises:
        DataError: there is no record, or one does not hold.
    """
    folder = GridFolder(out)
    files = sorted((out / "records").glob("*.json"))
    if not files:
        raise DataError(f"there are no records in {out / 'records'}", remedy="hssl reproduce makes them")
    records = dict(zip((file.stem for file in files), read_all(out / "records"), strict=True))
    failures = {
        file.stem: folder.failure(file.stem) or "" for file in sorted((out / "failures").glob("*.txt"))
        if file.stem not in records
    }  # fmt: skip
    page = out / "report.html"
    write_atomically(out / "report.md", markdown(records, failures))
    write_atomically(page, reproduction_page(records, failures))
    return page


def reproduction_page(records: Mapping[str, RunRecord], failures: Mapping[str, str]) -> str:
    """The page as text: the same records give the same page."""
    found = entries(records, failures)
    title = f"Homomorphic self-supervised learning, reproduced: {_budget(records)} budget"
    sections = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{html.escape(_lead(found))}</p>', _claims(found)]
    for artefact in ARTEFACTS:
        here = [entry for entry in found if entry.cell.artefact == artefact]
        if here:
            sections.append(f"<h2>{_TITLES[artefact]}</h2>")
            if artefact == "beyond":
                rows = [
                    (e.cell.study or "", e.cell.variant or "", e.cell.run, _text(e), str(len(e.records))) for e in here
                ]
                sections.append(table(("Study", "Variant", "Run", "Accuracy", "Runs"), rows))
                continue
            sections.append(_paper_table(artefact, here) if artefact.startswith("table") else _points(artefact, here))
    made = html.escape(provenance(list(records.values())))
    sections += [_costs(found), _failures(failures), f'<p class="caption">{made}</p>']
    return document(title, "\n".join(section for section in sections if section), _SORT)


def markdown(records: Mapping[str, RunRecord], failures: Mapping[str, str]) -> str:
    """The tables as Markdown, a line a cell."""
    found = entries(records, failures)
    parts = [f"# Reproduction, {_budget(records)} budget", _lead(found)]
    parts += [f"- {statement}" for statement in statements(found)]
    for artefact in ARTEFACTS:
        here = [entry for entry in found if entry.cell.artefact == artefact]
        if not here:
            continue
        lines = ["| cell | ours | runs | paper | ours - paper (95 %) |", "|---|---:|---:|---:|---:|"]
        for entry in here:
            place = entry.cell.variant or _place(entry.cell)
            label = entry.cell.run if artefact.startswith("table") else f"{entry.cell.run} ({place})"
            paper_text = NONE if entry.paper is None else str(entry.paper)
            lines.append(
                f"| {label} | {_text(entry)} | {len(entry.records)} | {paper_text} | {_interval(entry.to_paper)} |"
            )
        parts += [f"## {_TITLES[artefact]}", "\n".join(lines)]
    if failures:
        told = [f"- {name}: {(text.splitlines() or ['no message'])[0]}" for name, text in failures.items()]
        parts += ["## Failed", "\n".join(told)]
    parts.append(provenance(list(records.values())))
    return "\n\n".join(parts) + "\n"


def statements(found: Sequence[Entry]) -> list[str]:
    """The two claims of the theory, tested: one sentence a row of the tables."""
    said = []
    by_row: dict[tuple[Artefact, str], dict[str, Entry]] = {}
    for entry in found:
        if entry.cell.artefact in ("table1", "table2"):
            by_row.setdefault((entry.cell.artefact, entry.cell.stem.name), {})[entry.cell.mode] = entry
    for (artefact, stem), modes in by_row.items():
        if not {"a-ssl", "h-ssl"} <= modes.keys():
            continue
        told = difference(modes["h-ssl"].readout, modes["a-ssl"].readout)
        if told is None:
            said.append(f"{stem}: H-SSL against A-SSL cannot be tested: that takes two runs of each.")
        elif artefact == "table1":
            equal = told.within(MARGIN)
            verdict = (
                f"equal to within {MARGIN:g} points"
                if equal < 0.05
                else "different"
                if told.p < 0.05
                else "neither shown to be equal nor to be different"
            )
            said.append(
                f"{stem}, with structure: H-SSL - A-SSL {_interval(told)} points, p = {told.p:.2g}; equivalence to "
                f"within {MARGIN:g} points p = {equal:.2g}: {verdict}."
            )
        else:
            verdict = (
                "H-SSL stays behind, as it should"
                if told.high < 0
                else "H-SSL is ahead, against the theory"
                if told.low > 0
                else "not shown to differ"
            )
            said.append(
                f"{stem}, without structure: H-SSL - A-SSL {_interval(told)} points, p = {told.p:.2g}: {verdict}."
            )
    return said


def _claims(found: Sequence[Entry]) -> str:
    lines = "".join(f"<li>{html.escape(text)}</li>" for text in statements(found))
    if not lines:
        return ""
    return (
        '<div class="note"><h3>What the theory says, tested</h3><p>With structure A-SSL and H-SSL are one training; '
        "without it H-SSL has nothing to learn from. Welch's t-test, 95 % intervals; equivalence by two one-sided "
        f"tests.</p><ul>{lines}</ul></div>"
    )


def _paper_table(artefact: Artefact, here: Sequence[Entry]) -> str:
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
    apart = "" if entry.to_paper is None else f'<span class="below">{_interval(entry.to_paper)}</span>'
    failed = f'<span class="below">{entry.failed} failed</span>' if entry.failed else ""
    return (
        f'<td data-value="{entry.readout.mean!r}" data-cell="{entry.cell.run}"><b>{entry.readout}</b> '
        f'<span class="std">n {entry.readout.count}</span>{theirs}{apart}{failed}</td>'
    )


def _points(artefact: Artefact, here: Sequence[Entry]) -> str:
    figures, lines = [], []
    for number, stem in enumerate(dict.fromkeys(entry.cell.stem for entry in here)):
        assert stem.row is not None
        of_stem = [entry for entry in here if entry.cell.stem is stem]
        shown = [(_place(entry.cell), entry.readout) for entry in of_stem if entry.readout is not None]
        heading = f"{DATASETS[stem.row[0]]} · {stem.row[1]}"
        plot = points(shown, _AXES[artefact], f"{artefact}{number}") if shown else None
        figures.append(figure(heading, plot, "H-SSL, readout; bar: sample standard deviation"))
        lines += [
            (heading, _place(entry.cell), _text(entry), str(len(entry.records)), entry.cell.run) for entry in of_stem
        ]
    return (
        f'<div class="plots">{"".join(figures)}</div><details><summary>As numbers</summary>'
        f"{table(('', _AXES[artefact], 'Accuracy', 'Runs', 'Run'), lines)}</details>"
    )


def _costs(found: Sequence[Entry]) -> str:
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


def _failures(failures: Mapping[str, str]) -> str:
    if not failures:
        return ""
    lines = "".join(
        f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"
        for name, text in failures.items()
    )
    return f"<h2>Failed</h2>{lines}"


def _modes(here: Sequence[Entry]) -> list[str]:
    return [mode for mode in MODES if any(entry.cell.mode == mode for entry in here)]


def _place(cell: Cell) -> str:
    return "any" if cell.value is None else f"{cell.value:g}"


def _text(entry: Entry) -> str:
    if entry.readout is None:
        return f"{entry.failed} failed" if entry.failed else NONE
    return str(entry.readout)


def _interval(told: Difference | None) -> str:
    return NONE if told is None else f"{told.mean:+.1f} ({told.low:+.1f} to {told.high:+.1f})".replace("-", "−")


def _budget(records: Mapping[str, RunRecord]) -> str:
    return next(iter(records.values())).budget if records else "no"


def _lead(found: Sequence[Entry]) -> str:
    runs = {id(record) for entry in found for record in entry.records}
    compared = [entry for entry in found if entry.to_paper is not None]
    inside = sum(told.low <= 0 <= told.high for entry in compared if (told := entry.to_paper) is not None)
    text = f"{len(found)} cells of the paper's tables and figures from {len(runs)} runs."
    if compared:
        text += f" In {inside} of {len(compared)} cells the paper's number lies within the 95 % interval of ours."
    return text
