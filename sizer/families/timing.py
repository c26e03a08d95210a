"""Timing members of a family within a budget: fresh modules, in rounds, interleaved, each timing kept as it is taken.

As in a calibration: short runs in many rounds, of a run the quiet quantile, of the rounds the least; reference steps
before and after each run tell which were disturbed, and those are taken again while time lasts. The first round decides
which members are timed beside the first ones.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sizer.base.errors import MeasurementError
from sizer.base.progress import Progress
from sizer.calibration.disturbance import ENOUGH, disturbed, quiet_levels
from sizer.calibration.measurements import Timing
from sizer.calibration.reference_steps import ReferenceSteps
from sizer.calibration.timed_step import time_step
from sizer.families.kept import KeptTimings
from sizer.families.making import Family, training_step
from sizer.families.tracing import Left, Traced
from sizer.method.hardware import Device

#: Rounds at most: in six the quiet state of a core that switches between two is met (docs/calibration.md), and where it
#: comes in the last of them four more find the sizes in it that had had their turn (an LSTM's were 35 % apart so).
ROUNDS = 10
#: A run lasts so long, or two steps: short runs in many rounds find the quiet time where long ones in few do not.
_RUN_S = 0.1
#: Members without which nothing can be fitted are timed however long it takes.
FEWEST = 3

#: The member to time next, from the steps that are known and the members that were tried, by position.
ChooseNext = Callable[[Mapping[int, float], Container[int]], "int | None"]


class Timed(NamedTuple):
    """A member's quiet step in s, over how many rounds, and whether one of them was undisturbed."""

    values: tuple[int, ...]
    step_s: float
    rounds: int
    quiet: bool


class Plan(NamedTuple):
    """Which members are timed: those chosen beforehand, by position, and so many more that ``choose_next`` gives."""

    first: Sequence[int]
    more: int = 0
    choose_next: ChooseNext = lambda step_s, tried: None  # noqa: ARG005


def time_members(
    family: Family, members: Sequence[Traced], plan: Plan, device: Device, kept: KeptTimings, progress: Progress
) -> tuple[list[Timed], list[Left]]:
    """Time members of a plan, smallest first in the first round, at random in the others, until the budget is spent.

    Those that the budget has no time for, and those that fail, come back with the reason. The caller has the machine
    to itself.
    """
    timing = _Timing(family, members, device, kept, progress)
    try:
        timing.first_round(plan)
        for number in range(1, ROUNDS):
            timing.round(number)
    finally:
        timing.close()
    return timing.quiet(), [Left(members[one].values, reason) for one, reason in timing.left.items()]


class _Timing:
    """Timings under way: ``chosen`` are positions of members that are timed, ``left`` why others are not."""

    def __init__(
        self, family: Family, members: Sequence[Traced], device: Device, kept: KeptTimings, progress: Progress
    ) -> None:
        self.family, self.members, self.device, self.kept, self.progress = family, members, device, kept, progress
        self.began = time.perf_counter()
        self.deadline = self.began + family.request.budget_s
        self.chosen: list[int] = []
        self.left: dict[int, str] = {}
        self._reference: ReferenceSteps | None = None

    def first_round(self, plan: Plan) -> None:
        """Time each member once; the further ones are chosen by these timings alone, so that the choice stays."""
        for one in sorted(plan.first, key=lambda one: self.members[one].padded_flops):
            self._once(one)
        for _ in range(plan.more):
            first_s = {one: self.timings(one)[0].step_s for one in self.chosen}
            following = plan.choose_next(first_s, {*self.chosen, *self.left}) if len(first_s) >= FEWEST else None
            if following is None:
                return
            self._once(following)

    def _once(self, one: int) -> None:
        """Time a member for the first time, or say why not."""
        reason = None if self.timings(one) else self._over_budget(one) or self._run(one)
        if reason is None:
            self.chosen.append(one)
        else:
            self.left[one] = reason

    def round(self, number: int) -> None:
        """Time each member that has too few undisturbed timings again, while time lasts."""
        levels_s = self._levels_s()
        for index in np.random.default_rng(number).permutation(len(self.chosen)):
            one = self.chosen[index]
            timings = self.timings(one)
            calm = sum(not disturbed(each, levels_s) for each in timings)
            wanted = len(timings) < ENOUGH or (calm < ENOUGH and len(timings) < ROUNDS)
            if wanted and self._over_budget(one) is None:
                self._run(one)  # (it has run before: what fails now is not worth losing its timings)

    def timings(self, one: int) -> list[Timing]:
        """The timings of a member so far."""
        return self.kept.timings(self.members[one].structure)

    def quiet(self) -> list[Timed]:
        """The quiet step of each member that was timed, in order."""
        levels_s, found = self._levels_s(), []
        for one in sorted(self.chosen):
            timings = self.timings(one)
            calm = any(not disturbed(each, levels_s) for each in timings)
            found.append(Timed(self.members[one].values, min(each.step_s for each in timings), len(timings), calm))
        return found

    def close(self) -> None:
        """Give back what the reference steps hold."""
        if self._reference is not None:
            self._reference.close()

    def _levels_s(self) -> dict[str, float]:
        return quiet_levels([each for one in self.chosen for each in self.timings(one)])

    def _over_budget(self, one: int) -> str | None:
        """Why there is no time for another run of a member; None where there is.

        Its step is foreseen from the slowest that was timed and their FLOPs.
        """
        if len(self.chosen) < FEWEST:
            return None
        foreseen_s = self._foreseen_s(one)
        if max(_RUN_S, 2 * foreseen_s) + 2 * foreseen_s <= self.deadline - time.perf_counter():
            return None
        budget_s = self.family.request.budget_s
        return f"too little was left of the budget of {budget_s:g} s to time it; --budget gives more"

    def _foreseen_s(self, one: int) -> float:
        if own := self.timings(one):
            return min(each.step_s for each in own)
        largest = max(self.chosen, key=lambda each: self.members[each].padded_flops)
        ratio = self.members[one].padded_flops / max(self.members[largest].padded_flops, 1)
        return ratio * min(each.step_s for each in self.timings(largest))

    def _run(self, one: int) -> str | None:
        """One run of a fresh module, kept; why not where its step fails."""
        self.progress("timing sizes", min((time.perf_counter() - self.began) / self.family.request.budget_s, 1.0))
        if self._reference is None:
            self._reference = ReferenceSteps(self.device)
        before = self._reference.take()
        try:
            taken = self._taken(one)
        except MeasurementError:
            raise
        except Exception as error:  # the user's code and torch raise what they like
            said = " ".join(str(error).split())[:200] or type(error).__name__
            return f"its step fails on {self.device.id}: {said}"
        finally:
            gc.collect()  # (modules are parts of cycles, and a large one would stay until the collector comes)
        after = self._reference.take()
        around = {name: (before[name], after[name]) for name in after}
        structure = self.members[one].structure
        self.kept.add(structure, taken._replace(round=len(self.timings(one)), reference_s=around))
        return None

    def _taken(self, one: int) -> Timing:
        return time_step(training_step(self.family, self.members[one].values, self.device.id), _RUN_S, self.device.id)
