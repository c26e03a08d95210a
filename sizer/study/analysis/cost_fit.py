"""Coefficients for measured trainings, in the published form and an extended one, with their errors (paper section 7).

A whole training is linear in the coefficients (`training_rows`). The fit minimises the sum of
log(predicted / measured)^2 over k >= 0 with the calibration's own solver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from sizer.base.errors import MeasurementError, UsageError, one_of
from sizer.calibration.fit import solve
from sizer.method.coefficients import term_unit
from sizer.method.cost import SMALL_WORK, Row, every_step_row, forward_row, small_work_row
from sizer.method.placement import FloatArray, Hierarchy
from sizer.study.analysis.quantity import AUTO, Quantity, costed
from sizer.study.runs.networks import Group, analysed
from sizer.study.step import Status, StudyStep, finite_or_none, record_rows

PUBLISHED, EXTENDED = "published", "extended"
_PUBLISHED_TERMS = ("experiment", "pass", "operation", "layer", "access", "traffic")
#: Terms of each form, by the first part of their name; the extended form has what the paper leaves out, too.
FORMS = {PUBLISHED: _PUBLISHED_TERMS, EXTENDED: (*_PUBLISHED_TERMS, "optimizer", *sorted(SMALL_WORK))}
#: A coefficient is identified when three standard errors are within this share of it, rough within its whole.
IDENTIFIED, ROUGH, _SURE = 0.02, 1.0, 3.0
#: Share of a term in the directions that the design does not see, from which on the term is not seen.
_UNSEEN = 1e-9
#: A term that fewer experiments have is left out: one experiment's noise is no coefficient.
_LEAST_EXPERIMENTS = 3
_SETTING = ["experiment_id", "dataset", "shape", "depth", "size", "batch_size", "epochs"]
#: Columns of the record's table, and what they are called there.
_SHOWN = ["hardware", "term", "value", "unit", "relative_error", "identification"]
_HEADINGS = ["hardware", "term", "value", "unit", "error", "status"]
_OF_SETS = ("n_observations", "n_features", "h_t", "h_s", "full", "num_free_parameters")
#: Edges of the bins of predicted / measured that are drawn: about as wide as those of the study's figure 5.
_BINS = np.linspace(0.4, 2.0, 65)
NEEDED = ("hardware", "optimizer", *_SETTING, *_OF_SETS)


class CostFit(NamedTuple):
    """A fit of the experiments of one hardware.

    ``coefficients`` has a term a row: term, value, unit, standard_error, relative_error, identification, share (of the
    predicted cost, mean over the experiments), experiments (that have the term). ``ratios`` are predicted / measured,
    shape (N,). ``condition`` is the condition number of the design relative to the predictions, its columns of equal
    length: large where terms cannot be told apart, infinite where some cannot at all.
    """

    coefficients: pd.DataFrame
    ratios: FloatArray
    condition: float

    @property
    def errors(self) -> dict[str, float]:
        """Mean and median of |ratio - 1| and standard deviation of ratio - 1: the errors of figure 5."""
        error = self.ratios - 1
        absolute = np.abs(error)
        return {"mean": float(absolute.mean()), "median": float(np.median(absolute)), "std": float(error.std())}


def fit_costs(
    runs: pd.DataFrame, levels: Mapping[str, Hierarchy], form: str = PUBLISHED, wanted: str = AUTO
) -> tuple[pd.DataFrame, pd.DataFrame, StudyStep]:
    """Fit each hardware's experiments: coefficients with their standard errors, and each experiment's ratio.

    The first frame has a term a row (hardware, form and `CostFit.coefficients`), the second an experiment a row
    (hardware, form, experiment_id, dataset, shape, depth, size, measured, predicted, ratio). An experiment's cost is
    the median over its runs, overhead included. Raises UsageError for an unknown form, MeasurementError for a frame
    without the cost or the columns, or with fewer experiments than terms.
    """
    if form not in FORMS:
        raise UsageError(f"unknown form {form!r}; {one_of(form, FORMS)}")
    known, quantity, rule = costed(runs, NEEDED, wanted, whole=True)
    terms, ratios = [], []
    numbers: dict[str, float | int | str | None] = {}
    for hardware, of_hardware in known.groupby("hardware"):
        experiments = _experiments(of_hardware, quantity)
        found = fit_one(experiments, levels, form, quantity)
        named = {"hardware": hardware, "form": form}
        terms.append(found.coefficients.assign(**named))
        each = experiments[[*_SETTING, "measured"]]
        ratios.append(each.assign(predicted=each["measured"] * found.ratios, ratio=found.ratios, **named))
        numbers[f"experiments_{hardware}"] = len(experiments)
        numbers |= {f"{name}_error_{hardware}": value for name, value in found.errors.items()}
        numbers[f"condition_{hardware}"] = finite_or_none(found.condition)
    every, each = pd.concat(terms, ignore_index=True), pd.concat(ratios, ignore_index=True)
    table = record_rows(every[_SHOWN].set_axis(_HEADINGS, axis=1))
    title = f"coefficients of {quantity.name}, {form} form"
    drawn = tuple(_histogram(each))
    return every, each, StudyStep("fit", title, len(runs), len(each), (rule,), numbers, table, points=drawn)


def _histogram(ratios: pd.DataFrame) -> Iterator[dict[str, float | int | str]]:
    """Experiments by their predicted / measured, in the bins of `_BINS`, those beyond in the outermost."""
    for hardware, some in ratios.groupby("hardware"):
        counts, _ = np.histogram(some["ratio"].clip(_BINS[0], _BINS[-1]), _BINS)
        for (low, high), count in zip(pairwise(_BINS.tolist()), counts.tolist(), strict=True):
            yield {"hardware": str(hardware), "ratio_lo": low, "ratio_hi": high, "count": count}


def _experiments(runs: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """One row an experiment, its cost the median over its runs."""
    same = runs.groupby(["experiment_id", "epochs"], sort=False)
    first = same.first()
    return first.assign(measured=same[quantity.whole].median()).reset_index()


def fit_one(experiments: pd.DataFrame, levels: Mapping[str, Hierarchy], form: str, quantity: Quantity) -> CostFit:
    """Fit experiments of one hardware, whose cost is in the column ``measured``.

    Raises MeasurementError where there are fewer experiments than terms.
    """
    row = training_rows(experiments, levels, FORMS[form])
    row = {name: count for name, count in row.items() if np.count_nonzero(count) >= _LEAST_EXPERIMENTS}
    if len(experiments) <= len(row):
        raise MeasurementError(
            f"{len(experiments)} experiments cannot tell {len(row)} terms apart; measure more networks, or use "
            f"the {PUBLISHED} form"
        )
    names = list(row)
    matrix, measured = np.column_stack([row[name] for name in names]), experiments["measured"].to_numpy(np.float64)
    values = solve(matrix, measured)
    predicted = matrix @ values
    ratios = predicted / measured
    spread, condition = standard_errors(matrix, predicted, measured)
    relative = np.divide(spread, values, out=np.full(len(values), np.nan), where=values > 0)
    coefficients = pd.DataFrame(
        {
            "term": names,
            "value": values,
            "unit": [term_unit(name, quantity.name) for name in names],
            "standard_error": spread,
            "relative_error": relative,
            "identification": [_identification(error) for error in relative],
            "share": (matrix * values / predicted[:, None]).mean(axis=0),
            "experiments": np.count_nonzero(matrix, axis=0),
        }
    )
    return CostFit(coefficients, ratios, condition)


def _identification(relative: float) -> Status:
    """What design and noise say of a coefficient of that relative standard error."""
    if np.isnan(relative):
        return Status.ZERO
    if _SURE * relative <= IDENTIFIED:
        return Status.IDENTIFIED
    return Status.ROUGH if _SURE * relative <= ROUGH else Status.NOT_IDENTIFIED


def standard_errors(matrix: FloatArray, predicted: FloatArray, measured: FloatArray) -> tuple[FloatArray, float]:
    """Standard error of each coefficient, shape (terms,), and the condition number of the design (`CostFit`).

    Around the minimum the log residuals are linear in the coefficients with the Jacobian J = matrix / predicted, so the
    covariance is s^2 (J^T J)^-1, s^2 the residual variance. All terms are in it, those at 0 too: what tells two terms
    apart is the design, not that one of them happened to end at its bound. Directions that the design does not see
    have infinite error.
    """
    jacobian = matrix / predicted[:, None]
    length = np.linalg.norm(jacobian, axis=0)
    _, singular, directions = np.linalg.svd(jacobian / length, full_matrices=False)
    residuals = np.log(predicted / measured)
    variance = float(residuals @ residuals) / (len(measured) - matrix.shape[1])
    seen = singular > singular[0] * len(measured) * np.finfo(np.float64).eps
    inverse = np.where(seen, 1 / np.where(seen, singular, 1.0) ** 2, 0.0)
    errors = np.sqrt(variance * (directions.T**2 @ inverse)) / length
    errors[(directions[~seen] ** 2).sum(axis=0) > _UNSEEN] = np.inf
    return errors, float(singular[0] / singular[-1]) if seen.all() else float("inf")


def training_rows(experiments: pd.DataFrame, levels: Mapping[str, Hierarchy], kinds: Sequence[str]) -> Row:
    """A term's name to its count in each whole training, shape (N,): every term whose first part is in ``kinds``.

    ``experiments`` has the columns of a runs frame (`sizer.study.runs.networks`), ``levels`` the hierarchy of each
    hardware in it. A level that only another hardware has counts 0.
    """
    total: Row = {"experiment": np.ones(len(experiments))}
    for group in analysed(experiments, levels):
        for name, count in _counts(group).items():
            if name.partition(".")[0] in kinds:
                total.setdefault(name, np.zeros(len(experiments)))[group.positions] = count
    return total


def _counts(group: Group) -> Row:
    """A whole training's counts: n h_t steps and n h_s test passes, each with its small work."""
    steps, tests = float(group.epochs * group.h_t), float(group.epochs * group.h_s)
    total: Row = {}
    rows = ((every_step_row, steps), (forward_row, tests), (small_work_row, tests))
    for row, times in rows:
        for name, count in row(group.networks).items():
            total[name] = total.get(name, 0.0) + times * count
    return total
