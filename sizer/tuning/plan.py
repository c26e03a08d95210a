"""How a budget is shared out: steps of a run, levers that are tried, rounds of the confirmation. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sizer.tuning.levers.protocol import Lever

#: Timed steps of a run last about so many times its start, within these bounds (s): a start of 2 s is paid by 2 s of
#: steps, and runs of 2 s differ by 1 to 2 % on a quiet machine (docs/tuning.md).
_OF_START, _SHORTEST_S, _LONGEST_S = 1.0, 1.5, 4.0
#: Fewest timed steps, most, and most that are not timed.
_FEWEST, _MOST, _MOST_WARM_UP = 5, 10_000, 10
#: Share of the budget that is kept for the confirmation, and fewest and most of its rounds.
CONFIRMING, LEAST_ROUNDS, MOST_ROUNDS = 0.5, 3, 10
#: Share of what is left when several levers are proven that is kept for proving them together.
FOR_TOGETHER = 0.34
#: Runs that prove one lever at least: rounds of it and an unchanged one, an unchanged one at the end.
FEWEST_TO_PROVE = 2 * LEAST_ROUNDS + 1
#: Levers of which so many are looked at a second time, by the eight scripts of benchmarks/tune_scripts.
_SECOND_LOOKS = 0.3
#: Levers that are tried between two unchanged runs.
BETWEEN = 3
#: What compiling takes beside a run, in s, before it was seen: 10 to 40 s on two processors.
COMPILING_S = 25.0
#: Most levers that are confirmed one by one.
MOST_CONFIRMED = 3


class Length(NamedTuple):
    """Steps of a run, those first ones among them that are not timed, and how long it lasts in s."""

    steps: int
    warm_up: int
    run_s: float


def length(start_s: float, ends_s: float, step_s: float, asked: int | None, most: int) -> Length:
    """The length of runs of a script that takes ``start_s`` to its first step and ``ends_s`` after the last.

    ``asked`` is the number of steps that the user wants, ``most`` how many the script has.
    """
    timed_s = min(max(_OF_START * start_s, _SHORTEST_S), _LONGEST_S)
    timed = min(max(math.ceil(timed_s / step_s), _FEWEST), _MOST)
    warm_up = min(max(timed // 4, 3), _MOST_WARM_UP)
    steps = min(timed + warm_up if asked is None else asked, most)
    warm_up = min(warm_up, max(steps // 3, 1))
    return Length(steps, warm_up, start_s + ends_s + steps * step_s)


def price_s(lever: Lever, run_s: float, is_known: bool = False) -> float:
    """What a look at a lever takes in s, its part of the unchanged runs included."""
    compiling = COMPILING_S if lever.group == "compile" and not is_known else 0.0
    return run_s * (1 + 1 / BETWEEN) + compiling


def affordable(levers: Sequence[Lever], run_s: float, left_s: float) -> list[Lever]:
    """The levers, in their order, that are paid for once the confirmation has its share."""
    left, found = (1 - CONFIRMING) * left_s - run_s, []
    for lever in levers:
        price = price_s(lever, run_s) + _SECOND_LOOKS * run_s
        if price <= left:
            found.append(lever)
            left -= price
    return found


def rounds(arms_s: Sequence[float], run_s: float, left_s: float) -> int:
    """Rounds of a confirmation of arms whose runs last so long, an unchanged run in each round and one at the end."""
    return max(min(int((left_s - run_s) / (run_s + sum(arms_s))), MOST_ROUNDS), 0)
