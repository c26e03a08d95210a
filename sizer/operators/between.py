"""What a step takes beside its operators: calling them, making views, memory that the system hands out. Pure.

Fitted to whole steps of reference blocks, whose operators were timed as well: measured time is a non-negative sum of
the operators' own time, calls and views by phase, and bytes that a step is given anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sizer.operators.interpolation import non_negative
from sizer.operators.step_price import StepSum

#: What a step is made of, in the order of the coefficients.
TERMS = ("operators_s", "forward", "backward", "optimizer", "views", "kept_bytes")
#: Whole steps from which the coefficients are fitted.
FEWEST_STEPS = 8
#: Steps of so many s count half: what lies between operators scatters, and is most of a shorter one.
_HALF_S = 2e-3
#: Before that: seconds a call, a view and a byte, assumed by their order of magnitude, not measured.
_USUAL = (1.0, 8e-6, 4e-6, 4e-6, 2e-6, 1e-10)
#: Deviation of the logarithm of a step's time about the prediction, where too few steps tell: assumed likewise.
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
    coefficients = non_negative(rows / measured[:, None], weights)
    off = np.log(rows @ coefficients / measured)
    deviation = np.sqrt(np.average(off**2, weights=weights))
    return Between(tuple(map(float, coefficients)), float(deviation), len(known))
