"""Tables of images in the Hugging Face layout: a column of `{bytes, path}`, and perhaps a column of labels.

`datasets` opens what it has saved or fetched. Parquet files are read in place: `datasets` would first copy them whole
to its cache, and importing it takes longer than reading most of them.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hssl.data.folder import folders, is_hidden
from hssl.data.labels import join_labels
from hssl.data.split import (
    Encoded,
    EncodedPixels,
    Indices,
    Labelled,
    Source,
    Split,
    by_meaning,
    first_line,
    meaning,
    meaning_of_file,
    quoted,
)
from hssl.errors import DataError

ACCEPTED = (
    "parquet files whose names say train and test, valid or val, with a column 'image' of {bytes, path}; "
    "a folder written by datasets.save_to_disk"
)
_ROWS = 256
_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")
# Older versions of `datasets` add a hash to the name.
_SHARD = re.compile(r"(.*?)(\d+)-of-(\d+)(-[0-9a-f]+)?")


class Table(NamedTuple):
    """Rows with one schema.

    Attributes:
        name: for people, without the place on the machine.
        place: for people who look for it.
        schema: Arrow's, with the metadata that `datasets` writes.
        rows: how many.
        column: gives a whole column by its name, as an Arrow array.
        cells: gives what a column holds at ascending rows.
        files: all that the rows lie in.
        version: tells apart what is read from the same files.
    """

    name: str
    place: str
    schema: pa.Schema
    rows: int
    column: Callable[[str], Any]
    cells: Callable[[str, Indices], Iterator[Any]]
    files: tuple[Path, ...]
    version: str = ""


def parquet_table(path: Path, name: str) -> Table:
    """A parquet file.

    Raises:
        DataError: it cannot be read, now or later.
    """

    @contextmanager
    def opened() -> Iterator[Any]:
        try:
            yield pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path} is not a readable parquet file",
                got=first_line(error),
                hint="fetch or copy the file again",
            ) from error

    def column(name: str) -> Any:
        with opened() as file:
            return file.read(columns=[name]).column(0)

    def cells(name: str, rows: Indices) -> Iterator[Any]:
        with opened() as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = np.cumsum(sizes, dtype=np.int64)
            groups = np.unique(np.searchsorted(ends, rows, side="right")).tolist()
            # Which of the rows of these groups, that are read one after the other.
            wanted = np.isin(np.concatenate([np.arange(ends[at] - sizes[at], ends[at]) for at in groups]), rows)
            for batch in file.iter_batches(_ROWS, groups, columns=[name]):
                yield from batch.column(0).filter(pa.array(wanted[: len(batch)])).to_pylist()
                wanted = wanted[len(batch) :]

    with opened() as file:
        return Table(name, str(path), file.schema_arrow, file.metadata.num_rows, column, cells, (path,))


def saved_table(dataset: Any, split: str, description: str) -> Table:
    """A `datasets.Dataset`, whatever was selected from its files, or shuffled."""
    # As Arrow, so that images stay encoded.
    arrow = dataset.with_format("arrow")

    def column(name: str) -> Any:
        return arrow.select_columns([name])[:].column(0)

    def cells(name: str, rows: Indices) -> Iterator[Any]:
        table = arrow.select_columns([name])
        for begin in range(0, len(rows), _ROWS):
            yield from table[rows[begin : begin + _ROWS].tolist()].column(0).to_pylist()

    name = f"split '{split}'"
    files = tuple(Path(file["filename"]) for file in dataset.cache_files)
    schema, place = dataset.features.arrow_schema, f"{name} of the {description}"
    return Table(name, place, schema, len(dataset), column, cells, files, str(dataset._fingerprint))


def find_parquet(root: Path) -> list[Path]:
    """The parquet files in `root`, in its 'data' folder, in the only sub-folder that has any, or in those of splits."""
    bases = [base for base in (root, root / "data") if base.is_dir()]
    for base in bases:
        if files := _parquet_in(base):
            return files
    below = {folder: files for base in bases for folder in folders(base) if (files := _parquet_in(folder))}
    if len(below) > 1 and not any(meaning(folder.name) for folder in below):
        return []
    return [path for files in below.values() for path in files]


def _parquet_in(folder: Path) -> list[Path]:
    names = [entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".parquet")]
    return [folder / name for name in sorted(names) if not is_hidden(name)]


def read_parquet(root: Path, paths: Sequence[Path]) -> Source:
    """Splits told by the names of the files below `root`, or of their folders; shards are joined in order.

    Raises:
        DataError: no training file, shards that are missing or belong to different sets, a corrupt file, no image
            column, or labels that do not fit.
    """
    splits: dict[str, list[Path]] = {}
    for path in paths:
        below = path.parent.name if path.parent != root else ""
        splits.setdefault(meaning_of_file(path.stem) or meaning(below) or path.name, []).append(path)

    def opened(name: str) -> list[Table]:
        _check_shards(name, splits[name])
        return [parquet_table(path, path.relative_to(root).as_posix()) for path in splits[name]]

    return read_tables(f"parquet files in {paths[0].parent}", splits, opened)


def _check_shards(split: str, files: Sequence[Path]) -> None:
    """Raises DataError where the names of a split's files tell that others belong to them, or that some do not."""
    shards = [shard for path in files if (shard := _SHARD.fullmatch(path.stem))]
    if not shards:
        return
    start, total = shards[0][1], int(shards[0][3])
    numbers = sorted(int(shard[2]) for shard in shards if (shard[1], int(shard[3])) == (start, total))
    # Some count from 1.
    first = 1 if total in numbers and 0 not in numbers else 0
    if len(files) != total or numbers != list(range(first, first + total)):
        missing = sorted(set(range(first, first + total)) - set(numbers))
        raise DataError(
            f"the files of the split '{split}' in {files[0].parent} are not one complete set of shards",
            got=f"{len(files)} files: {quoted(path.name for path in files)}",
            expected=f"{total} files: {start}{shards[0][2]}-of-{shards[0][3]} and so on",
            hint=f"add number {', '.join(map(str, missing[:9]))}" if missing else "move files of other sets away",
        )


