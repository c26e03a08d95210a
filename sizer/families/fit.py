"""From the timed members to the time of every other one, with an interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sizer.calibration.fit import solve
from sizer.families.terms import Row
from sizer.method.placement import FloatArray

#: Half of the interval, in the logarithm, where fits miss nothing: six sizes and four terms leave little to see of what
#: bends between them. Set with 154 held-out sizes of nine families; of 98 that came later it covers 94 %
#: (docs/families.md).
_LEAST_HALF = 0.065
#: Factors between which a quiet time is measured again.
MEASURED_AGAIN = (0.97, 1.03)


class FamilyFit(NamedTuple):
    """Costs of the terms in s a unit counted, and what is known of their error.

    ``ratios`` are predicted / measured of each timed member by a fit without it; ``interval`` the factors that turn a
    prediction into its 90 % interval. ``missed`` has for each timed member, by what the terms say, the logarithm of
    that, and of how many times as long it took.
    """

    terms: dict[str, float]
    ratios: tuple[float, ...]
    interval: tuple[float, float]
    missed: tuple[tuple[float, float], ...]

    @property
    def mean_error(self) -> float:
        """Mean of |predicted / measured - 1|, each predicted by a fit without it."""
        return float(np.mean(np.abs(np.array(self.ratios) - 1)))


def fit(rows: Row, measured_s: FloatArray) -> FamilyFit:
    """Fit the costs of terms to measured steps, shape (N,), by the error of their logarithm; none is negative."""
    ratios = _left_out(rows, measured_s)
    terms = costs(rows, measured_s)
    missed = _missed(predict_with(rows, terms), measured_s)
    return FamilyFit(terms, tuple(ratios.tolist()), interval(ratios, ratios * measured_s), missed)


def costs(rows: Row, measured_s: FloatArray) -> dict[str, float]:
    """The costs of the terms in s a unit counted, those that cost anything."""
    columns = _columns(rows)
    found = solve(np.column_stack([rows[name] for name in columns]), measured_s)
    return {name: cost for name, cost in zip(columns, found.tolist(), strict=True) if cost > 0}


def predict(rows: Row, found: FamilyFit) -> FloatArray:
    """The time of a step in s, shape (N,): that of the terms, times what they miss at the timed sizes.

    Between two of these that factor is interpolated in logarithms: what bends there, no term foresees. Of nine families
    one held-out size in twenty is off by more than 12 % so, by 15 % without (docs/families.md).
    """
    return _with_missed(predict_with(rows, found.terms), found.missed)


def _missed(predicted_s: FloatArray, measured_s: FloatArray) -> tuple[tuple[float, float], ...]:
    order = np.argsort(predicted_s)
    told, took = np.log(predicted_s[order]), np.log(measured_s[order])
    return tuple(zip(told.tolist(), (took - told).tolist(), strict=True))


def _with_missed(predicted_s: FloatArray, missed: Sequence[tuple[float, float]]) -> FloatArray:
    return np.asarray(predicted_s * np.exp(np.interp(np.log(predicted_s), *np.transpose(missed))))


def predict_with(rows: Row, terms: Mapping[str, float]) -> FloatArray:
    """What the terms alone say, by their costs."""
    return np.asarray(sum(cost * rows[name] for name, cost in terms.items()))


def _columns(rows: Row) -> list[str]:
    """The terms that differ between members, and the step itself, which stands for those that do not."""
    return [name for name, counts in rows.items() if name == "step" or counts.min() < counts.max()]


def _left_out(rows: Row, measured_s: FloatArray) -> FloatArray:
    """Predicted / measured of each member by a fit to the others."""
    count = len(measured_s)
    ratios = np.ones(count)
    for one in range(count):
        others = np.arange(count) != one
        rest_s = measured_s[others]
        terms = costs({name: counts[others] for name, counts in rows.items()}, rest_s)
        told = predict_with(rows, terms)
        ratios[one] = _with_missed(told, _missed(told[others], rest_s))[one] / measured_s[one]
    return ratios


def interval(ratios: FloatArray, predicted_s: FloatArray) -> tuple[float, float]:
    """Factors between which 90 % of the sizes between the timed ones fall.

    From the root mean square of what fits miss that leave out one timed size each: of those between the ends, since at
    an end such a fit extrapolates, and the sizes that are predicted lie between them.
    """
    inner = np.argsort(predicted_s)[1:-1]
    missed = np.log(ratios[inner] if len(inner) else ratios)
    half = np.hypot(_LEAST_HALF, np.sqrt(np.mean(missed**2)))
    return float(np.exp(-half)), float(np.exp(half))
