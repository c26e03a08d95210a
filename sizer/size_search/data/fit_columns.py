"""What the training rows say of each column: how a number is filled and scaled, which categories a text has.

Nothing here sees a validation row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.size_search.data.preparation import CategoryColumn, NumberColumn
from sizer.size_search.data.table import CATEGORY, UNUSABLE, as_categories, as_numbers, role_of

if TYPE_CHECKING:
    import pandas as pd

#: Most features that one text column becomes; rarer values share one where the listed ones cover enough of the rows.
MAX_CATEGORIES = 100
_COVERED = 0.5
#: With more different values than this share of the rows, a text names the rows and says nothing of new ones.
_REPEATED = 0.5


class LeftOut(NamedTuple):
    """A column that is not used, and why."""

    name: str
    reason: str


class FittedColumns(NamedTuple):
    """The columns by what they are; ``missing`` counts the training rows where a used column has no value."""

    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    left_out: tuple[LeftOut, ...]
    missing: dict[str, int]
    remarks: tuple[str, ...]


def fit_columns(train: pd.DataFrame) -> FittedColumns:
    """Fit every column of the training rows, in their order."""
    fitted: list[_Fitted] = [_fit(train[name]) for name in train.columns]
    return FittedColumns(
        tuple(one.column for one in fitted if isinstance(one.column, NumberColumn)),
        tuple(one.column for one in fitted if isinstance(one.column, CategoryColumn)),
        tuple(one.column for one in fitted if isinstance(one.column, LeftOut)),
        {one.column.name: one.missing for one in fitted if one.missing and not isinstance(one.column, LeftOut)},
        tuple(one.remark for one in fitted if one.remark is not None),
    )


class _Fitted(NamedTuple):
    column: NumberColumn | CategoryColumn | LeftOut
    missing: int = 0
    remark: str | None = None


def _fit(values: pd.Series[Any]) -> _Fitted:
    name = str(values.name)
    role = role_of(values)
    if role == UNUSABLE:
        return _Fitted(LeftOut(name, "holds lists or other values that are neither numbers nor text"))
    if values.isna().all():
        return _Fitted(LeftOut(name, "has no value"))
    return _fit_categories(name, values) if role == CATEGORY else _fit_numbers(name, role, values)


def _fit_numbers(name: str, role: str, values: pd.Series[Any]) -> _Fitted:
    numbers = as_numbers(values, role)
    known = numbers[np.isfinite(numbers)]
    missing = len(numbers) - len(known)
    if not len(known):
        return _Fitted(LeftOut(name, "has no finite value"))
    if not missing and known.min() == known.max():
        return _Fitted(LeftOut(name, f"is {values.iloc[0]} in every row"))
    fill = float(np.median(known))
    mean, scale = _mean_and_scale(np.where(np.isfinite(numbers), numbers, fill))
    column = NumberColumn(name, role, fill, mean, scale, missing > 0)
    return _Fitted(column, missing, _unreadable(name, values, numbers))


def _mean_and_scale(numbers: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation, with the largest value taken out so that squares of large numbers do not overflow.

    The scale is 1 where all values are the same.
    """
    largest = float(np.abs(numbers).max()) or 1.0
    share = numbers / largest
    scale = float(share.std()) * largest
    return float(share.mean()) * largest, scale if scale > 0 else 1.0


def _unreadable(name: str, values: pd.Series[Any], numbers: npt.NDArray[np.float64]) -> str | None:
    """A remark on values that are there but no finite number, None where there are none."""
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        return f"{name!r} is infinite in {infinite} rows: taken as missing there"
    is_text = np.isnan(numbers) & values.notna().to_numpy()
    if not is_text.any():
        return None
    example = str(values[is_text].iloc[0])[:40]
    return f"{name!r} holds {int(is_text.sum())} values that are no numbers, such as {example!r}: taken as missing"


def _fit_categories(name: str, values: pd.Series[Any]) -> _Fitted:
    texts = as_categories(values)
    counts = texts.value_counts()
    missing = int(texts.isna().sum())
    if len(counts) == 1 and not missing:
        return _Fitted(LeftOut(name, f"is {counts.index[0]!r} in every row"))
    if len(counts) > _REPEATED * counts.sum():
        return _Fitted(LeftOut(name, f"is another text in nearly every row ({len(counts):,} in {counts.sum():,})"))
    if len(counts) <= MAX_CATEGORIES:
        return _Fitted(CategoryColumn(name, tuple(sorted(counts.index)), False, missing > 0), missing)
    kept = counts.iloc[: MAX_CATEGORIES - 1]
    covered = float(kept.sum() / counts.sum())
    if covered < _COVERED:
        reason = f"is text with {len(counts):,} different values in {len(texts):,} rows, too many for categories"
        return _Fitted(LeftOut(name, reason))
    remark = f"{name!r} has {len(counts):,} categories: the {len(kept)} most frequent ({covered:.0%} of rows) are kept"
    return _Fitted(CategoryColumn(name, tuple(sorted(kept.index)), True, missing > 0), missing, remark)
