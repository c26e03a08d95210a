"""What the training rows say of each column: how a number is filled and scaled, which categories a text has.

And what a column looked like, so that new data that looks otherwise can be told. Nothing here sees a validation row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.base.units import counted
from sizer.size_search.data.preparation import MISSING, CategoryColumn, Matrix, NumberColumn, Preparation
from sizer.size_search.data.table import CATEGORY, NUMBER, UNUSABLE, as_categories, as_numbers, role_of

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
        is_one = values.nunique() == 1
        reason = (
            f"is {values.iloc[0]} in every row" if is_one else "differs only in digits of whole numbers beyond 2^53"
        )
        return _Fitted(LeftOut(name, reason))
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
        return f"{name!r} is infinite in {counted(infinite, 'row')}: taken as missing there"
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
        reason = (
            f"is text with {len(counts):,} different values in {counted(len(texts), 'row')}, too many for categories"
        )
        return _Fitted(LeftOut(name, reason))
    remark = f"{name!r} has {len(counts):,} categories: the {len(kept)} most frequent ({covered:.0%} of rows) are kept"
    return _Fitted(CategoryColumn(name, tuple(sorted(kept.index)), True, missing > 0), missing, remark)


#: A likely code for a missing value: so many rows share it, at least this share of them, ...
_CODE_ROWS, _CODE_SHARE = 3, 0.01
#: ... it is farther from all other values than they spread, or half of that where it looks like one (999, -200), ...
_GAP, _GAP_OF_CODE = 1.0, 0.5
#: ... and those are of so many kinds at least.
_CODE_OTHERS = 8


def likely_codes(values: pd.Series[Any]) -> str | None:
    """A sentence on a value far outside the rest that many rows share, which may stand for missing; else None."""
    numbers = as_numbers(values, role_of(values)) if role_of(values) == NUMBER else np.empty(0)
    known = numbers[np.isfinite(numbers)]
    distinct, counts = np.unique(known, return_counts=True)
    if len(distinct) <= _CODE_OTHERS:
        return None
    low, high = float(distinct[1]), float(distinct[-1])
    candidates = [
        (0, low - distinct[0], high - low),
        (-1, distinct[-1] - distinct[-2], float(distinct[-2] - distinct[0])),
    ]
    for position, gap, spread in candidates:
        value, count = float(distinct[position]), int(counts[position])
        is_shared = count >= max(_CODE_ROWS, _CODE_SHARE * len(known))
        if is_shared and gap >= (_GAP_OF_CODE if _is_code(value) else _GAP) * spread:
            rest = np.delete(distinct, position)
            return (
                f"{values.name!r} is {value:.15g} in {count:,} of {counted(len(known), 'row')}, far outside the rest "
                f"({rest[0]:.6g} to {rest[-1]:.6g}): likely a code for missing; --missing {value:.15g} says so"
            )
    return None


def _is_code(value: float) -> bool:
    """Whether a number is one of those that people use for missing: all nines, or a whole negative one."""
    digits = f"{abs(value):.15g}"
    return value.is_integer() and (set(digits) == {"9"} or value < 0)


class Numbers(NamedTuple):
    """The least, the median and the largest number of a column, and their standard deviation."""

    low: float
    middle: float
    high: float
    spread: float


class Look(NamedTuple):
    """What a column was like in ``n`` training rows: shares of missing values and of unlisted categories, its numbers.

    ``numbers`` is None for a category, and for a column without any.
    """

    name: str
    n: int
    missing: float
    unlisted: float
    numbers: Numbers | None = None


def looks_of(preparation: Preparation, encoded: Matrix) -> tuple[Look, ...]:
    """What each encoded column (n, columns) looks like."""
    return tuple(_look(preparation, position, encoded[:, position]) for position in range(encoded.shape[1]))


def _look(preparation: Preparation, position: int, values: Matrix) -> Look:
    name, n = preparation.column_names[position], len(values)
    if position >= len(preparation.numbers):
        categories = preparation.categories[position - len(preparation.numbers)].categories
        unlisted = np.isnan(values) | (values >= len(categories))
        return Look(name, n, float(np.mean(values == MISSING)), float(np.mean(unlisted)))
    known = values[np.isfinite(values)]
    missing = 1.0 - len(known) / n
    if not len(known):
        return Look(name, n, missing, 0.0)
    largest = float(np.abs(known).max()) or 1.0
    spread = float((known / largest).std()) * largest
    numbers = Numbers(float(known.min()), float(np.median(known)), float(known.max()), spread)
    return Look(name, n, missing, 0.0, numbers)


#: New data looks otherwise when its share of missing or unlisted cells is so much larger, and that by chance in so few
#: samples; when numbers are off by such a factor and most lie outside what was trained on; when they hardly spread.
_SHARE_ABOVE, _BY_CHANCE, _FACTOR, _NARROW, _NARROW_ROWS = 0.1, 0.01, 5.0, 0.02, 20


def unlike(preparation: Preparation, looks: Sequence[Look], encoded: Matrix) -> list[str]:
    """Sentences on the columns of new data that look otherwise than those that the network was trained on."""
    now = looks_of(preparation, encoded) if len(encoded) else ()
    by_name = {look.name: look for look in looks}
    return [said for new in now if new.name in by_name for said in _differences(by_name[new.name], new)]


def _differences(old: Look, new: Look) -> Iterator[str]:
    if _is_more(old.missing, old.n, new.missing, new.n):
        shares = f"{new.missing:.0%} of the rows, and was in {old.missing:.0%} of those trained on"
        yield f"{new.name!r} is missing in {shares}"
    if _is_more(old.unlisted, old.n, new.unlisted, new.n):
        yield f"{new.name!r} has categories in {new.unlisted:.0%} of the rows that training did not see"
    if old.numbers is None or new.numbers is None:
        return
    (low, middle, high, spread), now = old.numbers, new.numbers
    is_outside = not low <= now.middle <= high
    factor = now.middle / middle if now.middle * middle > 0 else None
    if is_outside and (factor is None or factor >= _FACTOR or factor <= 1 / _FACTOR):
        by = "" if factor is None else f", about {_round(factor)} times"
        yield (
            f"{new.name!r} is {now.middle:.6g} in the middle, outside the {low:.6g} to {high:.6g} trained on{by}; "
            f"are its units and marks the same?"
        )
    elif new.n >= _NARROW_ROWS and 0 < now.spread < _NARROW * spread:
        factor = now.spread / spread
        yield f"{new.name!r} spreads {_round(factor)} times as far as in the rows trained on; are its units the same?"


def _round(factor: float) -> str:
    """A factor to one or two digits."""
    return f"{float(f'{factor:.2g}'):,.0f}" if factor >= 10 else f"{factor:.1g}"


def _is_more(old: float, n_old: int, new: float, n_new: int) -> bool:
    """Whether a share is larger than it was, beyond chance: the binomial tail at the old share (of none: one row)."""
    from scipy.special import betainc

    count = round(new * n_new)
    if new <= old + _SHARE_ABOVE or not count:
        return False
    return float(betainc(count, n_new - count + 1, max(old, 1.0 / (n_old + 1)))) < _BY_CHANCE
