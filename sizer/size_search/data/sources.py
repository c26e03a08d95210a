"""Data as Python users hold it (arrays, DataFrames, torch data sets, names of files) as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sizer.base.errors import DataError, UsageError
from sizer.base.units import counted
from sizer.size_search.data.arrays import columns_of
from sizer.size_search.data.file_kinds import read_table
from sizer.size_search.data.memory import require_memory
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.reading.rules import Reading
from sizer.size_search.data.reading.tables import with_text_read
from sizer.size_search.data.table import Table

_EXPECTED = (
    "a pair (X, y) of arrays or DataFrames, a DataFrame, a torch Dataset of pairs, a file's name, sklearn:NAME or "
    "pmlb:NAME"
)


def table_of(data: Any, reading: Reading | None = None) -> Table:
    """Data as a table.

    A pair (X, y) has X (n, ...), flattened to a row an observation, and y (n,) or (n, outputs); one-hot rows are taken
    as classes. ``reading`` says how cells of text are read. Raises UsageError for what is none of the kinds of data,
    DataError for what cannot be read.
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, (str, Path)):
        return read_table(data, reading)
    if _is_frame(data):
        return with_text_read(Table("DataFrame", _with_text_names(data)), reading or Reading())
    if isinstance(data, (tuple, list)) and len(data) == 2:
        pair = _of_pair(data[0], data[1], "arrays")
        return with_text_read(pair, (reading or Reading())._replace(targets=pair.targets))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, np.ndarray):
        return _of_dataset(data)
    if type(data).__mro__[-2].__name__ == "Dataset" or hasattr(data, "__iter__"):
        raise UsageError(f"data of type {type(data).__name__} is no map-style data set; expected {_EXPECTED}")
    raise UsageError(f"data of type {type(data).__name__} is given; expected {_EXPECTED}")


def _is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "iloc")


def _with_text_names(frame: Any) -> Any:
    """The frame with names of text and rows counted from 0."""
    named = frame.reset_index(drop=True)
    named.columns = [str(name) for name in named.columns]
    if len(set(named.columns)) < len(named.columns):
        twice = next(name for name in named.columns if list(named.columns).count(name) > 1)
        raise DataError(f"the data has two columns of the name {twice!r}; rename one")
    return named


def _of_pair(features: Any, targets: Any, name: str) -> Table:
    import pandas as pd

    left = _with_text_names(features) if _is_frame(features) else columns_of(_array(features, "X"), "x")
    right, kind = _target_frame(targets)
    if len(left) != len(right):
        raise DataError(f"X has {counted(len(left), 'row')} and y has {len(right)}; expected as many")
    clash = [column for column in right.columns if column in left.columns]
    right = right.rename(columns={column: f"target {column}" for column in clash})
    return Table(name, pd.concat([left, right], axis=1), tuple(right.columns), kind)


def _target_frame(targets: Any) -> tuple[Any, str | None]:
    """Targets as columns; the kind where their form says it."""
    if _is_frame(targets):
        return _with_text_names(targets), None
    name = getattr(targets, "name", None)
    array = np.asarray(targets) if name is not None else _array(targets, "y")
    if _is_one_hot(array):
        return columns_of(array.argmax(axis=1), "target"), CLASSIFICATION
    return columns_of(array, "target" if name is None else str(name)), None


def _is_one_hot(array: Any) -> bool:
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return False
    return bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all())


def _array(values: Any, name: str) -> Any:
    """Values as an array (n, ...): tensors from wherever they are, sparse matrices filled."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    elif hasattr(values, "toarray"):
        require_memory(f"{name}, sparse, as a full matrix", 8 * values.shape[0] * values.shape[1])
        values = values.toarray()
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(f"{name} has rows of different lengths; expected as many values in each") from None
    if array.ndim == 0:
        raise UsageError(f"{name} is {str(values)[:40]!r}; expected one row an observation")
    return array


def _of_dataset(data: Any) -> Table:
    """A map-style torch Dataset of pairs (x, y). Whole-number labels are classes, as is torch's custom."""
    tensors = getattr(data, "tensors", None)
    if tensors is not None and len(tensors) == 2:
        features, targets = tensors
    else:
        features, targets = _items(data)
    table = _of_pair(features, targets, type(data).__name__)
    labels = _array(targets, "y")
    is_labels = labels.dtype.kind in "iu" and labels.size == len(labels)
    return Table(table.name, table.frame, table.targets, CLASSIFICATION if is_labels else table.kind)


def _items(data: Any) -> tuple[Any, Any]:
    pairs = []
    for index in range(len(data)):
        item = data[index]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise UsageError(f"item {index} of the data set is no pair (x, y) but {type(item).__name__}")
        pairs.append((_item(item[0], index), _item(item[1], index)))
    if not pairs:
        raise DataError("the data set is empty; expected pairs (x, y)")
    try:
        return np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])
    except ValueError:
        raise DataError("the data set's items have different shapes; expected the same for each") from None


def _item(value: Any, index: int) -> Any:
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"item {index} of the data set holds {type(value).__name__}, not numbers; give it a transform to a tensor"
        )
    return array
