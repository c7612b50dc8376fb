"""Parquet files in the Hugging Face image layout. Only the chosen rows are ever decoded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hssl.data.arrow import class_names, encoded, image_column, label_column, label_values
from hssl.data.split import HELD_OUT_NAMES, Encoded, EncodedPixels, Indices, Source, Split, find_held_out
from hssl.errors import DataError

_ROWS = 1024
ACCEPTED = "parquet files train*.parquet and test*, valid* or val*.parquet with a column 'image' of {bytes, path}"


def find_parquet(root: Path) -> list[Path] | None:
    """The parquet files in `root`, in its 'data' folder, or in the only sub-folder that has any."""
    for folder in (root, root / "data"):
        if files := sorted(folder.glob("*.parquet")):
            return files
    below = [
        files for folder in sorted(root.iterdir()) if folder.is_dir() and (files := sorted(folder.glob("*.parquet")))
    ]
    return below[0] if len(below) == 1 else None


def read_parquet(files: list[Path]) -> Source:
    """Splits told by the file names: train*, and test*, valid* or val*; several shards of a split are joined in order.

    Raises:
        DataError: no training file, a corrupt file, no image column, or labels that do not fit.
    """
    shards: dict[str, list[Path]] = {}
    for path in files:
        name = path.name.lower()
        split = next((split for split in ("train", *HELD_OUT_NAMES) if name.startswith(split)), None)
        if split is not None:
            shards.setdefault(split, []).append(path)
    if "train" not in shards:
        raise DataError(
            f"{files[0].parent} has no training file",
            arrived=", ".join(path.name for path in files[:5]) + (" ..." if len(files) > 5 else ""),
            accepted=ACCEPTED,
            remedy="name the file of training images train.parquet",
        )
    train, names = _open_split("train", shards["train"])
    held_out = tuple(_open_split(name, shards[name])[0] for name in find_held_out(shards))
    return Source(f"parquet files in {files[0].parent}", train, held_out, names)


def _open_split(name: str, paths: list[Path]) -> tuple[Split, tuple[str, ...] | None]:
    files = [_open(path) for path in paths]
    columns = [image_column(file.schema_arrow, path) for file, path in zip(files, paths, strict=True)]
    label = label_column(files[0].schema_arrow)
    labels = None
    if label is not None:
        try:
            chunks = [chunk for path in paths for chunk in pq.read_table(path, columns=[label]).column(0).chunks]
            column = pa.chunked_array(chunks) if chunks else pa.chunked_array([], type=pa.int64())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise _damaged(paths[0], error) from error
        labels = label_values(column, paths[0])
    count = sum(file.metadata.num_rows for file in files)

    def read(indices: Indices) -> Iterator[Encoded]:
        first = 0
        for path, image in zip(paths, columns, strict=True):
            yield from _read_rows(path, image, first, indices)
            first += _open(path).metadata.num_rows

    return Split(name, EncodedPixels(count, read, tuple(paths)), labels), class_names(files[0].schema_arrow)


def _read_rows(path: Path, column: str, first: int, indices: Indices) -> Iterator[Encoded]:
    """The rows of one file whose position in the split, `first` + row, is among the ascending `indices`."""
    file = _open(path)
    begin = first
    for group in range(file.metadata.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        if np.searchsorted(indices, begin) == np.searchsorted(indices, end):
            begin = end
            continue
        try:
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[column]):
                low, high = np.searchsorted(indices, (begin, begin + batch.num_rows))
                rows = indices[low:high] - begin
                for row, cell in zip(rows, batch.column(0).take(pa.array(rows)).to_pylist(), strict=True):
                    yield encoded(cell, f"row {begin + row - first} of {path.name}")
                begin += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return DataError(f"{path} is not a readable parquet file", arrived=reason, remedy="fetch or copy the file again")
