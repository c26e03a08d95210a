"""From measured steps to coefficients: non-negative, minimising the sum of log(predicted / measured)^2. Pure.

The paper's terms are always in; others stay while they lower the cross-validated error. The prediction
interval is conformal: quantiles of the cross-validated residuals, so it holds whatever their distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sizer.calibration.measurements import Case
from sizer.method.coefficients import Coefficients
from sizer.method.cost import SMALL_WORK, Row, analyse, every_step_row, launch_row, predict
from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.training_step import Training
from sizer.method.working_sets import count_parameters, stack
from sizer.models.shapes import residual_additions

FOLDS = 5
COVERAGE = 0.90

#: Terms that may enter beside the paper's, by the first part of their name.
CANDIDATE_TERMS = ("optimizer", *sorted(SMALL_WORK))
_PAPER_TERMS = ("pass", "operation", "layer", "access", "traffic")
#: Always in on a GPU, where optimizers of several forms are timed.
_FORM_TERMS = ("unfused", "launch_foreach", "launch_foreach_tensor", "launch_single_tensor")
#: Terms with one coefficient a level: costs do not fall with the distance of a level, so that no size is cheaper for
#: being too large for a cache. Without this a MiB from L1 is priced above one from RAM, and predictions fall by up to
#: 3 % while widths grow; it costs 0.3 points of the mean error on the files in docs/benchmarks.md.
_BY_LEVEL = ("access", "traffic", "optimizer")
_MIN_NETWORKS = 3
#: Terms that fewer networks show: those of the plan's corners that are there for it, and other terms would pay for.
_FEWER_NETWORKS = {"mapped": 1}


class Fit(NamedTuple):
    """Coefficients with what is known of their error.

    ``terms`` are per unit counted; ``ratios`` the cross-validated predicted / measured of each network, shape (N,);
    ``interval`` the factors that turn a prediction into its 90 % interval.
    """

    terms: dict[str, float]
    ratios: FloatArray
    interval: tuple[float, float]

    @property
    def mean_error(self) -> float:
        """Cross-validated mean of |predicted / measured - 1|."""
        return float(np.mean(np.abs(self.ratios - 1)))

    def error_quantile(self, share: float) -> float:
        """Cross-validated quantile of |predicted / measured - 1|."""
        return float(np.quantile(np.abs(self.ratios - 1), share))


def design(cases: Sequence[Case], training: Training, hierarchy: Hierarchy, on_gpu: bool = False) -> Row:
    """Counts of every term for each network, shape (N,) each; on a GPU also those of what is launched."""
    rows = list(_rows(cases, training, hierarchy, on_gpu))
    return {name: np.array([row[name][0] for row in rows]) for name in rows[0]}


def _rows(cases: Sequence[Case], training: Training, hierarchy: Hierarchy, on_gpu: bool) -> Iterator[Row]:
    for case in cases:
        full = stack([case.full])
        additions = residual_additions(case.shape or "", len(case.widths))
        settings = training._replace(batch_size=case.batch_size, optimizer_form=case.form)
        networks = analyse(full, count_parameters(full), settings, hierarchy, additions)
        row = every_step_row(networks)
        yield row | launch_row(networks) if on_gpu else row


def fit(row: Row, measured: FloatArray, seed: int = 0) -> Fit:
    """Fit coefficients to measured steps, in J or s, shape (N,), choosing the terms by cross-validation.

    The paper's terms are always in, and costs do not fall with the distance of a level. The others start in together,
    because some pay only beside each other, and leave one by one while the cross-validated error does not rise.
    """
    columns, ratios = choose_columns(row, measured, seed)
    matrix = np.column_stack(list(columns.values()))
    return Fit(named_terms(columns, solve(matrix, measured)), ratios, conformal_interval(ratios))


def choose_columns(row: Row, measured: FloatArray, seed: int = 0) -> tuple[Row, FloatArray]:
    """The columns that `fit` takes, and the cross-validated predicted / measured with them, shape (N,).

    Those of levels hold what is at the level and beyond; `named_terms` makes costs of levels of their coefficients.
    """
    row = from_afar(row)
    groups = [group for group in CANDIDATE_TERMS if _members(row, group)]
    ratios = _cross_validated(row, _named(row, groups), measured, seed)
    while groups:
        tried = {
            group: _cross_validated(row, _named(row, [other for other in groups if other != group]), measured, seed)
            for group in groups
        }
        least = min(tried, key=lambda group: _error(tried[group]))
        if _error(tried[least]) > _error(ratios):
            break
        ratios = tried[least]
        groups.remove(least)
    return {name: row[name] for name in _named(row, groups)}, ratios


def named_terms(columns: Row, coefficients: FloatArray) -> dict[str, float]:
    """Coefficients of the columns of `choose_columns`, shape (columns,), as those of terms that cost anything."""
    terms = _by_level(dict(zip(columns, coefficients.tolist(), strict=True)))
    return {name: value for name, value in terms.items() if value > 0}


def from_afar(row: Row) -> Row:
    """The row with each level's counts replaced by those of that level and all beyond it.

    A coefficient of such a column is what the level costs more than the one before, which is never negative.
    """
    beyond = dict(row)
    for kind in _BY_LEVEL:
        names = [name for name in row if name.split(".")[0] == kind]  # (nearest first, as a hierarchy has its levels)
        for nearer, name in reversed(list(pairwise(names))):
            beyond[nearer] = row[nearer] + beyond[name]
    return beyond


def _by_level(increments: Mapping[str, float]) -> dict[str, float]:
    """Costs of levels from what each costs more than the one before; the other terms as they are."""
    terms: dict[str, float] = {}
    sums: dict[str, float] = {}
    for name, value in increments.items():
        kind = name.split(".")[0]
        sums[kind] = sums.get(kind, 0.0) + value if kind in _BY_LEVEL else value
        terms[name] = sums[kind]
    return terms


def predict_terms(row: Row, terms: Mapping[str, float]) -> FloatArray:
    """What fitted terms say of each network's time in s, shape (N,)."""
    return predict(row, Coefficients("calibrated", "calibrated", "time", terms))


