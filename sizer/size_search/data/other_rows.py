"""What a network is to be expected to come to on rows that had no part in the search. Pure numpy.

Half of the validation rows decide whether a target is reached. They are a sample: a mean over n rows whose losses
scatter by their own size is off by a factor of 1 / sqrt(n), a twentieth of 400 rows. How much it is off is read from
the rows themselves: each twentieth of them is left out in turn, and the metric taken on the others (the jackknife:
Quenouille 1956, Tukey 1958), which serves any metric. A share of rows has a closed form (Wilson 1927), which also holds
where all rows are right.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.size_search.data.halves import Rows, Validation
from sizer.size_search.data.metrics import higher_is_better, shortfall

#: Parts of the rows that are left out in turn.
_PARTS = 20
#: 95th percentiles of the normal distribution, and of Student's t with 19 degrees of freedom.
_NORMAL, _STUDENT = 1.645, 1.729
#: A relative error outside of these is none: nothing scatters (but for rounding), or a single row decides.
_ERRORS = 1e-6, 1.0
#: Metrics that are shares of rows.
_SHARES = ("accuracy", "error")


class OtherRows(NamedTuple):
    """The 90 % interval of the metric on other rows of the same kind, from so many validation rows."""

    low: float
    high: float
    n_rows: int


def deciding_rows(validation: Validation) -> Rows:
    """The validation rows that decide: one half, or all of them where the halves are crossed."""
    halves = validation.halves
    return np.concatenate(halves[:2]) if halves.is_crossed else halves.deciding


def expected_elsewhere(validation: Validation, predictions: npt.NDArray[np.floating], value: float) -> OtherRows | None:
    """The interval about a value of the metric, from predictions (n, outputs) for the rows that decide.

    None where these rows do not say, as where one of them makes the whole of the metric.
    """
    rows = deciding_rows(validation)
    if validation.metric in _SHARES:
        return OtherRows(*_wilson(value, len(rows)), len(rows))
    left_out = np.random.default_rng(0).permutation(len(rows)) % _PARTS
    logs = []
    for part in range(_PARTS):
        kept = left_out != part
        found = validation.value_on(predictions[kept], rows[kept])
        if not math.isfinite(found):
            return None
        logs.append(math.log(shortfall(validation.metric, found)))
    error = math.sqrt((_PARTS - 1) * float(np.var(logs)))
    if not _ERRORS[0] < error < _ERRORS[1]:
        return None
    ends = [shortfall(validation.metric, value) * math.exp(sign * _STUDENT * error) for sign in (-1.0, 1.0)]
    low, high = sorted(1.0 - end for end in ends) if higher_is_better(validation.metric) else ends
    return OtherRows(low, high, len(rows))


def _wilson(share: float, n_rows: int) -> tuple[float, float]:
    """Wilson's score interval of a share of rows."""
    square = _NORMAL**2 / n_rows
    middle = share + square / 2
    reach = _NORMAL * math.sqrt(share * (1.0 - share) / n_rows + square / (4 * n_rows))
    return (middle - reach) / (1 + square), (middle + reach) / (1 + square)
