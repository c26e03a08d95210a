"""What runs prove: ratios to unchanged runs before and after, intervals, and tests that hold together. Pure arithmetic.

A run of a lever at a time *t* is held against the unchanged runs around it, their logarithms interpolated in time, so
that a machine that grows slower over minutes slows both. The logarithm of each ratio is one observation r. Of one lever
they scatter by s, estimated from its own n observations and, as strongly as `_PRIOR` of them, from all levers together
and from unchanged runs held against their own neighbours (A/A): a moderated t statistic (Smyth, Statistical
Applications in Genetics and Molecular Biology 3(1), 2004, equation 2 of section 5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

#: The ratio that a lever has to stay below to be worth a line in a script: it gains at least 3 %.
WORTH = 0.97
#: Chance that any lever of a tuning is recommended which is not worth it.
FAMILY_ERROR = 0.05
#: Observations that the scatter of all levers counts for in that of one.
_PRIOR = 8.0
#: Least scatter of a logarithm: two of three pairs of runs on a quiet machine agree no better (docs/tuning.md).
_LEAST_SCATTER = 0.004
#: Unchanged runs before and after have half of the variance of one run, interpolated; in a fresh pair both have all.
_FRESH_PAIR = 2.0 / 1.5
#: What an A/A observation counts: neighbours overlap in two of their three runs, so half as many are independent (their
#: correlations of -2/3 and 1/6 make it 0.51).
_OVERLAP = 0.5


class CostOf(NamedTuple):
    """One run: when it was (s, any origin), of which lever (empty: unchanged), what a step cost."""

    at_s: float
    lever: str
    cost: float


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

    Only runs ``between`` unchanged ones count, since nothing takes a drift out of others; those are held against the
    nearest one otherwise. Where an unchanged run is missing, its neighbours are interpolated over a wider gap with the
    weight of the others. Without an unchanged run there are none.
    """
    unchanged = sorted((run.at_s, math.log(run.cost)) for run in runs if not run.lever)
    if not unchanged:
        return {}
    times, logs = zip(*unchanged, strict=True)
    found: dict[str, list[float]] = {"": []}
    for run in runs:
        if run.lever and (times[0] < run.at_s < times[-1] or not between):
            found.setdefault(run.lever, []).append(math.log(run.cost) - float(np.interp(run.at_s, times, logs)))
    for index in range(1, len(times) - 1):
        around = [index - 1, index + 1]
        expected = np.interp(times[index], [times[k] for k in around], [logs[k] for k in around])
        found[""].append(logs[index] - float(expected))
    return found


class Scatter(NamedTuple):
    """Sum of squared deviations of logarithms, and its degrees of freedom."""

    squares: float
    freedom: float


def scatter(groups: Iterable[Sequence[float]], unchanged: Sequence[float]) -> Scatter:
    """That of all levers around their own means, and of unchanged runs around their neighbours."""
    squares, freedom = _OVERLAP * sum(value**2 for value in unchanged), _OVERLAP * len(unchanged)
    for values in groups:
        mean = sum(values) / len(values) if values else 0.0
        squares += sum((value - mean) ** 2 for value in values)
        freedom += max(len(values) - 1, 0)
    return Scatter(squares, freedom)


def compared(values: Sequence[float], pooled: Scatter) -> Compared:
    """What the logarithms of a lever's ratios, at least one, say together with the scatter of all.

    Without any scatter to go by (one run of each) the interval is 0 to infinity and p is 1.
    """
    count, mean = len(values), sum(values) / len(values)
    own = sum((value - mean) ** 2 for value in values)
    prior = min(pooled.freedom, _PRIOR)
    freedom = prior + count - 1
    if freedom <= 0:
        return Compared(math.exp(mean), 0.0, math.inf, count, 1.0)
    usual = pooled.squares / pooled.freedom if pooled.freedom else 0.0
    deviation = max(math.sqrt((prior * usual + own) / freedom), _LEAST_SCATTER)
    reach = float(stdtrit(freedom, 0.95)) * deviation * math.sqrt(_FRESH_PAIR + _variance_of_mean(count))
    p = float(stdtr(freedom, (mean - math.log(WORTH)) / (deviation * math.sqrt(_variance_of_mean(count)))))
    return Compared(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), count, p)


def _variance_of_mean(count: int) -> float:
    """Variance of the mean of so many observations of a lever over that of one: neighbours share an unchanged run.

    An observation is x_i - (u_i + u_i+1) / 2 of equally scattered runs, variance 3/2; their sum has n for the x and
    n - 1/2 for the u.
    """
    return (2 * count - 0.5) / (1.5 * count**2)


def apart(pooled: Scatter) -> tuple[float, float] | None:
    """How far runs of the same lie apart: the 90 % interval of the ratio of two; None where nothing is known of it."""
    if pooled.freedom < 1:
        return None
    deviation = max(math.sqrt(pooled.squares / pooled.freedom), _LEAST_SCATTER) * math.sqrt(_FRESH_PAIR)
    reach = float(stdtrit(pooled.freedom, 0.95)) * deviation
    return math.exp(-reach), math.exp(reach)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values (Holm, Scandinavian Journal of Statistics 6, 1979): what is at most 5 % holds together."""
    adjusted, largest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        largest = max(largest, min((len(p_values) - rank) * p, 1.0))
        adjusted[name] = largest
    return adjusted