def _named(row: Row, groups: Sequence[str]) -> list[str]:
    """The columns of the paper's terms and of these groups."""
    return [name for group in (*_PAPER_TERMS, *_FORM_TERMS, *groups) for name in _members(row, group)]


def _members(row: Row, group: str) -> list[str]:
    """The columns of a group of terms that enough networks have: one network's noise is no coefficient."""
    fewest = _FEWER_NETWORKS.get(group, _MIN_NETWORKS)
    return [name for name in row if name.split(".")[0] == group and np.count_nonzero(row[name]) >= fewest]


def _matrix(row: Row, names: Sequence[str]) -> FloatArray:
    return np.column_stack([row[name] for name in names])


def _error(ratios: FloatArray) -> float:
    return float(np.mean(np.abs(np.log(ratios))))


def _cross_validated(row: Row, names: Sequence[str], measured: FloatArray, seed: int) -> FloatArray:
    """Predicted / measured of each network by coefficients fitted without its fold."""
    matrix = _matrix(row, names)
    fold = np.random.default_rng(seed).permutation(len(measured)) % FOLDS
    ratios = np.empty(len(measured))
    for held_out in range(FOLDS):
        coefficients = solve(matrix[fold != held_out], measured[fold != held_out])
        ratios[fold == held_out] = matrix[fold == held_out] @ coefficients / measured[fold == held_out]
    return ratios


def solve(matrix: FloatArray, measured: FloatArray) -> FloatArray:
    """Coefficients k >= 0 that minimise the sum of log(matrix k / measured)^2, shape (terms,).

    The start is the non-negative least squares of the relative error, which has no local minima; scipy's bounded
    trust-region method takes it from there with the exact Jacobian.
    """
    from scipy.optimize import least_squares, nnls

    coefficients = np.zeros(matrix.shape[1])
    counted = matrix.any(axis=0)  # a term that no network here has is not known from them
    scale = matrix[:, counted].max(axis=0)
    relative = matrix[:, counted] / scale / measured[:, None]
    start, _ = nnls(relative, np.ones(len(measured)))
    start = np.maximum(start, 1e-6 * start.max())
    found = least_squares(
        lambda k: np.log(relative @ k),
        start,
        jac=lambda k: relative / (relative @ k)[:, None],
        bounds=(1e-12 * start.max(), np.inf),
        x_scale=start,
    )
    coefficients[counted] = np.where(found.x > 1e-9 * start.max(), found.x, 0.0) / scale
    return coefficients


def conformal_interval(ratios: FloatArray) -> tuple[float, float]:
    """Factors on a prediction between which 90 % of new networks fall.

    Quantiles of measured / predicted over cross-validated residuals, each side with the finite-sample correction
    (n + 1) / n of split conformal prediction (Vovk et al. 2005).
    """
    factors = np.sort(1 / ratios)
    count = len(factors)
    beyond = max(int(np.floor((1 - COVERAGE) / 2 * (count + 1))) - 1, 0)
    return float(factors[beyond]), float(factors[count - 1 - beyond])
