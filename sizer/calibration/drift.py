"""A two-second check whether a calibration still holds: three of its networks, timed again."""

from __future__ import annotations

import statistics

from sizer.calibration.fit import design
from sizer.calibration.measurements import PlannedCase
from sizer.calibration.timing import time_run
from sizer.calibration.training_loop import Case
from sizer.method.cost import predict
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.models.topology import Topology
from sizer.profiles import Profile

#: One network that is all overhead, one in between, one that is all arithmetic.
CHECKED = (
    PlannedCase("rectangle", 8, (*[4] * 7, 1), 32),
    PlannedCase("rectangle", 64, (64, 64, 64, 10), 256),
    PlannedCase("rectangle", 256, (256, 256, 256, 10), 256),
)
_RUN_S = 0.2


def drifted(profile: Profile) -> float | None:
    """Measured over predicted (median of three networks) where that is outside the 90 % interval, else None."""
    coefficients = profile.by_quantity.get("time")
    if coefficients is None or coefficients.interval is None:
        return None
    calibration = profile.calibration or {}
    training = Training(dtype=calibration.get("dtype", "float32"), optimizer=calibration.get("optimizer", "adam"))
    device = calibration.get("identity", {}).get("device", "cpu")
    row = design(CHECKED, training, Hierarchy.of(profile.device))
    predicted = predict(row, coefficients)
    ratios = [_step_s(case, training, device) / float(step) for case, step in zip(CHECKED, predicted, strict=True)]
    ratio = statistics.median(ratios)
    low, high = coefficients.interval
    return None if low <= ratio <= high else ratio


def _step_s(planned: PlannedCase, training: Training, device: str) -> float:
    topology = Topology(planned.shape, planned.input_dim, planned.widths)
    case = Case(topology, training._replace(batch_size=planned.batch_size))
    return min(time_run(case, _RUN_S, device).step_s for _ in range(2))
