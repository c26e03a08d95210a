"""Reading files that say themselves what their columns are: Parquet, NPZ, ARFF and LIBSVM.

What Parquet and NPZ need of memory stands in their own headers, and is asked for first.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sizer.base.errors import DataError
from sizer.size_search.data.memory import require_memory
from sizer.size_search.data.reading.rules import Reading, ReadingRules
from sizer.size_search.data.table import Table

if TYPE_CHECKING:
    import pandas as pd

    Array = np.ndarray[Any, np.dtype[Any]]

#: Columns are decoded beside the bytes they come from.
_PARQUET_COPIES = 2
_TARGET_NAMES = ("y", "target", "targets", "label", "labels", "class", "classes")
_TRAIN, _VALIDATION = ("", "train", "training"), ("validation", "valid", "val", "test")


def read_parquet(path: Path) -> Table:
    """Read a Parquet file. Raises DataError for a damaged one, or one that does not fit into memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        header = pq.read_metadata(path)
        groups = [header.row_group(index) for index in range(header.num_row_groups)]
        held = max(sum(group.total_byte_size for group in groups), 8 * header.num_rows * header.num_columns)
        require_memory(f"{path.name} ({header.num_rows:,} rows)", _PARQUET_COPIES * held)
        frame: pd.DataFrame = pq.read_table(path).to_pandas(date_as_object=False)
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path.name} is a damaged Parquet file ({reason[:120]}); write it again") from None
    frame.columns = [str(column) for column in frame.columns]
    return Table(path.name, frame)


def read_npz(path: Path) -> Table:
    """Read an NPZ archive: features ``x`` (or ``x_train``), targets ``y``, and ``x_val`` or ``x_test`` set aside.

    Other names are columns of their own, and any of them can be the target. Raises DataError for arrays of objects
    (they are pickles), of different lengths, or too large for memory.
    """
    require_memory(path.name, _npz_bytes(path))
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: _loaded(path.name, archive, name) for name in archive.files}
    train, validation = _parts(arrays)
    if not train:
        raise DataError(f"{path.name} holds no arrays; expected features x and targets y")
    frame, targets = _frame(path.name, train)
    aside = _frame(path.name, validation)[0] if validation else None
    return Table(path.name, frame, targets, validation=aside)


def _npz_bytes(path: Path) -> int:
    """Bytes of all arrays, from the archive's directory: what they unpack to."""
    with zipfile.ZipFile(path) as archive:
        return sum(item.file_size for item in archive.infolist())


def _loaded(file_name: str, archive: Any, name: str) -> Array:
    try:
        array: Array = archive[name]
    except ValueError as error:
        reason = "Python objects (a pickle)" if "pickle" in str(error) else f"something damaged ({error})"
        raise DataError(f"{name} in {file_name} holds {reason}, which is not read; save plain arrays") from None
    if array.dtype.kind not in "biufUSM":
        raise DataError(f"{name} in {file_name} is of type {array.dtype}; expected numbers or text")
    return array.astype(str) if array.dtype.kind == "S" else array


def _parts(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Training and validation arrays by their common name: ``x_train`` and ``x_test`` are both ``x``."""
    parts: tuple[dict[str, Array], dict[str, Array]] = {}, {}
    for name, array in arrays.items():
        words = name.lower().split("_")
        if any(word in _VALIDATION for word in words) and len(words) > 1:
            parts[1]["_".join(word for word in words if word not in _VALIDATION)] = array
        elif any(word in _TRAIN for word in words) and len(words) > 1:
            parts[0]["_".join(word for word in words if word not in _TRAIN)] = array
        else:
            parts[0][name] = array
    train, validation = parts
    return train, validation if set(validation) == set(train) else {}


def _frame(file_name: str, arrays: Mapping[str, Array]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One table of all arrays, and the columns of the array that is named as targets are."""
    import pandas as pd

    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not min(lengths.values()):
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"the arrays in {file_name} have different lengths, or none ({told}); expected one row a datum")
    pieces = {name: columns_of(array, name) for name, array in arrays.items()}
    target = next((name for name in arrays if name.lower() in _TARGET_NAMES), None)
    targets = () if target is None else tuple(pieces[target].columns)
    return pd.concat(list(pieces.values()), axis=1), targets


