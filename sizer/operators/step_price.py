"""A traced step's time: the sum of its calls, and what lies between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sizer.operators.call import Call
from sizer.operators.kinds import kind_of
from sizer.operators.prices import CallPrice
from sizer.operators.tape import Tape


@dataclass
class StepSum:
    """Sums over the calls of a step, times in s.

    ``by_layer`` is by layer and phase, ``by_kind`` by kind of operator, ``by_how`` by how they are known, ``by_call``
    by call. ``calls`` and ``views`` count by phase.
    """

    by_layer: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    by_kind: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    by_how: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    by_call: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    views: Mapping[str, int] = field(default_factory=dict)
    known: dict[str, tuple[Call, CallPrice]] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """The sum of all calls."""
        return sum(self.by_call.values())

    @property
    def variance_s2(self) -> float:
        """Variance of the sum by what is not known of each call: like calls err alike, others each by themselves."""
        return sum((seconds * self.known[key][1].deviation) ** 2 for key, seconds in self.by_call.items())


class Priced(Protocol):
    """What knows the price of a call."""

    def of(self, call: Call) -> CallPrice:
        """The price of a call."""
        ...


def sum_step(tape: Tape, prices: Priced, cache_bytes: float) -> StepSum:
    """Add up the calls of a tape. What a call reads from beyond a cache of so many bytes it reads at the far price."""
    found = StepSum(views=dict(tape.views))
    for each in tape.calls:
        price, call = prices.of(each.call), each.call
        far = each.far_share(cache_bytes, tape.step_bytes)
        seconds = price.near_s + far * (price.far_s - price.near_s)
        found.by_layer[each.layer, each.phase] += seconds
        found.by_kind[kind_of(call)] += seconds
        found.by_how[price.how] += seconds
        found.by_call[call.key] += seconds
        found.calls[each.phase] += 1
        found.known[call.key] = call, price
    return found
