"""What runs say of levers so far: which count, how they compare with unchanged ones, what is proven."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from sizer.tuning.comparing import (
    FAMILY_ERROR,
    Compared,
    CostOf,
    apart,
    comparable,
    compared,
    holm,
    log_ratios,
    scatter,
)
from sizer.tuning.job import Answer
from sizer.tuning.machine_speed import Speed, another_speed, beside_others, is_shared

#: Name of all winners together, among names of levers.
TOGETHER = "all together"
#: Scatter of unchanged runs, in logarithms, from which no speed of the machine explains it.
_UNSTEADY = 0.3


class Measured(NamedTuple):
    """A run that gave a cost: of which lever (empty: unchanged), when, how fast the machine was, if it confirms."""

    lever: str
    at_s: float
    answer: Answer
    speed: Speed
    confirms: bool


class Evidence:
    """The runs of a tuning.

    ``confirmed`` are the names of levers that go through a confirmation, ``observations`` how many times as many
    observations a step has under a lever.
    """

    def __init__(self) -> None:
        self.measured: list[Measured] = []
        self.confirmed: list[str] = []
        self.observations: dict[str, float] = {}

    @property
    def quantity(self) -> str:
        """``energy`` where a meter measured every run, else ``time``."""
        metered = self.measured and all(run.answer.step_j and run.answer.meter == "measured" for run in self.measured)
        return "energy" if metered else "time"

    def proven(self) -> dict[str, float]:
        """Name -> adjusted p of what was confirmed and is proven, all levers together among them."""
        return {name: p for name, p in self.adjusted().items() if p <= FAMILY_ERROR}

    def adjusted(self) -> dict[str, float]:
        """Adjusted p of what was confirmed; a combination counts as tried from the beginning.

        It is 1 where no run of the confirmation is left: those that chose prove nothing.
        """
        found, confirming = self.comparisons(), self._by_observation(True)
        p_values = {
            name: found[name].p if confirming.get(name) else 1.0 for name in dict.fromkeys((*self.confirmed, TOGETHER))
        }
        return {name: p for name, p in holm(p_values).items() if name in found}

    def comparisons(self) -> dict[str, Compared]:
        """What is known of each lever, by name: of its confirmation, where it had one, else of what was tried."""
        tried, confirming = self._by_observation(False), self._by_observation(True)
        values = {name: v for name, v in {**tried, **confirming}.items() if name and v}
        unchanged = scatter(self._unchanged())
        return {name: compared(own, unchanged) for name, own in values.items()}

    def apart(self) -> tuple[float, float] | None:
        """How far unchanged runs lie apart: the 90 % interval of the ratio of two; None where nothing is known."""
        return apart(scatter(self._unchanged()))

    def _unchanged(self) -> list[float]:
        """Logarithms of unchanged runs over those around them."""
        return [value for confirming in (False, True) for value in self._by_observation(confirming).get("", ())]

    def _by_observation(self, confirming: bool) -> dict[str, list[float]]:
        """Logarithms of ratios of the cost of an observation: a lever may put more of them into a step."""
        more = {name: math.log(observations) for name, observations in self.observations.items()}
        found = log_ratios(self.costs(confirming), between=confirming)
        return {name: [value - more.get(name, 0.0) for value in values] for name, values in found.items()}

    def confirmations(self, name: str) -> int:
        """Runs of a lever's confirmation that count."""
        return len(self._by_observation(True).get(name, ()))

    def rough(self, name: str) -> float:
        """Mean ratio of what was tried, infinite where there is none."""
        values = self._by_observation(False).get(name, [])
        return math.exp(sum(values) / len(values)) if values else math.inf

    def costs(self, confirming: bool) -> list[CostOf]:
        """Runs as costs, those of the confirmation or those before; those beside others are left out."""
        return [cost for _, cost in self._costs(confirming)]

    def set_apart(self) -> set[int]:
        """Runs (by id) that say nothing: beside others, or at another speed than the unchanged ones around them."""
        counting = set()
        for confirming in (False, True):
            costs = self._costs(confirming)
            usable = comparable([cost for _, cost in costs], between=False)
            counting |= {id(run) for run, cost in costs if not run.lever or cost in usable}
        return {id(run) for run in self.measured} - counting

    def _costs(self, confirming: bool) -> list[tuple[Measured, CostOf]]:
        runs = [run for run in self.measured if run.confirms is confirming]
        beside = beside_others([run.answer.others_share for run in runs])
        speeds = another_speed([run.speed for run in runs])
        alike = [run for run, *differs in zip(runs, beside, speeds, strict=True) if not any(differs)]
        if _differ_widely(alike):
            beside = speeds = [False] * len(runs)
        found = [
            (run, CostOf(run.at_s, run.lever, cost, int(speed)))
            for run, is_beside, speed in zip(runs, beside, speeds, strict=True)
            if (cost := self._cost(run)) and not is_beside
        ]
        changed, usable = sum(1 for run, _ in found if run.lever), comparable([cost for _, cost in found], confirming)
        if 2 * len(usable) < changed:  # (the reference steps are restless by themselves)
            return [(run, cost._replace(speed=0)) for run, cost in found]
        return found

    def _cost(self, run: Measured) -> float | None:
        return run.answer.step_j if self.quantity == "energy" else run.answer.step_s

    def unchanged_step_s(self) -> float | None:
        """Time of an unchanged step in s: the median of its runs, those beside others left out where there are more."""
        unchanged = [run.answer for run in self.measured if not run.lever]
        quiet = [one for one in unchanged if not is_shared(one.others_share)] or unchanged
        return statistics.median(one.step_s or 0.0 for one in quiet) if quiet else None

    def is_mostly_shared(self) -> bool:
        """Whether others used the processors beside more than half of the runs."""
        return 2 * sum(is_shared(run.answer.others_share) for run in self.measured) > len(self.measured)


def _differ_widely(runs: Sequence[Measured]) -> bool:
    """Whether unchanged runs at one speed differ by far more than speeds do: that is the script's own."""
    logs = [math.log(run.answer.step_s or 1.0) for run in runs if not run.lever]
    return len(logs) > 1 and statistics.stdev(logs) > _UNSTEADY
