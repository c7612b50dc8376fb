"""What runs of a budget show and what they do not, in sentences; how their protocol bears on a comparison."""

import math
from collections.abc import Sequence
from typing import cast

from hssl.analysis.chance import chance_loss, ended_at_chance
from hssl.analysis.summaries import comparison_table
from hssl.paper import numbers as paper
from hssl.runs.record import RunRecord

WHAT_WAS_COMPARED = (
    "A-SSL (augmentation-based self-supervised learning) shows a network two transformed copies of each image and "
    "teaches it to describe both alike; H-SSL (homomorphic self-supervised learning) shows it each image once and "
    "compares two places of the network's own structured features instead. "
    "If the network is equivariant and both draw the same pairs, theory says that they are the same training; "
    "Frozen (random weights, never trained) and Supervised (trained with labels) stand beside them for orientation."
)


def budget_statement(records: Sequence[RunRecord]) -> list[str]:
    """What these runs show and what they do not, one sentence an entry."""
    statements = share_statement(records)
    if not statements:
        statements.append("The paper has no numbers for these images. The runs compare the modes at one budget.")
    statements += protocol_statements(records)
    fewest = min(len(row.records) for row in comparison_table(records))
    statements.append(
        "Where a row has a single run, nothing is known about its spread: a difference of a few points may be chance."
        if fewest == 1
        else f"With {fewest} seeds a row the spread is uncertain: what sets two ways of training apart may be chance "
        f"below {telling(fewest):.1f} times the spread of its values by seed."
    )
    if not any(record.evaluation.labels for record in records):
        statements.append(
            "The images have no labels, so there is no accuracy: losses and equivariance are all there is to see."
        )
    return statements


def share_statement(records: Sequence[RunRecord]) -> list[str]:
    """How much of the paper's training these runs had, and what that is enough for; empty for other images."""
    shares = _shares_of_the_paper(records)
    if not shares:
        return []
    few, most = (f"{share:.0f}" if share >= 10 else f"{share:.1g}" for share in (100 * min(shares), 100 * max(shares)))
    span = f"{few} %" if few == most else f"{few} to {most} %"
    statements = [
        f"These runs saw {span} of the images that a run of the paper sees (epochs × training images). They show "
        "that the whole path works on real data, and how the modes compare when all get the same budget."
    ]
    if max(shares) < 0.9:
        statements.append(
            "They do not show the accuracies of the paper, which trains for hundreds of epochs: a network that was "
            "trained this briefly can stand below a frozen one."
        )
    return statements


def protocol_statements(records: Sequence[RunRecord]) -> list[str]:
    """What sets the modes apart beside what is compared."""
    statements = []
    transformations = {record.transformation for record in records}
    sampled = sorted({r.transformation for r in records if r.configuration["views"].get("streams") == "sampled"})
    if sampled:
        statements.append(
            f"A-SSL and H-SSL for {' and '.join(sampled)} computed only the streams that their pairs read "
            "(views.streams sampled): BatchNorm saw a sample of what the paper's computation shows it."
        )
    if "translation" in transformations:
        padded = not all(r.configuration["group"].get("circular") for r in records if r.transformation == "translation")
        reach = sorted({_reach(r) for r in records if r.transformation == "translation" and r.mode == "h-ssl"})
        statements.append(
            "For translations the two draw different pairs (A-SSL: shifted images read at one place; H-SSL: two places "
            f"of the map{', ' + ' or '.join(reach) if reach else ''})"
            + (", and zero padding breaks their equivariance at the border, which most places see" if padded else "")
            + ": A-SSL and H-SSL need not agree."
        )
    if "rotation" in transformations:
        statements.append(
            "For quarter turns the two draw the same distribution of pairs: there A-SSL and H-SSL should agree"
            + (
                ", but for BatchNorm: of a pair whose turns are the same, sampled streams show it one row in H-SSL "
                "and two in A-SSL."
                if "rotation" in sampled
                else "."
            )
        )
    statements += chance_statements(records)
    afterwards = [
        record.configuration["evaluation"]["readout_epochs"]
        for record in records
        if record.configuration["evaluation"]["readout"] == "afterwards"
    ]
    if afterwards and any(record.mode == "supervised" for record in records):
        statements.append(
            f"All readouts, that of Supervised too, are fitted anew to the finished network, for {max(afterwards)} "
            "epochs."
        )
    return statements


def _reach(record: RunRecord) -> str:
    """How far apart the places of H-SSL's pairs may be."""
    largest = record.configuration["views"].get("max_distance")
    return "any distance apart" if largest is None else f"at most {largest:g} apart (squared)"


def telling(runs: int) -> float:
    """By how many of its sample deviations a mean over so many seeds must differ from 0 for p < 0.05 in a t-test."""
    from scipy import stats

    return float(stats.t.ppf(0.975, runs - 1)) / math.sqrt(runs)


def chance_statements(records: Sequence[RunRecord]) -> list[str]:
    """Where a contrastive loss ended at chance, a sentence a row of the tables and mode."""
    statements = []
    for row in comparison_table(records):
        ended = sum(map(ended_at_chance, row.records))
        if ended:
            chance = chance_loss(row.records[0])
            statements.append(
                f"The loss of {row.mode_name} in {row.cell} ended at chance ({chance:.2f}, that of pairs that all look "
                f"alike) in {ended} of {len(row.records)} runs: there it had not learned to tell its pairs, whatever a "
                "readout finds in its features."
            )
    return statements


def _shares_of_the_paper(records: Sequence[RunRecord]) -> list[float]:
    """Images seen in training, as a share of what a run of the paper on the same data sees; data of the paper only."""
    shares = []
    for record in records:
        if not in_paper(record.dataset) or record.mode == "frozen":
            continue
        dataset = cast(paper.Dataset, record.dataset)
        images = record.evaluation.data.get("train_images") or record.configuration["data"]["train_images"]
        seen = record.evaluation.epoch * (images or paper.TRAIN_IMAGES[dataset])
        shares.append(seen / (paper.EPOCHS[dataset] * paper.TRAIN_IMAGES[dataset]))
    return shares


def in_paper(dataset: str) -> bool:
    """Whether the paper has numbers for it."""
    return dataset in paper.EPOCHS
