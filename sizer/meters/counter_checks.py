"""Whether an energy counter is what it says: how often it moves, and whether the power that is read agrees. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

#: Counter and power of one board agree within this much, or one is not of what it says. Boards' readings are off
#: by 5 % (Yang et al., arXiv 2312.02741), and a window of two seconds of a counter of 0.1 s by as much.
AGREE = 0.1


class Reading(NamedTuple):
    """A counter in J at a time in s, and the power in W that was read then."""

    time_s: float
    joules: float
    watts: float


def update_period_s(readings: Sequence[Reading]) -> float | None:
    """How often the counter moves: the median time between two moves, in s; None where it moved less than three times.

    The readings must be closer together than the moves.
    """
    moves = [after.time_s for before, after in pairwise(readings) if after.joules != before.joules]
    gaps = [after - before for before, after in pairwise(moves)]
    return statistics.median(gaps) if len(gaps) >= 2 else None


def counter_over_power(readings: Sequence[Reading]) -> float | None:
    """Energy by the counter over that by the power, held from each reading to the next; None where either is nothing.

    From the counter's first move to its last, so that its update period does not count.
    """
    moved = [at for at, (before, after) in enumerate(pairwise(readings), 1) if after.joules != before.joules]
    if len(moved) < 2:
        return None
    part = readings[moved[0] : moved[-1] + 1]
    by_power = math.fsum(before.watts * (after.time_s - before.time_s) for before, after in pairwise(part))
    by_counter = part[-1].joules - part[0].joules
    return by_counter / by_power if by_power > 0 and by_counter > 0 else None


def disagreement(ratio: float | None) -> str | None:
    """What is wrong with a counter of that ratio to the power, in a sentence; None where they agree."""
    if ratio is None:
        return "the counter or the power stood still under load"
    if abs(ratio - 1) <= AGREE:
        return None
    return f"the counter shows {ratio:.2f} times the energy of the power that is read: one is not of the whole board"
