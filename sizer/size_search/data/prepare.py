"""From a raw table to a task: split, fit the preparation on the training rows alone, apply it to both parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.base.errors import DataError, UsageError, listed, one_of
from sizer.base.units import counted
from sizer.size_search.data.fit_columns import FittedColumns, LeftOut, Look, fit_columns, likely_codes, looks_of
from sizer.size_search.data.memory import require_memory
from sizer.size_search.data.metrics import CLASSIFICATION, KINDS, LOSS, REGRESSION, metric_of
from sizer.size_search.data.preparation import Preparation, Target
from sizer.size_search.data.table import NUMBER, Table, Task, counts_rows
from sizer.size_search.data.targets import encode_targets, find_targets, fit_target, kind_of

if TYPE_CHECKING:
    import pandas as pd

    from sizer.size_search.data.reading.rules import ReadingRules

#: A regression is stratified by this many equally filled ranges of its (first) target.
_RANGES = 10

Rows = npt.NDArray[np.int64]


class Split(NamedTuple):
    """Positions of the rows of either part, ascending."""

    train: Rows
    validation: Rows


def strata_of(targets: npt.NDArray[Any], is_classification: bool) -> Rows:
    """The stratum of each row: its class, or the range that its target lies in."""
    if is_classification:
        return targets.astype(np.int64)
    ranks = np.argsort(np.argsort(targets, kind="stable"), kind="stable")
    return np.asarray(ranks * min(_RANGES, len(targets)) // len(targets), dtype=np.int64)


def split_rows(strata: Rows, share: float, seed: int) -> Split:
    """Set about ``share`` of the rows aside, the same share of every stratum as nearly as whole rows allow.

    Each stratum keeps at least one row for training. The same strata, share and seed always give the same split.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    _, starts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    is_aside = np.zeros(len(strata), dtype=bool)
    for start, count in zip(starts, _shared_out(counts, share), strict=True):
        is_aside[order[start : start + count]] = True
    return Split(np.flatnonzero(~is_aside), np.flatnonzero(is_aside))


def _shared_out(counts: Rows, share: float) -> Rows:
    """Rows to set aside of each stratum: the whole part of its share, then one more where the most is left over."""
    exact = counts * share
    taken = np.floor(exact).astype(np.int64)
    left_over = exact - taken
    missing = round(float(exact.sum())) - int(taken.sum())
    taken[np.argsort(-left_over, kind="stable")[:missing]] += 1
    return np.asarray(np.minimum(taken, counts - 1), dtype=np.int64)


#: Fewer rows leave a validation part whose loss says nothing.
MIN_ROWS = 20
_ONLY_COUNTS = "only counts the rows"


@dataclass(frozen=True)
class PreparingSettings:
    """How to prepare: target columns (none: the source's), kind (None: found out), metric, split."""

    target: tuple[str, ...] = ()
    kind: str | None = None
    metric: str = LOSS
    validation_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        share = self.validation_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 0.9:
            raise UsageError(f"validation_share is {share!r}; expected a share above 0 and at most 0.9, such as 0.2")
        if self.kind is not None and self.kind not in KINDS:
            raise UsageError(f"unknown kind {self.kind!r}; {one_of(self.kind, KINDS)}")


@dataclass(frozen=True)
class PreparationReport:
    """What was done to the data: rows of either part, features, where values were missing, what was left out.

    ``missing`` is the number of training rows without a value, by column; ``split`` says where the validation part is
    from; ``remarks`` are sentences for the user; ``reading`` is how cells of text were read.
    """

    source: str
    kind: str
    target: tuple[str, ...]
    n_classes: int | None
    n_train: int
    n_validation: int
    n_columns: int
    n_features: int
    missing: dict[str, int]
    left_out: tuple[LeftOut, ...]
    split: str
    remarks: tuple[str, ...]
    reading: ReadingRules | None = None


class Prepared(NamedTuple):
    """A task with the preparation that made it, what to say of it, and what the columns looked like."""

    task: Task
    preparation: Preparation
    report: PreparationReport
    looks: tuple[Look, ...] = ()


class _Parts(NamedTuple):
    train: pd.DataFrame
    validation: pd.DataFrame
    told: str


