"""A search's curve as the points that `sizer.report.chart` draws: interpolated between sizes, with the cache edges."""

from __future__ import annotations

import math

import numpy as np

from sizer.recommendation import CurvePoint
from sizer.searching.result import SearchResult

#: Sizes that are drawn: more than a terminal has columns of dots.
_DRAWN = 400


def as_curve(record: SearchResult) -> tuple[list[CurvePoint], float | None]:
    """Points in order of size, their costs relative to the cheapest, and the cheapest's cost (None: no cost is known).

    Between two sizes of known cost the line is straight in the logarithms of both.
    """
    known = {point.num_free_parameters: point.cost for point in record.curve if point.cost}
    if not known:
        return [], None
    sizes = sorted(known)
    cheapest = min(known.values())
    spread = np.geomspace(sizes[0], sizes[-1], _DRAWN).round().astype(int).tolist()
    drawn = sorted({*spread, *sizes})
    logs = np.interp(np.log(drawn), np.log(sizes), [math.log(known[size] / cheapest) for size in sizes])
    return [_point(record, size, math.exp(log)) for size, log in zip(drawn, logs.tolist(), strict=True)], cheapest


def _point(record: SearchResult, size: int, relative: float) -> CurvePoint:
    levels = {edge.working_set: edge.level for edge in record.edges if edge.num_free_parameters <= size}
    settings = record.settings
    return CurvePoint(settings.shape, settings.depth, settings.batch_size, (), size, None, None, relative, levels)
