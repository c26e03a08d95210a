"""What of data a recommendation needs: its rows, its inputs once encoded, its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sizer.base.units import counted
from sizer.method.request import several
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.prepare import Prepared, PreparingSettings, prepare
from sizer.size_search.data.reading.rules import Reading
from sizer.size_search.data.sources import table_of


class DataShape(NamedTuple):
    """Data in numbers: rows with a target, features after encoding, outputs (classes, or targets of a regression).

    ``remarks`` say how it was read and which columns were left out.
    """

    name: str
    target: tuple[str, ...]
    kind: str
    rows: int
    input_dim: int
    output_dim: int
    remarks: tuple[str, ...]


def prepared_of(data: Any, target: str | Sequence[str] = (), kind: str | None = None) -> Prepared:
    """Data as a search prepares it. Raises UsageError and DataError as `shape_of` does."""
    settings = PreparingSettings(several(target), kind)
    return prepare(table_of(data, Reading(targets=settings.target)), settings)


def shape_of(data: Any, target: str | Sequence[str] = (), kind: str | None = None) -> DataShape:
    """Read data as a search does (see `sources.table_of`), and say how large a task it is.

    Raises UsageError for a target that is not there, DataError for data with nothing to learn from.
    """
    prepared = prepared_of(data, target, kind)
    report = prepared.report
    left_out = tuple(f"{column.name} is left out: {column.reason}" for column in report.left_out)
    told = f"{report.n_classes} classes" if report.kind == CLASSIFICATION else "regression"
    shape = (
        f"{report.source}: {counted(report.n_columns, 'column')} as {counted(report.n_features, 'input')}, target "
        f"{', '.join(report.target)} ({told})"
    )
    return DataShape(
        name=report.source,
        target=report.target,
        kind=report.kind,
        rows=report.n_train + report.n_validation,
        input_dim=report.n_features,
        output_dim=prepared.task.output_dim,
        remarks=(shape, *left_out, *report.remarks),
    )
