"""The records of a grid's folder, each held against the name of its file. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from hssl.analysis.entries import NAME
from hssl.errors import DataError
from hssl.runs.record import RunRecord, read


def grid_records(folder: Path) -> tuple[dict[str, RunRecord], dict[str, str]]:
    """Every record of `folder/records` by the name of its run, and what is wrong with those that do not hold.

    A run counts once: a record under another name than its own, or one whose configuration and seed another one has,
    is among the latter.

    Raises:
        DataError: there is no file.
    """
    files = sorted((folder / "records").glob("*.json"))
    if not files:
        raise DataError(f"there are no records in {folder / 'records'}", hint="hssl reproduce makes them")
    records: dict[str, RunRecord] = {}
    wrong: dict[str, str] = {}
    names: dict[str, str] = {}
    for file in files:
        try:
            record = _read(file)
            if record.identity in names:
                raise DataError(
                    f"the record {file} is of a run that has one already", got=names[record.identity],
                    hint="take one of them away",
                )  # fmt: skip
        except DataError as error:
            wrong[file.stem] = str(error)
        else:
            records[file.stem] = record
            names[record.identity] = file.stem
    return records, wrong


def _read(file: Path) -> RunRecord:
    record = read(file)
    match = NAME.fullmatch(file.stem)
    if match is None:
        raise DataError(f"'{file.stem}' is not the name of a run", expected="RECIPE-BUDGET-seedN")
    if (
        (record.budget, record.seed) != (match["budget"], int(match["seed"]))
        or not f"{match['run']}-".startswith(f"{record.recipe}-")
    ):  # fmt: skip
        raise DataError(
            f"the record {file} is of another run than its name says",
            got=f"{record.recipe}, budget {record.budget}, seed {record.seed}",
            hint="a record keeps the name that it was written under",
        )
    return record
