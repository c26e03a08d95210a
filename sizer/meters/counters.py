"""From two readings of cumulative energy counters to joules, rejecting what no sound counter can have done. Pure.

A counter that wraps is told from one that jumped by what the hardware can draw at most: going backwards is a wrap only
if the energy it implies could have been used in the window.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from sizer.meters.protocol import Energy, Snapshot, rejected, rejection

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


#: (joules, None) or (None, what is wrong).
_Used = tuple[float | None, str | None]


@dataclass(frozen=True)
class Counter:
    """A cumulative energy counter.

    ``range_counts`` is what it wraps after, None for one that does not. ``max_power_w`` is a stated bound that the
    domain never exceeds. ``may_rest`` allows a domain that truly uses nothing, a part of a chip that is switched off.
    """

    name: str
    counts_per_joule: int
    range_counts: int | None = None
    max_power_w: float = 1000.0
    may_rest: bool = False

    @property
    def wrap_period_s(self) -> float | None:
        """The shortest time in which the counter can wrap, in s: its range at the greatest power."""
        if self.range_counts is None:
            return None
        return self.range_counts / self.counts_per_joule / self.max_power_w


@dataclass(frozen=True)
class CounterSet:
    """The counters a meter reads together, what their energy is called, and how long a window must be.

    ``update_period_s`` is how often the counters move: a reading is up to that old, so a window of ``minimum_window_s``
    is wrong by at most their ratio.
    """

    counters: tuple[Counter, ...]
    label: str
    update_period_s: float
    minimum_window_s: float

    @property
    def names(self) -> tuple[str, ...]:
        """The counters' names."""
        return tuple(counter.name for counter in self.counters)

    @property
    def maximum_window_s(self) -> float | None:
        """The longest window in which no counter can wrap more than once, in s; None if none wraps."""
        periods = [counter.wrap_period_s for counter in self.counters]
        return min((period for period in periods if period is not None), default=None)

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """The energy between two snapshots, the sum over the counters. Rejected as a whole if one counter is."""
        seconds = end.time_s - start.time_s
        reason = self._window_problem(seconds) or _interruption(start, end)
        if reason is not None:
            return rejected(seconds, self.label, self.names, reason)
        # The first reading may be an update period old, so that the counter shows that much more time.
        shown_s = seconds + self.update_period_s
        readings = zip(self.counters, start.readings, end.readings, strict=True)
        used = {counter.name: _used(counter, before, after, shown_s) for counter, before, after in readings}
        detail = {name: joules for name, (joules, _) in used.items()}
        problems = tuple(rejection(problem) for _, problem in used.values() if problem is not None)
        total = None if problems else math.fsum(joules for joules, _ in used.values() if joules is not None)
        return Energy(total, seconds, self.label, detail, problems)

    def _window_problem(self, seconds: float) -> str | None:
        if seconds < self.minimum_window_s:
            return (
                f"it lasts {seconds:.3g} s, but the counter moves every {self.update_period_s:.3g} s; "
                f"make it at least {self.minimum_window_s:.3g} s long"
            )
        longest = self.maximum_window_s
        if longest is not None and seconds > longest:
            return (
                f"it lasts {seconds:.4g} s, but the counter can wrap more than once after {longest:.4g} s; "
                "take snapshots in between and add the parts up"
            )
        return None


def _interruption(start: Snapshot, end: Snapshot) -> str | None:
    if end.interruptions != start.interruptions or None in end.readings or None in start.readings:
        return end.problem or start.problem or "the meter could not be read"
    return None


def _used(counter: Counter, before: float | None, after: float | None, shown_s: float) -> _Used:
    """Joules between two readings at most ``shown_s`` apart, or why there are none."""
    if before is None or after is None:
        return None, f"{counter.name} could not be read"
    most = counter.max_power_w * shown_s * counter.counts_per_joule
    counts = after - before
    if counts < 0:
        wrapped = counts + (counter.range_counts or 0)
        if not 0 <= wrapped <= most:
            return None, (
                f"the counter of {counter.name} jumped back by {-counts / counter.counts_per_joule:.4g} J, which is no "
                "wrap-around: it was reset (suspend, driver reload)"
            )
        counts = wrapped
    if counts == 0 and not counter.may_rest:
        return None, f"the counter of {counter.name} stood still for {shown_s:.3g} s: it has stopped"
    if counts > most:
        return None, (
            f"the counter of {counter.name} rose by {counts / counter.counts_per_joule:.4g} J in {shown_s:.3g} s, more "
            f"than {counter.max_power_w:g} W: it jumped"
        )
    return counts / counter.counts_per_joule, None


class CounterMeter:
    """What all meters of cumulative counters have in common; ``_set`` are the counters, ``snapshot`` is the meter's."""

    _set: CounterSet

    @property
    def quantities(self) -> tuple[str, ...]:
        """The counters' names."""
        return self._set.names

    @property
    def minimum_window_s(self) -> float:
        """Shortest window that the counters' update period does not spoil, in s."""
        return self._set.minimum_window_s

    @property
    def maximum_window_s(self) -> float | None:
        """The time in which no counter can wrap twice, in s; None where none wraps."""
        return self._set.maximum_window_s

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """The energy between two snapshots. Rejected where a counter stopped, jumped or could not be read."""
        return self._set.energy(start, end)
