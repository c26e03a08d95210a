"""Metrics that a search can aim at, from predictions and targets on the validation part. Pure numpy.

Predictions of a regression are (n, output_dim) in standardised units, as the targets are; those of a classification are
logits (n, classes), the targets (n,) class indices. Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.base.errors import UsageError, one_of

Floats = npt.NDArray[np.float64]
REGRESSION = "regression"
CLASSIFICATION = "classification"
KINDS = (REGRESSION, CLASSIFICATION)
#: The quantity that training minimises: mean squared error of standardised targets, or cross entropy in nats.
LOSS = "loss"


class Metric(NamedTuple):
    """A metric of one kind of task; ``low`` and ``high`` are the values it can have, None for no bound."""

    name: str
    kind: str
    higher_is_better: bool
    low: float | None
    high: float | None
    describes: str
    function: Callable[[Floats, Any, Floats], float]


def metric_of(name: str, kind: str) -> Metric:
    """The metric of that name. Raises UsageError, which lists those of the kind, when there is none."""
    found = _METRICS.get((kind, name))
    if found is None:
        raise UsageError(f"unknown metric {name!r} for {kind}; {one_of(name, metric_names(kind))}")
    return found


def metric_names(kind: str) -> tuple[str, ...]:
    """Names of the metrics of a kind of task."""
    return tuple(name for of_kind, name in _METRICS if of_kind == kind)


def evaluate(
    name: str, kind: str, predictions: npt.ArrayLike, targets: npt.ArrayLike, scale: npt.ArrayLike = 1.0
) -> float:
    """The value of a metric on predictions; NaN where the predictions are not all finite.

    ``scale`` is the standard deviation of each target, which brings mse, rmse and mae into the data's own units.
    """
    metric = metric_of(name, kind)
    predicted = np.asarray(predictions, dtype=np.float64)
    if not np.isfinite(predicted).all():
        return math.nan
    exact = np.asarray(targets, dtype=np.float64 if kind == REGRESSION else np.int64)
    return float(metric.function(predicted, exact, np.asarray(scale, dtype=np.float64)))


def higher_is_better(name: str) -> bool:
    """Whether a larger value of the metric is better; metrics of the two kinds that share a name agree."""
    return any(metric.higher_is_better for metric in _METRICS.values() if metric.name == name)


def reached(name: str, value: float, target: float) -> bool:
    """Whether a value of the metric is as good as the target. NaN and infinities reach nothing."""
    if not math.isfinite(value):
        return False
    return value >= target if higher_is_better(name) else value <= target


#: Metrics that are better when higher are at most 1; what is missing to 1 is what a search brings down.
_PERFECT = 1.0
#: Shortfalls below this count as this: their logarithm must exist.
_LEAST = 1e-9


def shortfall(name: str, value: float) -> float:
    """A metric's value as a positive number that is better when smaller."""
    return max(_PERFECT - value if higher_is_better(name) else value, _LEAST)


def check_target(name: str, kind: str, target: object) -> float:
    """The target as a number inside the metric's bounds. Raises UsageError."""
    metric = metric_of(name, kind)
    if isinstance(target, bool) or not isinstance(target, (int, float)) or not math.isfinite(target):
        raise UsageError(f"the target {name} is {target!r}; expected a number")
    low, high = metric.low, metric.high
    if (low is not None and target < low) or (high is not None and target > high):
        raise UsageError(f"the target {name} is {target:g}; {name} lies {_bounds(metric)}: give a target in there")
    return float(target)


def _bounds(metric: Metric) -> str:
    if metric.low is not None and metric.high is not None:
        return f"from {metric.low:g} to {metric.high:g}"
    return f"at or above {metric.low:g}" if metric.low is not None else f"at or below {metric.high:g}"


def _squared_error(predictions: Floats, targets: Floats, scale: Floats) -> float:
    return float(np.mean(((predictions - targets) * scale) ** 2))


def _standardised_error(predictions: Floats, targets: Floats, scale: Floats) -> float:  # noqa: ARG001
    return _squared_error(predictions, targets, np.float64(1.0))


def _root_mean_square(predictions: Floats, targets: Floats, scale: Floats) -> float:
    return math.sqrt(_squared_error(predictions, targets, scale))


