"""Times of calls that were not timed, from those of their family that were, each with its own error. Pure arithmetic.

A call's time is a sum of non-negative terms (a call, FLOPs, bytes by whether a cache holds them), which tells the
trend, times what kernels make of shapes, which a Gaussian process over the family's features tells in logarithms
(Rasmussen and Williams, Gaussian Processes for Machine Learning, equations 2.25, 2.26 and 5.12).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Calls of a family from which others are told.
FEWEST = 4
#: Doublings of a size over which times stay alike: of these the one that tells left-out calls best is taken.
_LENGTHS = (2.0, 4.0, 8.0)
#: Relative error of a timing: of 2,201 calls of a calibration that were timed again, two in three came out within 4 to
#: 8 % of what they had been (divided by the root of two: 3 to 5 % near; docs/operators.md).
NOISE = 0.05
#: Deviation of a family's times from its trend where there are too few to tell.
_LEAST_DEVIATION = 0.15
#: Deviation of what a family of so few calls tells that its terms go through all of them, and show no error: an LSTM's
#: backward kernel was told a third of its time so by five others.
_FEW_DEVIATION = 0.4
#: No call takes less, whatever the trend says of one without bytes.
_LEAST_S = 1e-7
#: Bytes from which a call's operands do not lie in a near cache, as one of the terms: cores have 1 to 2 MiB of L2.
_NEAR_BYTES = 2**20


class Work(NamedTuple):
    """What a call does: FLOPs (2 a multiply-accumulate), bytes in and out, tensors."""

    flops: float
    bytes_in: float
    bytes_out: float
    tensors: float


class Known(NamedTuple):
    """A timed call of a family: where it stands, what it does, its time in s near and far."""

    features: Sequence[float]
    work: Work
    near_s: float
    far_s: float


class Told(NamedTuple):
    """Times in s near and far, and the deviation of the logarithm of either."""

    near_s: float
    far_s: float
    deviation: float


class _Fitted(NamedTuple):
    """A process with its weights and its inverse covariance, and what it misses of calls that are left out in turn.

    ``error`` is the mean absolute error in logarithms, ``wider`` how many of its own deviations it misses by (the root
    mean square, 1 at least).
    """

    error: float
    wider: float
    weights: Array
    inverse: Array


class Interpolation:
    """The times of a family as far as they are known."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._features = np.array([each.features for each in known], dtype=np.float64)
        rows = np.array([_terms(each.work) for each in known])
        times = np.array([[each.near_s, each.far_s] for each in known])
        self._trend = np.stack([non_negative(rows / column[:, None]) for column in times.T])
        spare = len(known) - int((self._trend > 0).sum(axis=1).max())
        self._least_deviation = 0.0 if spare >= FEWEST else _FEW_DEVIATION
        about = np.log(times / np.maximum(rows @ self._trend.T, _LEAST_S))
        self._mean = about.mean(axis=0)
        residual = about - self._mean
        self._scale = max(float(np.std(residual)), _LEAST_DEVIATION)
        self._length = min(_LENGTHS, key=lambda length: self._left_out(residual, length).error)
        self._fitted = self._left_out(residual, self._length)
        self.error = self._fitted.error

    def tell(self, features: Sequence[float], work: Work) -> Told:
        """The times of a call of the family."""
        row = np.maximum(self._trend @ _terms(work), _LEAST_S)
        near = self._scale**2 * _alike(_distances(np.array([features]), self._features), self._length)[0]
        shift = self._mean + near @ self._fitted.weights
        variance = max(self._scale**2 - float(near @ self._fitted.inverse @ near), 0.0) + NOISE**2
        near_s, far_s = row * np.exp(shift)
        deviation = max(self._fitted.wider * float(np.sqrt(variance)), self._least_deviation)
        return Told(float(near_s), float(max(far_s, near_s)), deviation)

    def _left_out(self, residual: Array, length: float) -> _Fitted:
        """The process of that length, with what it misses of calls that are left out in turn."""
        alike = _alike(_distances(self._features, self._features), length)
        inverse = np.linalg.inv(self._scale**2 * alike + NOISE**2 * np.eye(len(alike))).astype(np.float64)
        weights, precision = inverse @ residual, np.diag(inverse)[:, None]
        missed = weights / precision
        wider = max(float(np.sqrt(np.mean(missed**2 * precision))), 1.0)
        return _Fitted(float(np.mean(np.abs(missed))), wider, weights, inverse)


def _terms(work: Work) -> Array:
    moved = work.bytes_in + work.bytes_out
    return np.array([1.0, work.flops, moved, max(moved - _NEAR_BYTES, 0.0), work.tensors])


def non_negative(relative: Array, weights: Array | None = None) -> Array:
    """The coefficients that bring rows times them nearest to 1: least squares with the terms that come out positive."""
    count, best, least = relative.shape[1], np.zeros(relative.shape[1]), np.inf
    target = np.ones(len(relative)) if weights is None else weights
    weighed = relative * target[:, None]
    scale = np.maximum(np.abs(weighed).max(axis=0), 1e-300)
    for size in range(1, count + 1):
        for chosen in map(list, combinations(range(count), size)):
            found = np.linalg.lstsq(weighed[:, chosen] / scale[chosen], target, rcond=None)[0]
            off = float(np.sum((weighed[:, chosen] / scale[chosen] @ found - target) ** 2))
            if off < least and (found > 0).all():
                best, least = np.zeros(count), off
                best[chosen] = found / scale[chosen]
    return best


def _distances(one: Array, other: Array) -> Array:
    distances: Array = np.sqrt(np.maximum(((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=2), 0.0))
    return distances


def _alike(distances: Array, length: float) -> Array:
    """The Matern covariance of order 3/2 (their equation 4.17)."""
    scaled = np.sqrt(3.0) * distances / length
    covariance: Array = (1 + scaled) * np.exp(-scaled)
    return covariance
