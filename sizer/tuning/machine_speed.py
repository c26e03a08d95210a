"""How fast the machine is beside each run, by the calibration's reference steps: a change of speed decides nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sizer.calibration.disturbance import TOLERANCE, of_steps, scatter

#: How often the reference steps are taken at once, 3 ms each time: the median counts.
_TAKES = 3
#: The usual speed is that of the quietest quarter of the runs, so that a neighbour who is there half of the time stands
#: out; were more runs than this share beside another speed, that is the machine's own, and none is set apart.
_USUAL_QUANTILE, _MOST_APART = 0.25, 0.6


#: Name of what others used, beside the reference steps.
_OTHERS = "others"


class Speed(NamedTuple):
    """Times of the reference steps by name, in s."""

    times_s: Mapping[str, float]

    def beside(self, others_share: float | None) -> Speed:
        """With the share of the processors' time that others used meanwhile, as if it slowed a step down by that."""
        return self if others_share is None else Speed({**self.times_s, _OTHERS: 1.0 + others_share})

    def mean_with(self, other: Speed) -> Speed:
        """That of before and after together."""
        return Speed(
            {name: (s * other.times_s[name]) ** 0.5 for name, s in self.times_s.items() if name in other.times_s}
        )


class MachineSpeed:
    """Takes the reference steps of the CPU; they are made when they are first asked for."""

    def __init__(self) -> None:
        self._steps: object = None

    def now(self) -> Speed:
        """The speed now."""
        from sizer.calibration.reference_steps import ReferenceSteps
        from sizer.detection.detect import detected

        if not isinstance(self._steps, ReferenceSteps):
            self._steps = ReferenceSteps(detected("cpu"))
        taken = [self._steps.take() for _ in range(_TAKES)]
        return Speed({name: statistics.median(one[name] for one in taken) for name in taken[0]})


def another_speed(speeds: Sequence[Speed]) -> list[bool]:
    """Which of them differ from the usual speed by more than the steps scatter.

    None by the reference steps where those are too many, and none by what others used where they are always there; the
    one says nothing of the other.
    """
    names = [name for name in speeds[0].times_s if all(name in one.times_s for one in speeds)] if speeds else []
    by_steps = _apart(speeds, [name for name in names if name != _OTHERS])
    by_others = _apart(speeds, [name for name in names if name == _OTHERS])
    return [one or other for one, other in zip(by_steps, by_others, strict=True)]


def _apart(speeds: Sequence[Speed], names: Sequence[str]) -> list[bool]:
    usual = {name: float(np.quantile([one.times_s[name] for one in speeds], _USUAL_QUANTILE)) for name in names}
    apart = [any(_differs(one.times_s[name] / usual[name], name) for name in names) for one in speeds]
    return apart if sum(apart) <= _MOST_APART * len(apart) else [False] * len(apart)


def is_shared(others_share: float | None) -> bool:
    """Whether others used so much of the processors that a run beside them is one at another speed."""
    return others_share is not None and _differs(1.0 + others_share, _OTHERS)


def _differs(ratio: float, name: str) -> bool:
    return max(of_steps(name, ratio), of_steps(name, 1 / ratio)) > TOLERANCE * scatter(name)