def _absolute_error(predictions: Floats, targets: Floats, scale: Floats) -> float:
    return float(np.mean(np.abs((predictions - targets) * scale)))


def _r2(predictions: Floats, targets: Floats, scale: Floats) -> float:  # noqa: ARG001
    """Coefficient of determination, the mean over the outputs; NaN where every target is the same."""
    residual = ((targets - predictions) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.mean(1.0 - residual / total)) if (total > 0).all() else math.nan


def _cross_entropy(logits: Floats, classes: npt.NDArray[np.int64], scale: Floats) -> float:  # noqa: ARG001
    """Mean of log(sum exp(logits)) minus the logit of the true class, in nats."""
    top = logits.max(axis=1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float(np.mean(log_sum - logits[np.arange(len(classes)), classes]))


def _accuracy(logits: Floats, classes: npt.NDArray[np.int64], scale: Floats) -> float:  # noqa: ARG001
    return float(np.mean(logits.argmax(axis=1) == classes))


def _error(logits: Floats, classes: npt.NDArray[np.int64], scale: Floats) -> float:
    return 1.0 - _accuracy(logits, classes, scale)


def _counts(logits: Floats, classes: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Of each class: predicted rightly, predicted, and there."""
    width = logits.shape[1]
    predicted = logits.argmax(axis=1)
    right, found, there = (
        np.bincount(these, minlength=width).astype(np.float64)
        for these in (classes[predicted == classes], predicted, classes)
    )
    return right, found, there


def _balanced_accuracy(logits: Floats, classes: npt.NDArray[np.int64], scale: Floats) -> float:  # noqa: ARG001
    """Mean recall of the classes that are there."""
    right, _, there = _counts(logits, classes)
    return float(np.mean(right[there > 0] / there[there > 0]))


def _f1(logits: Floats, classes: npt.NDArray[np.int64], scale: Floats) -> float:  # noqa: ARG001
    """Mean F1 score of the classes that are there or predicted (macro average)."""
    right, predicted, there = _counts(logits, classes)
    seen = predicted + there > 0
    return float(np.mean(2 * right[seen] / (predicted + there)[seen]))


def _auc(logits: Floats, classes: npt.NDArray[np.int64], scale: Floats) -> float:  # noqa: ARG001
    """Area under the ROC curve, each class against the rest, averaged over classes; NaN where only one is there."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    there = np.unique(classes)
    if len(there) < 2:
        return math.nan
    return float(np.mean([_area(scores[:, one], classes == one) for one in there]))


def _area(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, ties counted half (Mann and Whitney)."""
    values, position, counts = np.unique(scores, return_inverse=True, return_counts=True)
    assert len(values)  # (the caller has at least two observations)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[position]
    hits = int(positive.sum())
    misses = len(positive) - hits
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


_METRICS: dict[tuple[str, str], Metric] = {
    (metric.kind, metric.name): metric
    for metric in (
        Metric(
            LOSS, REGRESSION, False, 0.0, None, "mean squared error of the standardised target", _standardised_error
        ),
        Metric("mse", REGRESSION, False, 0.0, None, "mean squared error", _squared_error),
        Metric("rmse", REGRESSION, False, 0.0, None, "root mean squared error", _root_mean_square),
        Metric("mae", REGRESSION, False, 0.0, None, "mean absolute error", _absolute_error),
        Metric("r2", REGRESSION, True, None, 1.0, "coefficient of determination", _r2),
        Metric(LOSS, CLASSIFICATION, False, 0.0, None, "cross entropy in nats", _cross_entropy),
        Metric("accuracy", CLASSIFICATION, True, 0.0, 1.0, "share predicted rightly", _accuracy),
        Metric("error", CLASSIFICATION, False, 0.0, 1.0, "share predicted wrongly", _error),
        Metric("balanced_accuracy", CLASSIFICATION, True, 0.0, 1.0, "mean recall of the classes", _balanced_accuracy),
        Metric("f1", CLASSIFICATION, True, 0.0, 1.0, "mean F1 score of the classes", _f1),
        Metric("auc", CLASSIFICATION, True, 0.0, 1.0, "area under the ROC curve, one against the rest", _auc),
    )
}
