"""Reading files that say themselves what their columns are: Parquet, NPZ, ARFF and LIBSVM.

What Parquet and NPZ need of memory stands in their own headers, and is asked for first.
"""

from __future__ import annotations

import importlib
import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sizer.base.errors import DataError
from sizer.base.units import counted
from sizer.size_search.data.memory import require_memory
from sizer.size_search.data.reading.cells import collect
from sizer.size_search.data.reading.dialect import Dialect
from sizer.size_search.data.reading.numbers import NumberForm
from sizer.size_search.data.reading.rules import NUMBER, TEXT, ColumnRule, Reading, ReadingRules
from sizer.size_search.data.reading.tables import read_by
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
        require_memory(f"{path.name} ({counted(header.num_rows, 'row')})", _PARQUET_COPIES * held)
        frame: pd.DataFrame = pq.read_table(path).to_pandas(date_as_object=False)
    except (
        pa.ArrowException,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # (what pandas notes in it)
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
        array = array.astype(str) if array.dtype.kind == "S" else array
    except (MemoryError, NotImplementedError, OSError, EOFError, zlib.error, zipfile.BadZipFile):
        raise  # (`read_file` says these of any archive)
    except RuntimeError as error:  # (an archive that asks for a password)
        raise DataError(f"{name} in {file_name} is not read ({error}); save plain arrays") from None
    except Exception as error:  # (NumPy evaluates the header of an array, which raises what its text makes it)
        told = f"something damaged ({' '.join(str(error).split())[:120]})"
        reason = "Python objects (a pickle)" if "pickle" in str(error) else told
        raise DataError(f"{name} in {file_name} holds {reason}, which is not read; save plain arrays") from None
    if array.dtype.kind not in "biufUM":
        raise DataError(f"{name} in {file_name} is of type {array.dtype}; expected numbers or text")
    return array


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


_ATTRIBUTE = re.compile(
    r"""@attribute\s+(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>\S+))\s+(?P<kind>\{|\w+)""", re.IGNORECASE
)


def read_arff(path: Path, reading: Reading) -> Table:
    """Read an ARFF file: its attributes say which columns are numbers and which categories; rows are as in a CSV file.

    (scipy's reader cuts rows that are too long, and knows no texts.) Raises DataError for sparse rows, with the command
    that converts, and for rows of another number of cells than there are attributes.
    """
    content = path.read_bytes().decode("utf-8-sig", "replace")
    require_memory(path.name, 8 * len(content))
    kinds: dict[str, str] = {}
    lines = iter(enumerate(io.StringIO(content, newline=""), start=1))
    for number, line in lines:
        row = line.strip()
        if found := _ATTRIBUTE.match(row):
            kinds[found["single"] or found["double"] or found["bare"]] = found["kind"].lower()
        if row.lower().startswith("@data"):
            first = next((line for line in content.splitlines()[number:] if line.strip() and line[:1] != "%"), "")
            return _arff_rows(path.name, content, kinds, number, first, reading)
    raise DataError(f"{path.name} is ARFF without @data; is it damaged or cut short?")


def _arff_rows(
    name: str, content: str, kinds: Mapping[str, str], data_line: int, first: str, reading: Reading
) -> Table:
    if first.startswith("{") or "relational" in kinds.values():
        raise DataError(
            f"{name} is ARFF with sparse rows or relations, which is not read; convert it: java "
            f"weka.core.converters.CSVSaver -i {name} -o {Path(name).stem}.csv"
        )
    quote = '"' if '"' in content and "'" not in content else "'"
    dialect = Dialect(",", quote, tuple(kinds), data_line, data_line + 1, "%")
    cells = collect(name, io.StringIO(content, newline=""), dialect)
    missing = reading.options.missing
    said = [
        ColumnRule(column, TEXT, missing=("?", *missing))
        if kind == "{"
        else ColumnRule(column, NUMBER, NumberForm(".", ""), missing=missing)
        for column, kind in kinds.items()
        if kind in ("{", "numeric", "real", "integer")
    ]
    rules = reading.rules or ReadingRules(tuple(said), {"format": "ARFF"})
    frame, rules, remarks = read_by(cells, reading._replace(rules=rules), {})
    return Table(name, frame, remarks=(*cells.remarks, *remarks), rules=rules)


def read_libsvm(path: Path, reading: Reading) -> Table:
    """Read a LIBSVM (svmlight) file with scikit-learn: a label, then position:value of what is not zero.

    New data has the columns that the first had: those that it does not name are zero. Raises DataError without the
    package, and for a damaged file.
    """
    import pandas as pd

    try:
        datasets: Any = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise DataError(
            f"{path.name} is LIBSVM, which scikit-learn reads: install cache-sizer[data], or convert the file to CSV"
        ) from None
    known = {} if reading.rules is None else reading.rules.notation
    try:
        is_from_zero: bool = known.get("is_from_zero", _counts_from_zero(path))
        matrix, labels = datasets.load_svmlight_file(
            str(path), n_features=known.get("n_features"), zero_based=is_from_zero
        )
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
