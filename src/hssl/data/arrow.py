"""Image tables in the Hugging Face layout: a column of `{bytes, path}` structs, and perhaps a column of labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hssl.data.split import Encoded
from hssl.errors import DataError

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")


def image_column(schema: pa.Schema, where: object) -> str:
    """The column with the images: `image` or `img`, else any column of `{bytes, path}` structs.

    Raises:
        DataError: there is none.
    """
    structs = [
        field.name for field in schema if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    binary = [field.name for field in schema if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)]
    for name in _IMAGE_COLUMNS:
        if name in structs or name in binary:
            return name
    if structs:
        return str(structs[0])
    raise DataError(
        f"{where} has no column of images",
        arrived="columns " + (", ".join(f"{field.name} ({field.type})" for field in schema) or "none"),
        accepted="a column 'image' or 'img' of {bytes, path}, with encoded images",
        remedy="write the images as datasets.Image, or give a folder of image files as --data.root",
    )


def _holds_bytes(kind: Any) -> bool:
    return bool(pa.types.is_struct(kind)) and kind.get_field_index("bytes") >= 0


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def label_column(schema: pa.Schema) -> str | None:
    """The column with the labels, None when there is none."""
    return next((name for name in _LABEL_COLUMNS if name in schema.names), None)


def class_names(schema: pa.Schema) -> tuple[str, ...] | None:
    """The names of the labels, where the table's metadata declare a `ClassLabel`."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label_column(schema)]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def label_values(column: Any, where: object) -> npt.NDArray[Any] | None:
    """An Arrow column of labels as integers or strings [N]; None when every row is null or -1, which means unlabelled.

    Raises:
        DataError: some labels are missing, or they are neither integers nor strings.
    """
    if len(column) and column.null_count == len(column):
        return None
    if column.null_count:
        raise DataError(
            f"{where} lacks some labels",
            arrived=f"{column.null_count:,} of {len(column):,} rows without a label",
            remedy="label every image or none",
        )
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        values = np.asarray(column.to_pylist(), dtype=np.int64)
        return None if len(values) and (values == -1).all() else values
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray(column.to_pylist(), dtype=np.str_)
    raise DataError(f"{where} has labels of an unfit type", arrived=str(kind), accepted="integers or strings")


def encoded(cell: Any, place: str) -> Encoded:
    """One cell of an image column. `place` names it where it has no path of its own."""
    if isinstance(cell, bytes):
        return Encoded(place, cell)
    if not isinstance(cell, dict):
        return Encoded(place, None)
    path = cell.get("path")
    name = f"{path} ({place})" if path else place
    if cell.get("bytes") is not None:
        return Encoded(name, cell["bytes"])
    return Encoded(name, Path(path) if path else None)
