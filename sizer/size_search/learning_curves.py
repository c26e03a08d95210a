"""Where a learning curve is heading: when it is forecast to reach a loss, with the uncertainty of that. Pure numpy.

Against the doublings of the epochs the logarithm of a validation loss falls ever more slowly and, once the network
overfits, rises again. With S its trend now and D the trend's fall over a doubling, u doublings later it is taken at

    S(u) = S - D (u - c u^2 / 2),

lowest after 1 / c doublings; epochs scatter around it with the curve's own noise sigma, so that one meets a target
t with probability Phi((t - S(u)) / sigma). S, D and sigma are read off the last epochs; c and the errors of S and D are
not known, and the forecast is the mean over several values of each. (A power law with a floor, which never rises, gives
chances that are far too high: most networks that do not meet a target overfit.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Figures behind a constant: as in `policy`, what the search spends on the 117 recorded targets with another value.

#: Equally likely values of c (0 alone: 1.22 / 4.53 / 19.6), and of the standard errors by which D is off (0 alone:
#: 1.35 / 5.44 / 12.3).
CURVATURES = (0.0, 0.3, 0.8, 1.5, 3.0)
SLOPE_ERRORS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_SCENARIOS = np.array(np.meshgrid(CURVATURES, SLOPE_ERRORS, indexing="ij")).reshape(2, -1)

#: Epochs ahead at which a forecast is worked out: the first ten, and then ten a factor of four, up to 4,096.
AHEAD = np.unique(np.rint(np.concatenate([np.arange(1, 11), 10 * 4.0 ** (np.arange(1, 44) / 10)])))
_STEPS = np.diff(AHEAD, prepend=0.0)

#: The trend is read off so many doublings of the epochs (1.4: 1.25 / 5.02 / 28.4), and at least so many epochs
#: (4: 1.25 / 5.19 / 20.7).
WINDOW = 0.7
LEAST_WINDOW = 2
#: Prior of the fall over a doubling, mean (0.05: 1.25 / 5.19 / 31.2) and standard deviation (0.1: 1.19 / 5.27 / 36.2).
PRIOR_FALL = 0.2
PRIOR_FALL_SPREAD = 0.4
#: Prior of the noise (0.1: 1.19 / 5.76 / 35.9), what a single epoch adds to it (0: 1.30 / 5.05 / 20.3), and its weight
#: in epochs (30: 1.22 / 4.53 / 13.3).
PRIOR_NOISE = 0.03
EARLY_NOISE = 4.0
PRIOR_WEIGHT = 3.0


@dataclass(frozen=True)
class LearningCurve:
    """The values of a trial so far, one an epoch, each positive and better when smaller."""

    values: tuple[float, ...]

    @property
    def epochs(self) -> int:
        """Epochs so far."""
        return len(self.values)

    @cached_property
    def logs(self) -> FloatArray:
        """Natural logarithms of the values."""
        return np.log(np.asarray(self.values, dtype=np.float64))

    @cached_property
    def running_best(self) -> FloatArray:
        """Log of the best value up to each epoch."""
        return np.asarray(np.minimum.accumulate(self.logs))

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the log values around their trend: second differences of the last half, and a prior."""
        tail = self.logs[self.epochs // 2 :]
        squares = np.diff(tail, 2) ** 2 / 6.0  # (y[i-1] - 2 y[i] + y[i+1] has six times a value's variance)
        middle = float(np.median(squares)) / 0.455 * len(squares) if len(squares) else 0.0
        prior = PRIOR_NOISE * (1.0 + EARLY_NOISE / self.epochs)
        return math.sqrt((PRIOR_WEIGHT * prior**2 + middle) / (PRIOR_WEIGHT + len(squares)))

    @cached_property
    def trend(self) -> Trend:
        """The line y = level - fall log2(i / epochs) through the last `WINDOW` doublings, by Bayes' rule.

        Flat prior on the level, normal prior on the fall over a doubling.
        """
        start = max(0, min(int(self.epochs * 2.0**-WINDOW), self.epochs - LEAST_WINDOW))
        before = -np.log2(np.arange(start + 1, self.epochs + 1) / self.epochs)
        logs = self.logs[start:]
        precision = 1.0 / self.noise**2
        prior = 1.0 / PRIOR_FALL_SPREAD**2
        matrix = precision * np.array([[len(logs), before.sum()], [before.sum(), before @ before]])
        matrix[1, 1] += prior
        covariance = np.linalg.inv(matrix)
        level, fall = covariance @ (precision * np.array([logs.sum(), before @ logs]) + [0.0, prior * PRIOR_FALL])
        error = math.sqrt(covariance[1, 1])
        return Trend(float(level), float(fall), error, float(covariance[0, 1]) / error)


class Trend(NamedTuple):
    """A curve's trend at its last epoch.

    Log value, fall over a doubling, that one's standard error, and by how much the level is off when the fall is off by
    one standard error.
    """

    level: float
    fall: float
    error: float
    level_error: float


class Hitting(NamedTuple):
    """When a curve meets targets.

    ``first`` are the epochs at which it met each of them already, inf where it did not, shape (targets,); ``chances``
    the probability that it first meets it so many epochs ahead as `AHEAD` says, shape (targets, ahead).
    """

    first: FloatArray
    chances: FloatArray


def hitting(curve: LearningCurve, log_targets: npt.ArrayLike) -> Hitting:
    """When a curve meets each log target."""
    targets = np.atleast_1d(np.asarray(log_targets, dtype=np.float64))
    position = np.searchsorted(-curve.running_best, -targets, side="left")
    met = position < curve.epochs
    survival = np.exp(np.cumsum(_STEPS * _log_chance_to_miss(curve, targets), axis=-1))
    chances = -np.diff(survival, prepend=1.0, axis=-1).mean(axis=1)
    return Hitting(np.where(met, position + 1.0, np.inf), np.where(met[:, None], 0.0, chances))


def _log_chance_to_miss(curve: LearningCurve, log_targets: FloatArray) -> FloatArray:
    """Log of the chance that one epoch does not meet a target, shape (targets, scenarios, ahead)."""
    curvature, errors = _SCENARIOS[:, :, None]
    trend = curve.trend
    falls = trend.fall + errors * trend.error
    doublings = np.log2(1.0 + AHEAD / curve.epochs)
    # Nothing is known of how a rise goes on.
    progress = np.where(falls > 0, doublings - curvature * doublings**2 / 2, doublings)
    level = trend.level + errors * trend.level_error - falls * progress
    return -_softplus(1.702 * (log_targets[:, None, None] - level) / curve.noise)


def _softplus(x: FloatArray) -> FloatArray:
    """log(1 + e^x): minus the log of what the logistic distribution function leaves, whose tails are as real noise's.

    1.702 times a normal deviate has about the normal distribution function.
    """
    return np.log1p(np.exp(np.clip(x, -50.0, 50.0)))
