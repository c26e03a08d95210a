"""What a step takes beside its operators: calling them, making views, memory that the system hands out. Pure.

Fitted to whole steps of reference blocks, whose operators were timed as well: measured time is a non-negative sum of
the operators' own time, calls and views by phase, and bytes that a step is given anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sizer.operators.interpolation import Array, non_negative
from sizer.operators.step_price import StepSum

#: What a step is made of, in the order of the coefficients.
TERMS = ("operators_s", "forward", "backward", "optimizer", "views", "kept_bytes")
#: Whole steps from which the coefficients are fitted.
FEWEST_STEPS = 8
#: What a step of several reference blocks is called.
SEVERAL = "together"
#: Steps of so many s count half: what lies between operators scatters, and is most of a shorter one.
_HALF_S = 2e-3
#: A step that is off by more than so much was disturbed, or is one that its operators do not tell: of 76 steps of one
#: calibration two took three and a thousand times as long, and squares made all others 15 % wrong.
_FAR_OFF = 0.1
_PASSES, _LEAST_RATIO = 20, 1e-6
#: Nine in ten steps are off by less than so many deviations.
_COVERED, _DEVIATIONS = 0.9, 1.645
#: Before that: as 75 steps of a calibration of two AMD EPYC cores had it (docs/operators.md), whose least squares gave
#: nothing to calls of the passes beyond what views say, nor to bytes.
_USUAL = (1.09, 0.0, 0.0, 1.1e-6, 3.3e-6, 0.0)
#: Deviation of the logarithm of a step's time about the prediction, where too few steps tell: that of those 75.
_USUAL_DEVIATION = 0.15


@dataclass(frozen=True)
class Between:
    """Coefficients of `TERMS`, and the deviation of the logarithm of whole steps about them."""

    coefficients: tuple[float, ...] = _USUAL
    deviation: float = _USUAL_DEVIATION
    steps: int = 0

    def step_s(self, made_of: Mapping[str, float]) -> float:
        """Time of a step in s."""
        return float(sum(c * made_of[name] for c, name in zip(self.coefficients, TERMS, strict=True)))


def made_of(found: StepSum, kept_bytes: int) -> dict[str, float]:
    """What a step is made of, by `TERMS`."""
    return {
        "operators_s": found.total_s,
        **{phase: float(found.calls.get(phase, 0)) for phase in ("forward", "backward", "optimizer")},
        "views": float(sum(found.views.values())),
        "kept_bytes": float(kept_bytes),
    }


def fit_between(steps: Sequence[Mapping[str, Any]]) -> Between:
    """Fit the coefficients to whole steps, each with its ``measured_s``."""
    known = [step for step in steps if step.get("measured_s") and all(name in step for name in TERMS)]
    if len(known) < FEWEST_STEPS:
        return Between()
    rows = np.array([[float(step[name]) for name in TERMS] for step in known])
    measured = np.array([float(step["measured_s"]) for step in known])
    weights = measured / (measured + _HALF_S)
    coefficients, off = _robust(rows / measured[:, None], weights)
    several = np.array([step.get("block") == SEVERAL for step in known])
    if several.sum() >= FEWEST_STEPS:  # (a step of one block has few calls, whose errors do not even out)
        off = off[several]
    deviation = float(np.quantile(np.abs(off), _COVERED)) / _DEVIATIONS
    return Between(tuple(map(float, coefficients)), deviation, len(known))


def _robust(relative: Array, weights: Array) -> tuple[Array, Array]:
    """Coefficients and the logarithm of predicted over measured; what is far off counts little (Cauchy's weights)."""
    trust = np.ones(len(relative))
    for _ in range(_PASSES):
        coefficients = non_negative(relative, weights * np.sqrt(trust))
        off = np.log(np.maximum(relative @ coefficients, _LEAST_RATIO))
        trust = 1 / (1 + (off / _FAR_OFF) ** 2)
    return coefficients, off
