"""Which members of a family to time: few, spread over the sizes, chosen where they tell most. Pure.

The smallest and the largest are always among them, so that nothing between is extrapolated. The first ones are spread
evenly by the ratio of what they cost; of those near each place the ones are taken that tell the terms of the fit apart:
on both sides of the cache edges, with aligned and unaligned widths (a D-optimal design, by exchange). Each further one
is in the middle of the gap where a fit to those before disagrees most between the ends: where the cost bends, and no
term foresaw it. Held-out sizes of nine families were off by 4.0 % in the mean and 9 % in the 95th percentile so, by 5.0
and 19 % with all six chosen beforehand (`benchmarks/module_families.py`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import pairwise

import numpy as np

from sizer.families.fit import costs, fit, predict, predict_with
from sizer.families.terms import Counted, crude_times_s, every_term, terms
from sizer.method.placement import FloatArray, Placements

#: Members that are timed, of two parameters that vary two more; all but two of them are chosen beforehand.
TIMED, TIMED_OF_TWO, CHOSEN_LATER = 6, 8, 2
#: Members that are timed on top, since they may be the cheapest: in 36 combinations of the benchmark the advised size
#: then cost 0.4 % more than the best one at most; with six alone up to 14 %, with two that were predicted to be 11 %.
CONFIRMED = 2
#: What a design without a column's term is worth, so that designs with fewer members than terms can be compared.
_RIDGE = 1e-3
_PASSES = 3
#: Disagreement that counts for every gap: about what timings scatter, so that of two equal ones the wider is taken.
_SCATTER = 0.05


def choose(members: Sequence[Counted], placements: Placements, count: int) -> list[int]:
    """Positions of the members to time first, in order; all of them where there are no more."""
    if len(members) <= count:
        return list(range(len(members)))
    crude_s = crude_times_s(members)
    rows = np.column_stack(list(every_term(members, placements).values())) / crude_s[:, None]
    rows = rows / np.maximum(rows.max(axis=0), 1e-300)
    places = _places(np.log(crude_s), count)
    chosen = [place[0] for place in places]
    for _ in range(_PASSES):
        for index, place in enumerate(places):
            others = [*chosen[:index], *chosen[index + 1 :]]
            chosen[index] = max(place, key=lambda one: _information(rows[[*others, one]]))
    return sorted(chosen)


def _places(log_cost: FloatArray, count: int) -> list[list[int]]:
    """The members near each of so many evenly spread costs, nearest first; at the ends only the outermost."""
    order = np.argsort(log_cost, kind="stable")
    targets = np.linspace(log_cost[order[0]], log_cost[order[-1]], count)[1:-1]
    near: list[list[int]] = [[] for _ in targets]
    for one in order[1:-1].tolist() if len(targets) else ():
        near[int(np.argmin(np.abs(targets - log_cost[one])))].append(one)
    for target, place in zip(targets, near, strict=True):
        place.sort(key=lambda one: abs(float(log_cost[one] - target)))
    return [[int(order[0])], *(place for place in near if place), [int(order[-1])]]


def _information(rows: FloatArray) -> float:
    """Logarithm of the determinant of the information matrix."""
    return float(np.linalg.slogdet(rows.T @ rows + _RIDGE * np.eye(rows.shape[1]))[1])


def choose_next(members: Sequence[Counted], step_s: Mapping[int, float], tried: Container[int]) -> int | None:
    """The member to time after those whose steps are known, by position; None where nothing is left between them.

    It is in the middle of the gap, in the logarithm of the time, that is widest times the difference between what the
    fit misses at its two ends.
    """
    known = list(step_s)
    rows, measured_s = terms(members), np.array(list(step_s.values()))
    predicted = np.log(predict_with(rows, costs({name: counts[known] for name, counts in rows.items()}, measured_s)))
    missed = {one: float(np.log(step_s[one]) - predicted[one]) for one in known}
    best: tuple[float, int] | None = None
    for before, after in pairwise(sorted(known, key=lambda one: predicted[one])):
        low, high = predicted[before], predicted[after]
        inside = [one for one in range(len(members)) if low < predicted[one] < high and one not in tried]
        worth = (abs(missed[before] - missed[after]) + _SCATTER) * float(high - low)
        if inside and (best is None or worth > best[0]):
            best = worth, min(inside, key=lambda one: abs(float(predicted[one] - (low + high) / 2)))
    return None if best is None else best[1]


def choose_cheapest(
    members: Sequence[Counted], step_s: Mapping[int, float], tried: Container[int], weights: FloatArray
) -> int | None:
    """The member that may be the cheapest, by position: that is so at the better end of its interval.

    None where it was tried already. The cost is the time of a step times ``weights``, shape (N,).
    """
    known = list(step_s)
    rows, measured_s = terms(members), np.array(list(step_s.values()))
    found = fit({name: counts[known] for name, counts in rows.items()}, measured_s)
    may_take_s = predict(rows, found) * found.interval[0]
    may_take_s[known] = measured_s
    cheapest = int(np.argmin(may_take_s * weights))
    return None if cheapest in tried else cheapest