def read_tables(description: str, splits: Iterable[str], opened: Callable[[str], Sequence[Table]]) -> Source:
    """A data set whose splits lie in one table or more.

    Raises:
        DataError: no training split, no image column, or labels that do not fit.
    """
    train, held_out, unused = by_meaning(splits)
    if not train:
        raise DataError(
            f"there is no split 'train' in the {description}",
            got=quoted(splits) or "no split at all",
            expected="a split, or a file, whose name says train, and perhaps one that says test or validation",
            hint="give the training images that name",
        )
    notes = [f"not used: {quoted(unused)}"] if (unused := train[1:] + unused) else []
    read, label = [], None
    for name in (train[0], *held_out):
        tables = opened(name)
        column = _label_column(name, tables, label, notes)
        label = label or column
        read.append(_read_split(name, tables, column, notes))
    return Source(description, read[0], tuple(read[1:]), tuple(dict.fromkeys(notes)))


def _read_split(name: str, tables: Sequence[Table], label: str | None, notes: list[str]) -> Split:
    images = [_image_column(table, notes) for table in tables]
    labels, class_names = (None, None) if label is None else _labels(label, tables, notes)
    ends = np.cumsum([table.rows for table in tables], dtype=np.int64)

    def read(indices: Indices) -> Iterator[Encoded]:
        for table, image, end in zip(tables, images, ends, strict=True):
            first = end - table.rows
            rows = indices[np.searchsorted(indices, first) : np.searchsorted(indices, end)] - first
            if len(rows):
                for row, cell in zip(rows, table.cells(image, rows), strict=True):
                    yield _encoded(cell, f"row {row} of {table.name}")

    files = tuple(path for table in tables for path in table.files)
    pixels = EncodedPixels(int(ends[-1]), read, files, "".join(table.version for table in tables))
    return Split(name, pixels, labels, class_names)


def _encoded(cell: Any, place: str) -> Encoded:
    """One cell of an image column. `place` names it where it has no path of its own."""
    if isinstance(cell, bytes):
        return Encoded(place, cell)
    path, content = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (None, None)
    return Encoded(f"{path} ({place})" if path else place, content if content is not None or not path else Path(path))


