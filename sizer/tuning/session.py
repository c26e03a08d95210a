"""One tuning: a first look at a script, levers tried in turn, the winners together, and a confirmation of its own.

Everything that is known at a moment is in the session, so that an interrupted one can still say it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.progress import Progress
from sizer.base.units import format_quantity
from sizer.tuning import plan
from sizer.tuning.comparing import WORTH
from sizer.tuning.evidence import TOGETHER, Evidence, Measured
from sizer.tuning.first_look import quietest_look, usable
from sizer.tuning.job import ENDED, ENOUGH, WARM_UP, Answer
from sizer.tuning.launching import NOT_DONE, Run, Script
from sizer.tuning.levers.catalogue import proposed
from sizer.tuning.levers.protocol import TRAINING, Lever, Seen
from sizer.tuning.machine_speed import MachineSpeed, Speed, is_shared

#: Share of the budget that a first look takes at most.
_FIRST_SHARE = 0.5
#: Steps of a first run that is not ended by its time.
_NO_END = 10**9
#: Ratio after a first look from which a lever is not looked at again, and levers that are looked at again.
_HOPELESS, _AGAIN = 0.98, 5
#: A run may last so many times an unchanged one, its steps too, and at least so long (s).
_PATIENCE, _LEAST_LIMIT_S, _LEAST_STEPS_S = 4.0, 20.0, 3.0
#: Times of a step that are so far apart ask for another number of steps.
_ANOTHER_LENGTH = 1.5
#: Unchanged runs in a row that may not be done in time: a neighbour may come and go.
_MAY_BE_LOST = 2
#: Part of the first run's time that a run takes which finds the files of torch and the script in memory, at least.
_COLD = 0.6
#: How much sooner than the budget's end the last run must be expected to end, as a share of a run.
_SLACK = 0.25


class Runs(Protocol):
    """What makes runs: of a script in processes of their own, or of a function in this one."""

    script: Script

    def run(
        self, levers: Sequence[Lever], steps: int, warm_up: int, limit_s: float, most_s: float, first: bool = False
    ) -> Run:
        """One run under levers, of so many steps or ``most_s`` seconds of them; a ``first`` one looks at the script."""

    def stop(self) -> None:
        """End what runs."""


class Session:
    """Runs of one script within a budget in s; ``clock`` gives the time, ``speed`` how fast the machine is."""

    def __init__(
        self,
        launcher: Runs,
        budget_s: float,
        steps: int | None,
        progress: Progress,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.perf_counter,
        speed: Callable[[], Speed] | None = None,
        can_try: Callable[[Lever], bool] = lambda lever: True,  # noqa: ARG005
    ) -> None:
        self.launcher = launcher
        self.budget_s = budget_s
        self.asked_steps = steps
        self.levers: list[Lever] = []
        self.tried: list[Lever] = []
        self.evidence = Evidence()
        self.out: dict[str, str] = {}
        self.without_effect: set[str] = set()
        self.together: tuple[Lever, ...] = ()
        self.first: Answer | None = None
        self.length = plan.Length(0, 0, 0.0)
        self.runs = 0
        self._lasted: dict[str, list[float]] = {}
        self._ends_s, self._planned_s, self._most_steps, self._lost = 0.0, 0.0, _NO_END, 0
        self._clock, self._began = clock, clock()
        self._progress = progress
        self._say = say
        self.can_try = can_try
        self._speed = speed or MachineSpeed().now

    @property
    def spent_s(self) -> float:
        """Time since it began, in s."""
        return self._clock() - self._began

    @property
    def left_s(self) -> float:
        """Time of the budget that is left, in s."""
        return self.budget_s - self.spent_s

    @property
    def seen(self) -> Seen:
        """What the first run showed."""
        assert self.first is not None
        assert self.first.seen is not None
        return self.first.seen

    def look(self) -> None:
        """The first run. Raises UsageError for a script that cannot be tuned, MeasurementError for one that fails."""
        self._progress("a first look", None)
        looks = quietest_look(self._first_run, self.launcher.script.name, self.budget_s, lambda: self.spent_s)
        self.runs, run = len(looks), looks[0]
        self.first = first = usable(run, self.launcher.script.name)
        known = (first.start_s or 0.0) + first.warm_up_s + first.seconds
        self._ends_s = min(max(run.lasted_s - known - 2 * (first.step_s or 0.0), 0.0), 1.0)
        self._most_steps = first.steps if first.status == ENDED else _NO_END
        self.length = self._length(first.step_s or 0.0)
        self._planned_s = self.length.steps * (first.step_s or 0.0)
        self.levers = proposed(self.seen)
        self._check_pays()
        self._say_plan()

    def _first_run(self, seconds: float) -> Run:
        limit = max(_FIRST_SHARE * self.budget_s, 5.0)
        steps = _NO_END if self.asked_steps is None else self.asked_steps
        return self.launcher.run((), steps, WARM_UP, limit, seconds, first=True)

    def _length(self, step_s: float) -> plan.Length:
        assert self.first is not None
        return plan.length(self.first.start_s or 0.0, self._ends_s, step_s, self.asked_steps, self._most_steps)

    def _check_pays(self) -> None:
        fewest = plan.FEWEST_TO_PROVE + plan.BETWEEN + 2
        if self.left_s < _COLD * fewest * self.length.run_s:
            needed = math.ceil((self.spent_s + 1.2 * fewest * self.length.run_s) / 30) * 30
            raise UsageError(
                f"a run of {self.launcher.script.name} takes {self.length.run_s:.0f} s, and a budget of "
                f"{self.budget_s:.0f} s pays for {self.left_s / self.length.run_s:.0f} of the {fewest} that prove "
                f"anything: --budget {needed}s, or fewer --steps"
            )

    def _say_plan(self) -> None:
        assert self.first is not None
        start = format_quantity(self.first.start_s, "s")
        paid = plan.affordable(list(filter(self.can_try, self.levers)), self.length.run_s, self.left_s)
        names = [lever.name for lever in self.levers if lever not in paid]
        left_out = f"; not tried, it seems: {', '.join(names)}" if names else ""
        self._say(
            f"{self.launcher.script.name} takes {start} to its first step; {self.budget_s:.0f} s pay for "
            f"{len(paid)} of {len(self.levers)} levers, {self.length.steps} steps a run{left_out}"
        )

    def try_levers(self) -> None:
        """Each lever once, the hopeful ones of them again, unchanged runs in between.

        Where nothing looks worth a confirmation, its share of the budget pays for more levers.
        """
        share_s = (1 - plan.CONFIRMING) * self.budget_s
        self._in_turn(self.levers, "trying", share_s)
        # (a look beside another speed of the machine told nothing: as good as hoped)
        rough = {lever.name: self.evidence.rough(lever.name) for lever in self._alive()}
        again = sorted(
            (1 - lever.hope if math.isinf(rough[lever.name]) else rough[lever.name], lever.name)
            for lever in self._alive()
            if rough[lever.name] < _HOPELESS or math.isinf(rough[lever.name])
        )
        names = [name for _, name in again[:_AGAIN]]
        self._in_turn([lever for lever in self.tried if lever.name in names], "again", share_s)
        if not self._winners():
            others = [lever for lever in self.levers if lever not in self.tried]
            proving_s = self.budget_s - plan.FEWEST_TO_PROVE * self.length.run_s
            # (where a proof is not paid for any more, looks at what is left are worth more than nothing)
            self._in_turn(others, "trying", proving_s if proving_s > self.spent_s else self.budget_s)

    def _in_turn(self, levers: Sequence[Lever], what: str, until_s: float) -> None:
        """Levers between unchanged runs, those that the time until then pays for."""
        count = 0
        for lever in filter(self.can_try, levers):
            if self.spent_s + plan.price_s(lever, self.length.run_s, self._is_known(lever)) > until_s:
                continue
            if count % plan.BETWEEN == 0:
                self._measure("", (), "unchanged")
            self._measure(lever.name, (lever,), what)
            count += 1
            if lever not in self.tried:
                self.tried.append(lever)
                self.evidence.observations[lever.name] = lever.observations
        if count:
            self._measure("", (), "unchanged")

    def _is_known(self, lever: Lever) -> bool:
        return any(run.lever == lever.name for run in self.evidence.measured)

    def confirm(self) -> None:
        """What looks worth it one by one, then all that is proven together; no run of these had a say before."""
        arms = self._winners()
        arms = sorted(arms, key=lambda lever: lever.results == TRAINING)[: plan.MOST_CONFIRMED]
        while len(arms) > 1 and self._rounds(arms, plan.FOR_TOGETHER * self.left_s) < plan.LEAST_ROUNDS:
            arms.pop()
        self.evidence.confirmed = [lever.name for lever in arms]
        pairs = [(lever.name, (lever,)) for lever in arms]
        rounds = self._rounds(arms, plan.FOR_TOGETHER * self.left_s if len(arms) > 1 else 0.0)
        self._prove(pairs, rounds)
        lost = rounds - min((self.evidence.confirmations(lever.name) for lever in arms), default=rounds)
        if lost > 0:  # (beside a neighbour: what is left of the budget makes up for them)
            least_s = plan.LEAST_ROUNDS * (self.length.run_s + self._longest_s(arms)) if self._proven(arms)[1:] else 0.0
            self._prove(pairs, min(lost, self._rounds(arms, least_s)))
        together = self._proven(arms)
        if len(together) > 1:
            self.together = together
            rounds = plan.rounds([self._longest_s(together)], self.length.run_s, self.left_s)
            self._prove([(TOGETHER, together)], rounds)

    def _proven(self, arms: Sequence[Lever]) -> tuple[Lever, ...]:
        """Those that are proven by now and leave the training what it is."""
        proven = self.evidence.proven()
        return tuple(lever for lever in arms if lever.name in proven and lever.results != TRAINING)

    def _longest_s(self, levers: Sequence[Lever]) -> float:
        return max(self._expected_s(lever.name) for lever in levers)

    def _rounds(self, arms: Sequence[Lever], kept_s: float) -> int:
        """Rounds in which these levers can be proven if so much time is kept for proving them together."""
        arms_s = [self._expected_s(lever.name) for lever in arms]
        return plan.rounds(arms_s, self.length.run_s, self.left_s - kept_s)

    def _prove(self, arms: Sequence[tuple[str, Sequence[Lever]]], rounds: int) -> None:
        """So many rounds of an unchanged run and one of each, whose order turns; and an unchanged one at the end."""
        if not arms or not rounds:
            return
        for number in range(rounds):
            self._measure("", (), "proving", confirms=True)
            for name, levers in arms if number % 2 == 0 else arms[::-1]:
                self._measure(name, levers, "proving", confirms=True)
        self._measure("", (), "proving", confirms=True)

    def _winners(self) -> list[Lever]:
        """Of each group the lever that looks best, where it looks worth it; the best first."""
        best: dict[str, Lever] = {}
        for lever in sorted(self._alive(), key=lambda lever: self.evidence.rough(lever.name)):
            if self.evidence.rough(lever.name) < WORTH:
                best.setdefault(lever.group, lever)
        return list(best.values())

    def _alive(self) -> list[Lever]:
        seen = {run.lever for run in self.evidence.measured}
        return [
            lever
            for lever in self.tried
            if lever.name in seen and lever.name not in self.out and lever.name not in self.without_effect
        ]

    def _measure(self, name: str, levers: Sequence[Lever], what: str, confirms: bool = False) -> None:
        """One run, and another where others used the processors meanwhile, unless they do so most of the time.

        Nothing where the budget does not pay for it, or the lever is out.
        """
        for _ in range(2):
            if name in self.out or name in self.without_effect:
                return
            if self.left_s < (1 - _SLACK) * self._expected_s(name):
                return
            self._progress(f"{what}: {name or 'unchanged'}", min(self.spent_s / self.budget_s, 1.0))
            answer = self._run(name, levers, confirms)
            if answer is None or not is_shared(answer.others_share) or self.evidence.is_mostly_shared():
                return

    def _run(self, name: str, levers: Sequence[Lever], confirms: bool) -> Answer | None:
        compiles = any(lever.group == "compile" for lever in levers)
        limit = max(_PATIENCE * self.length.run_s, _LEAST_LIMIT_S) + (2 * plan.COMPILING_S if compiles else 0.0)
        most_s = max(_PATIENCE * self.length.steps * self._step_s(), _LEAST_STEPS_S)
        before, began = self._speed(), self._clock()
        allowed = min(limit, self.left_s + self._expected_s(name))
        run = self.launcher.run(levers, self.length.steps, self.length.warm_up, allowed, most_s)
        at_s = (began + self._clock()) / 2 - self._began
        self.runs += 1
        speed = before.mean_with(self._speed())
        answer = run.answer
        if answer is not None:
            self._lasted.setdefault(name, []).append(self._clock() - began)
        self._keep(name, levers, run, Measured(name, at_s, answer, speed, confirms) if answer else None)
        if not name and answer is not None:
            self._adapt()
        return answer

    def _adapt(self) -> None:
        """Expect runs to last as unchanged ones did, and give them more or fewer steps where the first look erred."""
        step_s = self._step_s()
        if not 1 / _ANOTHER_LENGTH < step_s * self.length.steps / self._planned_s < _ANOTHER_LENGTH:
            self.length = self._length(step_s)
            self._planned_s = step_s * self.length.steps
            self._lasted.clear()
        elif "" in self._lasted:
            self.length = self.length._replace(run_s=statistics.median(self._lasted[""]))

    def _step_s(self) -> float:
        """Time of an unchanged step in s, by the first look until there are unchanged runs."""
        assert self.first is not None
        return self.evidence.unchanged_step_s() or self.first.step_s or 0.0

    def _expected_s(self, name: str) -> float:
        """What a run is expected to last, the looks at the machine's speed around it included: as the last one did."""
        return self._lasted.get(name, [self.length.run_s])[-1]

    def _keep(self, name: str, levers: Sequence[Lever], run: Run, measured: Measured | None) -> None:
        is_usable = measured is not None and measured.answer.status in (ENOUGH, ENDED) and measured.answer.step_s
        if not is_usable:
            if not name and NOT_DONE in run.error and self._lost < _MAY_BE_LOST:
                self._lost += 1
            elif not name:
                raise MeasurementError(
                    f"{self.launcher.script.name} failed unchanged: {run.error or 'it took no steps'}"
                )
            else:
                self.out[name] = run.error or "it took too few steps"
        elif measured is not None and levers and len(set(measured.answer.changed)) == 0:
            self.without_effect.add(name)
        elif measured is not None:
            self.evidence.measured.append(measured)
            self._lost = self._lost if name else 0
