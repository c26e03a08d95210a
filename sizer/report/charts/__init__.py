"""Charts: functions from a record to figures (`figure`), which `plot` and `icicle` draw as SVG.

A new chart is a function from a record to figures in one of the modules named in `CHARTS`, or a line there.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sizer.base.records import Record
    from sizer.report.charts.figure import Figure

#: Class of a record -> function of its figures, imported when they are drawn. A record without a line has none.
CHARTS = {
    "Recommendation": "sizer.report.charts.sizes:recommendation_charts",
    "FamilyRecommendation": "sizer.report.charts.family:family_charts",
    "Comparison": "sizer.report.charts.machines:comparison_charts",
    "Fleet": "sizer.report.charts.machines:fleet_charts",
    "Inspection": "sizer.report.charts.networks:networks_charts",
    "ModuleInspection": "sizer.report.charts.networks:module_charts",
    "Calibration": "sizer.report.charts.timings:calibration_charts",
    "OperatorCalibration": "sizer.report.charts.timings:operators_charts",
    "KeptSessions": "sizer.report.charts.timings:sessions_charts",
    "ClusterCalibration": "sizer.report.charts.timings:cluster_charts",
    "Validation": "sizer.report.charts.timings:validation_charts",
    "SearchResult": "sizer.report.charts.search:search_charts",
    "Tuning": "sizer.report.charts.tuning:tuning_charts",
    "StudyStep": "sizer.report.charts.study:study_charts",
}


def charts(record: Record, asked: Sequence[int] = ()) -> Iterator[Figure]:
    """The figures of a record, those left out for which it has no values.

    ``asked`` are first widths that the user asked about beside the record, to stand out on a recommendation.
    """
    target = CHARTS.get(type(record).__name__)
    if target is not None:
        module, _, function = target.partition(":")
        more = {"asked": asked} if asked else {}
        yield from getattr(importlib.import_module(module), function)(record, **more)