def prepare(table: Table, settings: PreparingSettings, validation: Table | None = None) -> Prepared:
    """Prepare a table for a search. Without ``validation``, or the source's own, some of the rows are set aside.

    Raises UsageError for a target that is not there, DataError when there is nothing to learn from.
    """
    names = find_targets(table.frame, settings.target, table.targets)
    frame, dropped = _rows_with_targets(table.frame, names, table.name)
    kind, guessed = kind_of(frame[list(names)], settings.kind, settings.metric, table.kind)
    metric_of(settings.metric, kind)
    if len(frame) < MIN_ROWS:
        raise DataError(
            f"{table.name} has {counted(len(frame), 'row')} with a target; a search needs at least {MIN_ROWS}"
        )
    aside = table.validation if validation is None else validation.frame
    parts = _given(frame, aside, names) if aside is not None else _set_aside(frame, names, kind, settings)
    target = fit_target(parts.train[list(names)], kind)
    fitted, counters = _fit_used_columns(frame, parts.train, names)
    preparation = Preparation(fitted.numbers, fitted.categories, target)
    _check_columns(preparation, len(frame), table.name)
    numbers = [column.name for column in preparation.numbers if column.role == NUMBER]
    codes = [likely_codes(parts.train[name]) for name in (*(names if kind == REGRESSION else ()), *numbers)]
    report = PreparationReport(
        source=table.name,
        kind=kind,
        target=names,
        n_classes=target.output_dim if kind == CLASSIFICATION else None,
        n_train=len(parts.train),
        n_validation=len(parts.validation),
        n_columns=len(preparation.column_names),
        n_features=preparation.input_dim,
        missing=fitted.missing,
        left_out=(*counters, *fitted.left_out),
        split=parts.told,
        remarks=tuple(remark for remark in (*table.remarks, dropped, guessed, *fitted.remarks, *codes) if remark),
        reading=None if table.rules is None else table.rules.used(preparation.column_names),
    )
    task = _task(table.name, settings.metric, preparation, parts)
    return Prepared(task, preparation, report, looks_of(preparation, preparation.encode(parts.train)))


def _rows_with_targets(frame: pd.DataFrame, names: tuple[str, ...], source: str) -> tuple[pd.DataFrame, str | None]:
    """The rows whose targets are all known, and a remark where that is not every row."""
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise DataError(f"{source} has no column {listed(absent)}; its columns are {listed(frame.columns, most=20)}")
    is_known = frame[list(names)].notna().all(axis=1)
    missing = int((~is_known).sum())
    if missing == len(frame):
        raise DataError(f"target {listed(names)} has no value in any of the {counted(len(frame), 'row')}; name another")
    return (frame[is_known], f"{counted(missing, 'row')} without a target left out") if missing else (frame, None)


def _given(frame: pd.DataFrame, aside: pd.DataFrame, names: tuple[str, ...]) -> _Parts:
    validation, _ = _rows_with_targets(aside, names, "the validation data")
    return _Parts(frame, validation, "validation data given")


def _set_aside(frame: pd.DataFrame, names: tuple[str, ...], kind: str, settings: PreparingSettings) -> _Parts:
    """The rows in two parts, alike in their target."""
    targets = frame[list(names)]
    encoded = encode_targets(targets, fit_target(targets, kind), "whole")
    strata = strata_of(encoded.reshape(len(frame), -1)[:, 0], kind == CLASSIFICATION)
    split = split_rows(strata, settings.validation_share, settings.seed)
    if not len(split.validation):
        raise DataError(
            f"validation_share {settings.validation_share:g} of {counted(len(frame), 'row')} leaves none; raise it"
        )
    told = f"{settings.validation_share:.0%} set aside, stratified, seed {settings.seed}"
    return _Parts(frame.iloc[split.train], frame.iloc[split.validation], told)


def _fit_used_columns(
    frame: pd.DataFrame, train: pd.DataFrame, names: tuple[str, ...]
) -> tuple[FittedColumns, tuple[LeftOut, ...]]:
    """The feature columns, fitted on the training rows; those that count the rows of the whole table apart."""
    others = [name for name in frame.columns if name not in names]
    counters = [name for name in others if counts_rows(frame[name])]
    fitted = fit_columns(train[[name for name in others if name not in counters]])
    return fitted, tuple(LeftOut(str(name), _ONLY_COUNTS) for name in counters)


def _check_columns(preparation: Preparation, n_rows: int, source: str) -> None:
    if not preparation.input_dim:
        raise DataError(f"{source} has no column to predict from beside the target; see that its cells are separated")
    row_bytes = 16 * len(preparation.column_names) + 8 * preparation.input_dim
    require_memory(f"preparing {source} ({counted(preparation.input_dim, 'feature')})", row_bytes * n_rows)


def _task(name: str, metric: str, preparation: Preparation, parts: _Parts) -> Task:
    target: Target = preparation.target
    names = list(target.names)
    return Task(
        name=name,
        kind=target.kind,
        train_features=preparation.features(parts.train),
        train_targets=encode_targets(parts.train[names], target, "training"),
        validation_features=preparation.features(parts.validation),
        validation_targets=encode_targets(parts.validation[names], target, "validation"),
        output_dim=target.output_dim,
        metric=metric,
        target_scale=1.0 if target.kind == CLASSIFICATION else np.array(target.scales),
    )
