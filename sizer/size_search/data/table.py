"""What a raw column is, and its values in the one form that the preparation works with."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from sizer.size_search.data.reading.rules import ReadingRules


@dataclass(frozen=True, eq=False)
class Table:
    """A data set by its columns.

    ``targets`` and ``kind`` (regression or classification) are what the source itself says, empty and None where it
    says nothing; ``validation`` the part that it sets aside. ``remarks`` are sentences on how it was read, ``rules``
    the record of it where its cells were text.
    """

    name: str
    frame: pd.DataFrame
    targets: tuple[str, ...] = ()
    kind: str | None = None
    validation: pd.DataFrame | None = None
    remarks: tuple[str, ...] = ()
    rules: ReadingRules | None = None


NUMBER, TIME, CATEGORY, UNUSABLE = "number", "time", "category", "unusable"

#: A text column is taken as numbers when at least this share of its values reads as one; the rest counts as missing.
_MOSTLY = 0.95


def role_of(values: pd.Series[Any]) -> str:
    """What a column is: number, time, category, or unusable (it holds lists, complex numbers and the like)."""
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(values):
        return UNUSABLE
    if types.is_numeric_dtype(values) or types.is_timedelta64_dtype(values):
        return NUMBER
    if types.is_datetime64_any_dtype(values):
        return TIME
    return CATEGORY if isinstance(values.dtype, pd.CategoricalDtype) else _role_of_text(values.dropna())


def _role_of_text(known: pd.Series[Any]) -> str:
    """The role of a column of text or of objects, none of them missing."""
    if known.map(lambda value: isinstance(value, (list, tuple, dict, set, bytes, np.ndarray))).any():
        return UNUSABLE
    if not len(known):
        return CATEGORY
    for role in (NUMBER, TIME):
        if np.isfinite(as_numbers(known, role)).mean() >= _MOSTLY:
            return role
    return CATEGORY


def as_numbers(values: pd.Series[Any], role: str) -> npt.NDArray[np.float64]:
    """Values (n,) as float64, infinities kept; NaN for what is missing or reads as no number. Times in s since 1970."""
    import pandas as pd

    types = pd.api.types
    if role == TIME:
        return _seconds(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    if types.is_timedelta64_dtype(values):
        values = values.dt.total_seconds()
    elif not types.is_numeric_dtype(values):
        values = pd.to_numeric(values, errors="coerce")
    return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))


def _seconds(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    import pandas as pd

    if not pd.api.types.is_datetime64_any_dtype(values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas says how it reads the text; what it cannot read counts as missing
            values = pd.to_datetime(values.astype(str), errors="coerce", format="ISO8601", utc=True)
    elif values.dt.tz is not None:
        values = values.dt.tz_convert("UTC")
    stamps = values.to_numpy(dtype="datetime64[us]")  # (years beyond 2262 are no nanoseconds)
    seconds = stamps.astype(np.int64) / 1e6
    return np.where(np.isnat(stamps), np.nan, seconds)


def as_categories(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values as text without surrounding white space, missing ones kept missing; whole numbers without ``.0``."""
    texts = values.astype(object)
    written: pd.Series[Any] = texts.where(texts.isna(), texts.map(_text))
    return written


def _text(value: Any) -> str:
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def counts_rows(values: pd.Series[Any]) -> bool:
    """Whether a column only counts the rows, as an index written to a file does: it tells their order, nothing else."""
    import pandas as pd

    if not pd.api.types.is_integer_dtype(values) or values.hasnans or len(values) < 2:
        return False
    numbers = values.to_numpy(dtype=np.int64)
    return bool((np.diff(numbers) == 1).all())
