"""The target columns: whether they are numbers or classes, and their values as a network learns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sizer.base.errors import DataError, UsageError, did_you_mean, listed
from sizer.base.units import counted
from sizer.size_search.data.metrics import CLASSIFICATION, KINDS, REGRESSION, metric_names
from sizer.size_search.data.preparation import Target
from sizer.size_search.data.table import NUMBER, Targets, as_categories, as_numbers, role_of

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 1000
#: Whole numbers with at most so many different values are taken as classes when nothing else says what they are.
_FEW = 20


def find_targets(frame: pd.DataFrame, asked: Sequence[str], named_by_source: Sequence[str]) -> tuple[str, ...]:
    """The target columns: those asked for, by name or by position from the end (-1), else those the source names.

    Raises UsageError, which says which columns there are, for one that does not exist.
    """
    columns = [str(column) for column in frame.columns]
    if not asked and not named_by_source:
        raise UsageError(
            f"which column is the target? name it with --target, such as --target {columns[-1]} for the last one; "
            f"there are {listed(columns, most=20)}"
        )
    found = []
    for name in asked or named_by_source:
        if name in columns:
            found.append(name)
        elif name.startswith("-") and name[1:].isdecimal() and 1 <= int(name[1:]) <= len(columns):
            found.append(columns[-int(name[1:])])
        else:
            meant = did_you_mean(name, columns)
            raise UsageError(
                f"there is no column {name!r}; {meant or 't'}{'T' if meant else ''}he last one is {columns[-1]!r}; the "
                f"columns are {listed(columns, most=20)}"
            )
    return tuple(dict.fromkeys(found))


def kind_of(targets: pd.DataFrame, asked: str | None, metric: str, of_source: str | None) -> tuple[str, str | None]:
    """Regression or classification, and a remark where that was a guess.

    What is asked for decides, then a metric that only one kind has, then the source, then the values.
    """
    if asked is not None:
        return asked, None
    with_metric = [kind for kind in KINDS if metric in metric_names(kind)]
    if len(with_metric) == 1:
        return with_metric[0], None
    if of_source is not None:
        return of_source, None
    if targets.shape[1] > 1:
        return REGRESSION, None
    return _kind_of_values(targets.iloc[:, 0])


def _kind_of_values(values: pd.Series[Any]) -> tuple[str, str | None]:
    import pandas as pd

    if pd.api.types.is_bool_dtype(values) or role_of(values) != NUMBER:
        return CLASSIFICATION, None
    numbers = as_numbers(values, NUMBER)
    known = numbers[np.isfinite(numbers)]
    distinct = int(values.nunique())  # (as floats, whole numbers beyond 2^53 would be alike)
    if not np.array_equal(known, np.round(known)):
        return REGRESSION, None
    kind = CLASSIFICATION if distinct <= _FEW else REGRESSION
    meaning = "classes" if kind == CLASSIFICATION else "a number"
    remark = f"target {values.name!r} has {distinct} different whole numbers: taken as {meaning}, unless kind says else"
    return kind, remark


def fit_target(targets: pd.DataFrame, kind: str) -> Target:
    """What the training rows' targets are. Raises DataError for targets from which nothing can be learned."""
    names = tuple(str(column) for column in targets.columns)
    if kind == CLASSIFICATION:
        if len(names) > 1:
            raise UsageError(f"classification has one target and {len(names)} are given ({listed(names)}); name one")
        return Target(names, kind, _classes(targets.iloc[:, 0]), (), ())
    columns = [_finite_numbers(targets[name]) for name in targets]
    for name, column in zip(names, columns, strict=True):
        if column.min() == column.max() and targets[name].nunique() > 1:
            raise DataError(f"target {name!r} differs only in digits of whole numbers beyond 2^53; subtract a constant")
        if column.min() == column.max():
            raise DataError(f"target {name!r} is {column[0]:g} in every row: there is nothing to learn; name another")
    means = tuple(float(column.mean()) for column in columns)
    return Target(names, kind, (), means, tuple(float(column.std()) for column in columns))


def _finite_numbers(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    numbers = as_numbers(values, NUMBER)
    if np.isnan(numbers).any():
        example = values[np.isnan(numbers)].iloc[0]
        raise DataError(
            f"target {values.name!r} holds {str(example)[:40]!r}, which is no number; name another target, or a metric "
            f"of classification such as --accuracy"
        )
    if not np.isfinite(numbers).all():
        count = int(np.isinf(numbers).sum())
        raise DataError(f"target {values.name!r} is infinite in {counted(count, 'row')}; remove or correct them")
    return numbers


def _classes(values: pd.Series[Any]) -> tuple[Any, ...]:
    """The classes in the order of the outputs: numbers ascending, text by alphabet."""
    distinct = sorted(as_categories(values).unique())
    if len(distinct) < 2:
        raise DataError(
            f"target {values.name!r} is {distinct[0]!r} in every row: there is nothing to learn; name another"
        )
    if len(distinct) > MAX_CLASSES or len(distinct) > len(values) / 2:
        remedy = "name a metric of regression such as --r2" if role_of(values) == NUMBER else "name another target"
        raise DataError(
            f"target {values.name!r} has {len(distinct):,} different values in {len(values):,} rows, too many for "
            f"classes (at most {MAX_CLASSES:,}, and two rows each on average); {remedy}"
        )
    return _as_numbers_where_exact(distinct)


def _as_numbers_where_exact(texts: Sequence[str]) -> tuple[Any, ...]:
    """Texts as numbers, ascending, if each number is written as its text is; else the texts."""
    for convert in (int, float):
        try:
            numbers = sorted(convert(text) for text in texts)
        except ValueError:
            continue
        if {str(number) for number in numbers} == set(texts):
            return tuple(numbers)
    return tuple(texts)


def encode_targets(targets: pd.DataFrame, target: Target, part: str) -> Targets:
    """Targets (n,) as class indices, or (n, output_dim) standardised. Raises DataError for a class not trained on."""
    if target.kind == CLASSIFICATION:
        position = {str(name): index for index, name in enumerate(target.classes)}
        texts = as_categories(targets.iloc[:, 0])
        unknown = sorted(set(texts.unique()) - set(position))
        if unknown:
            raise DataError(f"the {part} data has classes that the training data lacks: {listed(unknown)}")
        return np.array(texts.map(position), dtype=np.int64)
    numbers = np.stack([_finite_numbers(targets[name]) for name in targets], axis=1)
    return np.asarray((numbers - np.array(target.means)) / np.array(target.scales), dtype=np.float32)
