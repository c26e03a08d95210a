"""Which module shows which record in a terminal. Each has a function `renderables(record, console)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from sizer.records import Record

#: Class of a record -> module of its report, imported when one is shown: a cold start pays for one report only.
_MODULES = {
    "Machine": "sizer.report.machine",
    "Recommendation": "sizer.report.recommendation",
    "Inspection": "sizer.report.inspection",
    "ModuleInspection": "sizer.report.module",
    "Calibration": "sizer.report.calibration",
    "ClusterCalibration": "sizer.report.cluster_calibration",
    "Fleet": "sizer.report.fleet",
    "SearchResult": "sizer.report.search",
    "Validation": "sizer.report.validation",
    "Comparison": "sizer.report.comparison",
    "Diagnosis": "sizer.report.diagnosis",
    "StudyStep": "sizer.report.study",
}


def renderables(record: Record, console: Console) -> Iterator[RenderableType]:
    """What a terminal shows of a record. Raises KeyError for a record that has no report."""
    module = importlib.import_module(_MODULES[type(record).__name__])
    shown: Iterator[RenderableType] = module.renderables(record, console)
    return shown


def remark_renderables(record: Record, console: Console) -> Iterator[RenderableType]:
    """The record's remarks, a paragraph each."""
    from sizer.report.layout import hanging

    for remark in record.remarks():
        yield hanging(" !  ", remark, console.width)
