"""Sections on the paper's tables and figure 2, with our numbers in their places."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.analysis import claims
from hssl.analysis.chance import mostly_at_chance
from hssl.analysis.differences import interval, signed
from hssl.analysis.entries import TITLES, Entry
from hssl.analysis.summaries import DATASETS, MODES, NONE, Summary
from hssl.paper.grid import Artefact
from hssl.paper.identical_pairs import identical_pairs
from hssl.report.document import Line, Number, Plot, Section, Table, accuracy, apart, modes_of
from hssl.report.plots import points
from hssl.report.sections.claims import claim_table

_TEXTS: dict[Artefact, str] = {
    "table1": "Equivariant networks: features of a transformed image are the transformed features of the image.",
    "table2": "The same training on networks that are not equivariant; their features carry the group in name only.",
    "figure2-base-space": "H-SSL compares two sets of elements, of this extent each; 1 is one element, as in table 1.",
    "figure2-distance": "H-SSL draws two group elements no farther apart than this; 'any' allows all, as in table 1.",
}
_AXES: dict[Artefact, str] = {
    "figure2-base-space": "extent of g0",
    "figure2-distance": "largest squared distance of g1 and g2",
}
_CAPTION = (
    "Test accuracy of the paper's readout in percent. Ours: mean ± sample standard deviation over n runs. Then the "
    "paper's; ours minus the paper's with the 95 % interval of that difference alone; and the verdict of the tests of "
    "all accuracies together (below), which is stricter: an interval may leave out zero where the verdict is undecided."
)


def table(artefact: Artefact, found: Sequence[Entry]) -> Section | None:
    """A table as the paper has it, a row a network and a column a mode."""
    here = [entry for entry in found if entry.cell.artefact == artefact]
    if not here:
        return None
    verdicts = {item.row: item.verdict for item in claims.against_paper(found)}
    modes = modes_of(entry.cell.mode for entry in here)
    lines: list[Line] = []
    long: list[Line] = []
    # What is else than in the paper's row, as pairs without a limit, has a line of its own below it.
    for stem, variant in dict.fromkeys((entry.cell.stem, entry.cell.variant) for entry in here):
        of = [entry for entry in here if (entry.cell.stem, entry.cell.variant) == (stem, variant)]
        by_mode: dict[str, Entry] = {entry.cell.mode: entry for entry in of}
        first = of[0].cell
        numbers = [_number(by_mode.get(mode), verdicts) for mode in modes]
        network = first.network + (f", {variant}" if variant else "")
        lines.append((DATASETS[first.dataset], first.transformation, network, *numbers))
    for entry in here:
        theirs = accuracy(entry.paper)
        long.append(
            (
                entry.row,
                entry.training,
                Number(entry.text, None if entry.readout is None else entry.readout.mean, below=_chance(entry)),
                Number(str(len(entry.records)), len(entry.records)),
                Number(theirs.text, theirs.value),
                apart(entry.to_paper),
                verdicts.get(_key(entry), NONE),
            )
        )
    heads = ("Data", "Transformation", "Network", *(MODES[mode] for mode in modes))
    long_heads = ("Row", "Training", "Ours", "Runs", "Paper", "Ours − paper (95 %)", "Tested")
    return Section(
        TITLES[artefact],
        (_TEXTS[artefact],),
        tables=(
            Table(artefact, heads, tuple(lines), f"{_CAPTION} Press a heading to sort.", only="page", names=3),
            Table(f"{artefact}-long", long_heads, tuple(long), _CAPTION, only="markdown"),
        ),
    )


def figure2(artefact: Artefact, found: Sequence[Entry]) -> Section | None:
    """One half of figure 2: accuracy of H-SSL against what is varied, a plot a row."""
    here = [entry for entry in found if entry.cell.artefact == artefact]
    if not here:
        return None
    plots: list[Plot] = []
    lines: list[Line] = []
    for number, stem in enumerate(dict.fromkeys(entry.cell.stem for entry in here)):
        of_stem = [entry for entry in here if entry.cell.stem is stem]
        shown = [(entry.place, entry.readout) for entry in of_stem if entry.readout is not None]
        if shown:
            svg = points(shown, _AXES[artefact], f"{artefact}{number}")
            plots.append(Plot(of_stem[0].row, svg, "H-SSL, readout. Bars: sample standard deviation over runs"))
        first = of_stem[0].readout
        lines += [
            (
                entry.row,
                Number(entry.place, entry.cell.value),
                _point(entry),
                _change(entry, first),
                _identical(entry),
                entry.cell.run,
            )
            for entry in of_stem
        ]
    axis = _AXES[artefact]
    headings = ("Row", axis[0].upper() + axis[1:], "Accuracy", "% change", "% identical", "Run")
    caption = (
        "% change: of the accuracy, against the row's first; what the paper plots. % identical: of the pairs, those "
        "with g1 = g2, where there is nothing to bring together; it changes along the axis too."
    )
    table = Table(artefact, headings, tuple(lines), caption, folded="As numbers")
    claim = claims.FIGURE2[artefact]
    text = f"{_TEXTS[artefact]} The paper prints this figure without numbers, for CIFAR-10; it says: '{claim.said}'."
    trends = claim_table(claim, found, f"{artefact}-trend", _TREND, "Rise along the axis (95 %)")
    return Section(TITLES[artefact], (text,), plots=tuple(plots), tables=(trends, table))


_TREND = (
    "How much accuracy rises from a row's first place to its last, the places one step apart: the linear contrast of "
    "each seed's own runs, tested over the seeds that all places have. Constant is only what is so between any two "
    "places, paired by seed: a hump that rises and falls is none; and nothing is concluded from it where the loss of "
    "most runs at a place ended at chance. Constant accuracies of networks that are not shown to be better than random "
    "weights may be the measure's own. p-values and seeds to decide are as in the tests of the tables."
)


def _identical(entry: Entry) -> Number:
    share = 100 * identical_pairs(entry.cell)
    return Number(f"{share:.0f}" if share >= 10 else f"{share:.1f}", share)


def _change(entry: Entry, first: Summary | None) -> Number:
    if entry.readout is None or first is None:
        return Number(NONE)
    change = 100 * (entry.readout.mean / first.mean - 1)
    return Number(signed(f"{change:+z.1f}"), change)


def _number(entry: Entry | None, verdicts: dict[str, str]) -> Number:
    if entry is None:
        return Number(NONE)
    failed = () if not entry.failed else (f"{entry.failed} failed",)
    if entry.readout is None:
        return Number(failed[0] if failed else NONE)
    theirs = [] if entry.paper is None else [f"paper {entry.paper}"]
    told = [] if entry.to_paper is None else [interval(entry.to_paper), verdicts[_key(entry)]]
    return accuracy(entry.readout, below=(*theirs, *told, *_chance(entry), *failed), run=entry.cell.run)


def _point(entry: Entry) -> Number:
    return Number(entry.text) if entry.readout is None else accuracy(entry.readout, below=_chance(entry))


def _chance(entry: Entry) -> tuple[str, ...]:
    return ("loss at chance",) if mostly_at_chance(entry.records) else ()


def _key(entry: Entry) -> str:
    return f"{entry.row}: {entry.training}"
