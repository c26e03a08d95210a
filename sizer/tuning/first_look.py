"""The first look at a script: the run that shows where its steps go, or one line that says why it cannot be tuned."""

from __future__ import annotations

from collections.abc import Callable

from sizer.base.errors import MeasurementError, UsageError
from sizer.tuning.job import ENDED, ENOUGH, FEWEST, INPUT, WARM_UP, Answer
from sizer.tuning.launching import NOT_DONE, Run
from sizer.tuning.machine_speed import is_shared

#: Time of its steps, in s.
_SECONDS = 1.5
#: First looks where others use the processors meanwhile, and their share of the budget: beside a neighbour on one of
#: two processors a step takes 5 to 80 times as long (benchmarks/tune_scripts), and its split says nothing.
_LOOKS, _LOOKS_SHARE = 3, 0.15


def quietest_look(run: Callable[[float], Run], script: str, budget_s: float, spent_s: Callable[[], float]) -> list[Run]:
    """First looks, each of so many seconds of steps; more than one where others used the processors meanwhile.

    The quietest comes first. Raises UsageError for a script that cannot be tuned, MeasurementError for one that fails.
    """
    looks: list[tuple[float, Run]] = []
    while not looks or (len(looks) < _LOOKS and spent_s() < _LOOKS_SHARE * budget_s):
        look = run(_SECONDS)
        share = usable(look, script).others_share
        looks.append((share or 0.0, look))
        if not is_shared(share):
            break
    return [look for _, look in sorted(looks, key=lambda each: each[0])]


def usable(run: Run, script: str) -> Answer:
    """The answer of a first look. Raises UsageError and MeasurementError, each one line."""
    answer = run.answer
    if answer is not None and answer.status == INPUT:
        raise UsageError(
            f"{script} reads standard input, and is run again and again here; give it a file or arguments instead"
        )
    if answer is None and NOT_DONE in run.error:
        raise UsageError(
            f"{script} made no {FEWEST} steps of one of torch's optimizers in {run.lasted_s:.0f} s; give more "
            "time with --budget, or a script whose training begins sooner, in its own process"
        )
    if answer is None or answer.status not in (ENOUGH, ENDED):
        raise MeasurementError(f"{script} failed before anything was changed: {run.error}")
    if answer.steps == 0:
        raise UsageError(
            f"{script} never reached a step of one of torch's optimizers in {run.lasted_s:.0f} s: sizer tune needs "
            "a script that trains in its own process"
        )
    if answer.seen is None or answer.step_s is None:
        raise UsageError(
            f"{script} ended after {answer.steps} steps of its optimizer; at least {2 * WARM_UP + 1} are needed: "
            "let it train longer"
        )
    return answer