def _image_column(table: Table, notes: list[str]) -> str:
    """The column that is named `image` or `img`, else the first one of `{bytes, path}` structs."""
    kinds = {field.name: field.type for field in table.schema}
    structs = [name for name, kind in kinds.items() if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0]
    binary = [name for name, kind in kinds.items() if pa.types.is_binary(kind) or pa.types.is_large_binary(kind)]
    for usual in _IMAGE_COLUMNS:
        if found := [name for name in structs + binary if name.lower() == usual]:
            return str(found[0])
    if not structs:
        raise DataError(
            f"{table.place} has no column of images",
            got=_columns(table),
            expected="a column 'image' or 'img' of {bytes, path}, with encoded images",
            hint="write the images as datasets.Image, or give a folder of image files as --data.root",
        )
    if len(structs) > 1:
        notes.append(f"of several columns of images '{structs[0]}' is used, not {quoted(structs[1:])}")
    return str(structs[0])


def _label_column(split: str, tables: Sequence[Table], preferred: str | None, notes: list[str]) -> str | None:
    """The column that holds the labels of all tables, None without.

    The first of: that of another split, a usual name that is declared as `ClassLabel`, any column that is so declared,
    a usual name. All other columns that could be meant are told.
    """
    columns = list(dict.fromkeys(name for table in tables for name in table.schema.names))
    declared = list(dict.fromkeys(name for table in tables for name in _class_names(table)))
    usual = [name for wanted in _LABEL_COLUMNS for name in columns if name.lower() == wanted]
    found = list(dict.fromkeys([name for name in usual if name in declared] + declared + usual))
    found.sort(key=lambda name: name != preferred)
    if not found:
        if unused := [field.name for field in tables[0].schema if _is_integer(field.type) or _is_word(field.type)]:
            notes.append(
                f"the split '{split}' has no labels: none of its columns is named 'label' or declared as ClassLabel, "
                f"{quoted(unused)} neither"
            )
        return None
    if found[0] not in usual or len(found) > 1:
        others = f", not from {quoted(found[1:])}" if len(found) > 1 else ""
        notes.append(f"the labels of the split '{split}' are read from the column '{found[0]}'{others}")
    return str(found[0])


def _class_names(table: Table) -> dict[str, tuple[str, ...]]:
    """The names of each column that the metadata of `datasets` declare as `ClassLabel`.

    Read as they are, since `datasets.Features` ignores them where the numbers are not 64 bits wide.
    """
    try:
        features = dict(json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (KeyError, TypeError, ValueError):
        return {}
    return {
        name: tuple(map(str, feature["names"]))
        for name, feature in features.items()
        if name in table.schema.names and isinstance(feature, dict)
        if isinstance(feature.get("names"), list) and feature["names"]
    }


def _labels(
    column: str, tables: Sequence[Table], notes: list[str]
) -> tuple[npt.NDArray[Any] | None, tuple[str, ...] | None]:
    """Labels of all tables, None when no row has one."""
    parts = [
        Labelled(table.name, values, None if values.dtype.kind == "U" else _class_names(table).get(column))
        for table in tables
        if (values := _values(column, table)) is not None
    ]
    if parts and len(parts) < len(tables):
        without = next(table for table in tables if table.name not in {part.where for part in parts})
        raise DataError(
            f"{without.place} has no labels in the column '{column}', other files of the split do",
            got=_columns(without),
            expected="all files of a split with labels in the same column, or none",
            hint=f"add the column '{column}' to this file, or drop it everywhere",
        )
    return join_labels(parts, notes) if parts else (None, None)


def _values(column: str, table: Table) -> npt.NDArray[Any] | None:
    """Integers or strings [N]; None without such a column, or when every row is null or -1, which means unlabelled."""
    if column not in table.schema.names:
        return None
    cells = table.column(column)
    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    if not len(cells):
        return np.empty(0, dtype=np.int64)
    if cells.null_count == len(cells):
        return None
    if cells.null_count:
        raise DataError(
            f"{table.place} lacks some labels",
            got=f"{cells.null_count:,} of {len(cells):,} rows without a value in the column '{column}'",
            hint="label every image or none",
        )
    if _is_integer(kind):
        with suppress(pa.ArrowInvalid):
            values = cells.cast(kind).cast(pa.int64()).to_numpy()
            return None if (values == -1).all() else values
    if _is_word(kind):
        return np.asarray(cells.to_pylist(), dtype=np.str_)
    raise DataError(
        f"{table.place} has labels of an unfit type",
        got=f"{kind} in the column '{column}'",
        expected="integers below 2^63 or strings",
    )


def _is_integer(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _is_word(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _columns(table: Table) -> str:
    return "columns " + (", ".join(f"{field.name} ({field.type})" for field in table.schema) or "none")
