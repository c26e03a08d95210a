"""Which validation rows choose, and which decide whether the target is reached. Pure numpy.

The better of two sets of weights, or of many networks, looks better on the rows that it was chosen by than it is. So
half of the validation rows choose, and the other half decide. With few rows a half says little: there each half decides
on what the other half chose (cross-fitting), and the target is held against all rows together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.size_search.data.metrics import LOSS, evaluate, reached, shortfall

#: With fewer validation rows, halves are crossed.
CROSS_FIT_BELOW = 400

#: Numbers that are kept of what a network predicts for the validation rows: 4 MiB.
_MOST_KEPT = 2**20

Rows = npt.NDArray[np.int64]
#: Predictions of the rows that choose (0) or decide (1).
Predict = Callable[[int], npt.NDArray[np.floating]]


class Halves(NamedTuple):
    """Positions of the validation rows that choose and that decide; ``is_crossed``: they do both, in turn."""

    choosing: Rows
    deciding: Rows
    is_crossed: bool


def halve(targets: npt.NDArray[np.generic]) -> tuple[Rows, Rows]:
    """Two halves of the rows, alike in their target: of each two neighbours in its order one, drawn by lot."""
    draw = np.random.default_rng(0)
    first = np.asarray(targets).reshape(len(targets), -1)[:, 0]
    ordered = np.lexsort((draw.random(len(first)), first))
    pairs = ordered[: len(ordered) // 2 * 2].reshape(-1, 2)
    swapped = np.where(draw.random((len(pairs), 1)) < 0.5, pairs, pairs[:, ::-1])
    return np.sort(swapped[:, 0]), np.sort(np.concatenate([swapped[:, 1], ordered[2 * len(pairs) :]]))


@dataclass(frozen=True, eq=False)
class Validation:
    """The answers to the validation rows, and what predictions for them are measured by.

    ``targets``, ``kind``, ``output_dim``, ``metric`` and ``scale`` are as `table.Task` has them.
    """

    kind: str
    targets: npt.NDArray[np.generic]
    output_dim: int
    metric: str = LOSS
    scale: npt.NDArray[np.float64] | float = 1.0

    @cached_property
    def halves(self) -> Halves:
        """The rows that choose and those that decide; crossed where they are few, or a half has no metric."""
        choosing, deciding = halve(self.targets)
        nothing = np.zeros((len(self.targets), self.output_dim))
        is_crossed = len(self.targets) < CROSS_FIT_BELOW or not all(
            math.isfinite(self.value_on(nothing[rows], rows)) for rows in (choosing, deciding)
        )
        return Halves(choosing, deciding, is_crossed)

    @cached_property
    def kept(self) -> tuple[Rows, Rows]:
        """Positions within the halves of the rows that predictions are kept for: all, or so many drawn."""
        most = max(1, _MOST_KEPT // (2 * self.output_dim))
        draw = np.random.default_rng(1)
        choosing, deciding = (np.sort(draw.permutation(len(half))[:most]) for half in self.halves[:2])
        return choosing, deciding

    def loss_on(self, predictions: npt.ArrayLike, rows: Rows) -> float:
        """The loss of predictions (n, output_dim), standardised targets or logits, of some rows."""
        return evaluate(LOSS, self.kind, predictions, self.targets[rows])

    def value_on(self, predictions: npt.ArrayLike, rows: Rows) -> float:
        """The metric of predictions (n, output_dim), standardised targets or logits, of some rows."""
        return evaluate(self.metric, self.kind, predictions, self.targets[rows], self.scale)

    def standing(self, predictions: npt.NDArray[np.floating], rows: Rows) -> tuple[float, float]:
        """What candidates are ordered by: the metric, and the loss where it is a tie; lower is better."""
        value, loss = self.value_on(predictions, rows), self.loss_on(predictions, rows)
        return (
            shortfall(self.metric, value) if math.isfinite(value) else math.inf,
            loss if math.isfinite(loss) else math.inf,
        )


class Judgement(NamedTuple):
    """Which candidate was chosen, and what the rows that decide say: its loss and the metric.

    ``choosing`` is the metric on the rows that chose, None where the halves were crossed.
    """

    chosen: int
    loss: float
    value: float
    choosing: float | None


def judge(validation: Validation, candidates: Sequence[Predict]) -> Judgement:
    """Choose among candidates on one half of the validation rows, and judge the chosen one on the other."""
    halves = validation.halves
    if halves.is_crossed:
        return _crossed(validation, candidates)
    standings = [validation.standing(predict(0), halves.choosing) for predict in candidates]
    chosen = _best(standings)
    choosing = validation.value_on(candidates[chosen](0), halves.choosing)
    return Judgement(chosen, *_measured(validation, candidates[chosen](1), halves.deciding), choosing)


def _crossed(validation: Validation, candidates: Sequence[Predict]) -> Judgement:
    """Each half decides on what the other chose; what goes on is what both choose together."""
    halves = validation.halves[:2]
    rows = np.concatenate(halves)
    predicted = [[predict(half) for predict in candidates] for half in (0, 1)]
    by_half = [[validation.standing(one, halves[half]) for one in predicted[half]] for half in (0, 1)]
    together = [np.concatenate(parts) for parts in zip(*predicted, strict=True)]
    judged = np.concatenate([predicted[0][_best(by_half[1])], predicted[1][_best(by_half[0])]])
    chosen = _best([validation.standing(one, rows) for one in together])
    return Judgement(chosen, *_measured(validation, judged, rows), None)


def _best(standings: Sequence[tuple[float, float]]) -> int:
    return min(range(len(standings)), key=standings.__getitem__)


def _measured(validation: Validation, predictions: npt.NDArray[np.floating], rows: Rows) -> tuple[float, float]:
    return validation.loss_on(predictions, rows), validation.value_on(predictions, rows)


def is_reached(metric: str, value: float, choosing: float | None, target: float) -> bool:
    """Whether a target is met: by the rows that decide, on a candidate that the rows that choose propose for it."""
    return reached(metric, value, target) and (choosing is None or reached(metric, choosing, target))


def worse_of(metric: str, value: float, choosing: float | None) -> float:
    """The shortfall of the half that is further from a target: a trial meets one when this does."""
    found = shortfall(metric, value)
    return found if choosing is None else max(found, shortfall(metric, choosing))
