"""Which function shows which record, in a terminal and in a notebook."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from sizer.base.records import Record


def as_html(record: Record) -> str:
    """The record's terminal text as an HTML fragment."""
    from rich.console import Console

    console = Console(record=True, width=100, file=io.StringIO(), highlight=False, force_jupyter=False)
    console.print(record)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.2"><code>{code}</code></pre>')


#: Class of a record -> function of its report, imported when one is shown: a cold start pays for one report only.
_FUNCTIONS = {
    "Machine": "sizer.report.machine:renderables",
    "Recommendation": "sizer.report.recommendation:renderables",
    "Inspection": "sizer.report.inspection:renderables",
    "ModuleInspection": "sizer.report.inspection:module_renderables",
    "Calibration": "sizer.report.calibration:renderables",
    "ClusterCalibration": "sizer.report.calibration:cluster_renderables",
    "Fleet": "sizer.report.comparison:fleet_renderables",
    "SearchResult": "sizer.report.search:renderables",
    "Validation": "sizer.report.calibration:validation_renderables",
    "Comparison": "sizer.report.comparison:renderables",
    "Diagnosis": "sizer.report.machine:diagnosis_renderables",
    "StudyStep": "sizer.report.study:renderables",
}


def renderables(record: Record, console: Console) -> Iterator[RenderableType]:
    """What a terminal shows of a record. Raises KeyError for a record that has no report."""
    module, _, function = _FUNCTIONS[type(record).__name__].partition(":")
    shown: Iterator[RenderableType] = getattr(importlib.import_module(module), function)(record, console)
    return shown


def show(record: Record, console: Console) -> Iterator[RenderableType]:
    """A record and its remarks."""
    yield from renderables(record, console)
    yield from remark_renderables(record, console)


def remark_renderables(record: Record, console: Console) -> Iterator[RenderableType]:
    """The record's remarks, a paragraph each."""
    from sizer.report.layout import hanging

    for remark in record.remarks():
        yield hanging(" !  ", remark, console.width)
