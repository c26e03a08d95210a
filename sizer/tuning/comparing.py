"""What runs prove: ratios to unchanged runs before and after, intervals, and tests that hold together. Pure arithmetic.

A run of a lever at a time *t* is held against the unchanged runs around it, their logarithms interpolated in time, so
that a machine that grows slower over minutes slows both; where it had another speed beside one of them, against none.
The logarithm of each ratio is one observation r. Of one lever they scatter by s, estimated from its own n observations
and, as strongly as `_PRIOR` of them at most, from unchanged runs held against their own neighbours (A/A): a moderated t
statistic (Smyth, Statistical Applications in Genetics and Molecular Biology 3(1), 2004, equation 2 of section 5). Other
levers may scatter by more, and say nothing of this one; none counts as steadier than it was itself.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

#: The ratio that a lever has to stay below to be worth a line in a script: it gains at least 3 %.
WORTH = 0.97
#: Chance that any lever of a tuning is recommended which is not worth it.
FAMILY_ERROR = 0.05
#: Observations that the scatter of unchanged runs counts for at most in that of a lever.
_PRIOR = 8.0
#: Least scatter of a logarithm: two of three pairs of runs on a quiet machine agree no better (docs/tuning.md).
_LEAST_SCATTER = 0.004
#: Unchanged runs before and after have half of the variance of one run, interpolated; in a fresh pair both have all.
_FRESH_PAIR = 2.0 / 1.5
#: What an A/A observation counts: neighbours overlap in two of their three runs, so half as many are independent (their
#: correlations of -2/3 and 1/6 make it 0.51).
_OVERLAP = 0.5


class CostOf(NamedTuple):
    """One run: when it was (s, any origin), of which lever (empty: unchanged), what a step cost, at which speed."""

    at_s: float
    lever: str
    cost: float
    speed: int = 0


class Compared(NamedTuple):
    """A lever against the unchanged script: ratio of costs, the 90 % interval of a fresh pair of runs, and the test.

    ``p`` is the chance of a ratio so low or lower if the true one were `WORTH`.
    """

    ratio: float
    low: float
    high: float
    runs: int
    p: float


def log_ratios(runs: Sequence[CostOf], between: bool = True) -> dict[str, list[float]]:
    """Logarithms of each lever's ratios, by its name, and under the empty name those of unchanged runs (A/A).

    Where an unchanged run is missing, its neighbours are interpolated over a wider gap with the weight of the others.
    Without an unchanged run there are none.
    """
    unchanged = sorted(run for run in runs if not run.lever)
    if not unchanged:
        return {}
    found: dict[str, list[float]] = {"": []}
    for run in comparable(runs, between):
        found.setdefault(run.lever, []).append(_log_ratio(run, unchanged))
    for before, run, after in zip(unchanged, unchanged[1:], unchanged[2:], strict=False):
        if before.speed == run.speed == after.speed:
            found[""].append(_log_ratio(run, (before, after)))
    return found


def comparable(runs: Sequence[CostOf], between: bool) -> list[CostOf]:
    """The runs of levers that can be held against unchanged ones.

    Only runs ``between`` unchanged ones count, since nothing takes a drift out of others; those are held against the
    nearest one otherwise. All of them have to be at one speed.
    """
    unchanged = sorted(run for run in runs if not run.lever)
    found = []
    for run in runs:
        after = bisect.bisect(unchanged, run)
        around = unchanged[max(after - 1, 0) : after + 1]
        is_between = len(around) == 2 and after > 0
        if run.lever and around and (is_between or not between) and {one.speed for one in around} == {run.speed}:
            found.append(run)
    return found


def _log_ratio(run: CostOf, unchanged: Sequence[CostOf]) -> float:
    expected = np.interp(run.at_s, [one.at_s for one in unchanged], [math.log(one.cost) for one in unchanged])
    return math.log(run.cost) - float(expected)


class Scatter(NamedTuple):
    """Variance of logarithms, and its degrees of freedom."""

    variance: float
    freedom: float


def scatter(unchanged: Sequence[float]) -> Scatter:
    """That of unchanged runs around their neighbours (A/A), which every ratio has in it."""
    if not unchanged:
        return Scatter(0.0, 0.0)
    return Scatter(sum(value**2 for value in unchanged) / len(unchanged), _OVERLAP * len(unchanged))


def _own(values: Sequence[float]) -> Scatter:
    """That of at least two values around their mean."""
    mean, freedom = sum(values) / len(values), len(values) - 1
    return Scatter(sum((value - mean) ** 2 for value in values) / freedom, freedom)


def compared(values: Sequence[float], unchanged: Scatter) -> Compared:
    """What the logarithms of a lever's ratios, at least one, say together with the scatter of unchanged runs.

    Where hardly anything tells the scatter (one run of each) the interval is 0 to infinity and p is 1.
    """
    count, mean = len(values), sum(values) / len(values)
    own = _own(values) if count > 1 else Scatter(0.0, 0.0)
    prior = min(unchanged.freedom, _PRIOR)
    freedom = prior + own.freedom
    if freedom < 1:
        return Compared(math.exp(mean), 0.0, math.inf, count, 1.0)
    moderated = (prior * unchanged.variance + own.freedom * own.variance) / freedom
    deviation = max(math.sqrt(max(moderated, own.variance)), _LEAST_SCATTER)
    reach = float(stdtrit(freedom, 0.95)) * deviation * math.sqrt(_FRESH_PAIR + _variance_of_mean(count))
    p = float(stdtr(freedom, (mean - math.log(WORTH)) / (deviation * math.sqrt(_variance_of_mean(count)))))
    return Compared(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), count, p)


def _variance_of_mean(count: int) -> float:
    """Variance of the mean of so many observations of a lever over that of one: neighbours share an unchanged run.

    An observation is x_i - (u_i + u_i+1) / 2 of equally scattered runs, variance 3/2; their sum has n for the x and
    n - 1/2 for the u.
    """
    return (2 * count - 0.5) / (1.5 * count**2)


def apart(unchanged: Scatter) -> tuple[float, float] | None:
    """How far runs of the same lie apart: the 90 % interval of the ratio of two; None where nothing is known of it."""
    if unchanged.freedom < 1:
        return None
    deviation = max(math.sqrt(unchanged.variance), _LEAST_SCATTER) * math.sqrt(_FRESH_PAIR)
    reach = float(stdtrit(unchanged.freedom, 0.95)) * deviation
    return math.exp(-reach), math.exp(reach)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values (Holm, Scandinavian Journal of Statistics 6, 1979): what is at most 5 % holds together."""
    adjusted, largest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        largest = max(largest, min((len(p_values) - rank) * p, 1.0))
        adjusted[name] = largest
    return adjusted