def columns_of(array: Array, name: str) -> pd.DataFrame:
    """An array (n, ...) as columns: ``name`` for one number a row, else ``name_0``, ``name_1`` and on, flattened."""
    import pandas as pd

    width = math.prod(array.shape[1:])
    names = [name] if width == 1 else [f"{name}_{index}" for index in range(width)]
    frame: pd.DataFrame = pd.DataFrame(array.reshape(len(array), width), columns=names)
    return frame


def read_arff(path: Path) -> Table:
    """Read an ARFF file with scipy, which knows numbers, nominal values and dates.

    Raises DataError, with the command that converts, for texts, sparse rows and relations, and for rows of another
    number of cells than there are attributes.
    """
    import pandas as pd
    from scipy.io import arff

    text = path.read_bytes().decode("utf-8-sig", "replace")
    require_memory(path.name, 8 * len(text))
    try:
        values, meta = arff.loadarff(io.StringIO(text))
    except (NotImplementedError, ValueError, IndexError, KeyError, StopIteration, arff.ArffError) as error:
        raise _no_arff(path.name, " ".join(str(error).split())[:120] or type(error).__name__) from None
    _check_arff_rows(path.name, text, len(meta.names()))
    columns = {name: _arff_column(values[name]) for name in meta.names()}
    return Table(path.name, pd.DataFrame(columns))


def _no_arff(name: str, reason: str) -> DataError:
    stem = Path(name).stem
    return DataError(
        f"{name} is ARFF that is not read ({reason}); convert it: java weka.core.converters.CSVSaver -i {name} -o {stem}.csv"
    )


def _arff_column(values: Array) -> Any:
    """Nominal values as text, None where they are missing; numbers and dates as they are."""
    if values.dtype.kind != "S":
        return values
    texts = [value.decode("utf-8", "replace") for value in values.tolist()]
    return np.array([None if text == "?" else text for text in texts], dtype=object)


def _check_arff_rows(name: str, text: str, count: int) -> None:
    """Raise for a row that has not one cell for each attribute: scipy cuts longer ones."""
    is_data = False
    for number, line in enumerate(text.splitlines(), start=1):
        row = line.strip()
        if not row or row.startswith("%"):
            continue
        if not is_data:
            is_data = row.lower().startswith("@data")
            continue
        if row.startswith("{"):
            raise _no_arff(name, f"line {number} is a sparse row")
        quote = "'" if "'" in row else '"'
        cells = next(csv.reader([row], quotechar=quote, escapechar="\\", skipinitialspace=True))
        if len(cells) != count:
            raise DataError(
                f"{name} is no table: line {number} has {len(cells)} cells and there are {count} attributes"
            )


def read_libsvm(path: Path, reading: Reading) -> Table:
    """Read a LIBSVM (svmlight) file with scikit-learn: a label, then position:value of what is not zero.

    New data has the columns that the first had: those that it does not name are zero. Raises DataError without the
    package, and for a damaged file.
    """
    import pandas as pd

    try:
        from sklearn.datasets import load_svmlight_file
    except ImportError:
        raise DataError(
            f"{path.name} is LIBSVM, which scikit-learn reads: install cache-sizer[data], or convert the file to CSV"
        ) from None
    known = {} if reading.rules is None else reading.rules.notation
    try:
        is_from_zero: bool = known.get("is_from_zero", _counts_from_zero(path))
        matrix, labels = load_svmlight_file(str(path), n_features=known.get("n_features"), zero_based=is_from_zero)
    except ValueError as error:
        raise DataError(f"{path.name} is LIBSVM that cannot be read ({' '.join(str(error).split())[:120]})") from None
    rows, width = matrix.shape
    require_memory(f"{path.name}, sparse, as a full matrix", 8 * rows * width)
    first = 0 if is_from_zero else 1
    frame = pd.DataFrame(matrix.toarray(), columns=[f"x_{number}" for number in range(first, first + width)])
    frame["target"] = labels
    notation = {"n_features": width, "is_from_zero": is_from_zero}
    return Table(path.name, frame, ("target",), rules=reading.rules or ReadingRules((), notation))


def _counts_from_zero(path: Path) -> bool:
    """Whether positions in a LIBSVM file begin with 0."""
    with path.open("rb") as stream:
        return any(b" 0:" in line.replace(b"\t", b" ") for line in stream)
