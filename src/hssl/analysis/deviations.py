"""Where runs were made with other settings than their recipes, told in sentences. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hssl.analysis.entries import Entry
from hssl.config import Config, flat_fields, override, parse
from hssl.errors import HsslError
from hssl.runs.record import RunRecord

_NAMED = 4
_UNTOLD = ("trainer.accelerator", "trainer.checkpoint_every_epochs", "trainer.evaluate_every_epochs", "trainer.threads")


def deviations(found: Sequence[Entry]) -> list[str]:
    """A sentence a field; empty where every run has the settings of its recipe and cell.

    Fields that say where a run computes or what it keeps are left out. A field that is younger than a record has its
    default there.
    """
    where: dict[tuple[str, str], dict[str, list[int]]] = {}
    seeds: dict[str, int] = {}
    for entry in {entry.cell.run: entry for entry in found}.values():
        seeds[entry.cell.run] = len(entry.records)
        for record in entry.records:
            for name, has, wanted in _differing(record, entry.cell.configuration(record.budget, record.seed, {})):
                of_run = where.setdefault((name, f"{_told(has)} instead of {_told(wanted)}"), {})
                of_run.setdefault(entry.cell.run, []).append(record.seed)
    sentences = []
    for (name, values), runs in where.items():
        named = [
            run + ("" if len(some) == seeds[run] else f" (seed {', '.join(map(str, some))} alone)")
            for run, some in runs.items()
        ]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        sentences.append(f"{name} is {values} in {', '.join(named[:_NAMED])}{more}.")
    if any(len(some) < seeds[run] for runs in where.values() for run, some in runs.items()):
        sentences.append("Where the seeds of a run have different settings, its mean and spread are of no one setting.")
    return sentences


def _differing(record: RunRecord, wanted: Config) -> Iterable[tuple[str, Any, Any]]:
    if record.identity == wanted.identity():
        return
    try:
        tree = parse(record.configuration).model_dump(mode="json")
    except HsslError:  # of a later version
        tree = record.configuration
    has, wants = flat_fields(tree), flat_fields(wanted.model_dump(mode="json"))
    for name in sorted(has.keys() | wants.keys()):
        value, other = has.get(name), wants.get(name)
        if value != other and name not in _UNTOLD and _changes_numbers(wanted, name, value):
            yield name, value, other


def _changes_numbers(config: Config, name: str, value: Any) -> bool:
    try:
        return override(config, {name: value}).identity() != config.identity()
    except HsslError:  # it does not go with the others of the recipe
        return True


def _told(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
