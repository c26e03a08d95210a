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
#: out; beside one who is there in more than a share of the runs none is left out.
_USUAL_QUANTILE, _MOST_BESIDE = 0.25, 0.6
#: What others used scatters as reference steps in near caches do.
_OTHERS = "others"


class Speed(NamedTuple):
    """Times of the reference steps by name, in s."""

    times_s: Mapping[str, float]

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
    """Beside which of them a reference step took another time than usual."""
    names = [name for name in speeds[0].times_s if all(name in one.times_s for one in speeds)] if speeds else []
    usual = {name: _usual([one.times_s[name] for one in speeds]) for name in names}
    return [any(_differs(one.times_s[name] / usual[name], name) for name in names) for one in speeds]


def beside_others(shares: Sequence[float | None]) -> list[bool]:
    """Beside which of them others used more of the processors than usual; none where they are there most of the time.

    A share counts as if it slowed a step down by that; None is not known.
    """
    slowed = [1.0 + (share or 0.0) for share in shares]
    beside = [_is_slower(one / _usual(slowed), _OTHERS) for one in slowed]
    return beside if sum(beside) <= _MOST_BESIDE * len(beside) else [False] * len(beside)


def _usual(values: Sequence[float]) -> float:
    return float(np.quantile(values, _USUAL_QUANTILE))


def is_shared(others_share: float | None) -> bool:
    """Whether others used so much of the processors that a run beside them is one at another speed."""
    return others_share is not None and _is_slower(1.0 + others_share, _OTHERS)


def _differs(ratio: float, name: str) -> bool:
    return _is_slower(ratio, name) or _is_slower(1 / ratio, name)


def _is_slower(ratio: float, name: str) -> bool:
    return of_steps(name, ratio) > TOLERANCE * scatter(name)
