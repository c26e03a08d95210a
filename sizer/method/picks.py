"""Which networks of the sweeps are listed: of each window the cheapest, each once; and the optimum beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sizer.base.errors import UnreachableError
from sizer.method.placement import FloatArray
from sizer.method.recommendation import Anchor
from sizer.method.request import Request
from sizer.method.sweep import ANCHOR_SETS, PricedSweep, Sweep, aligned
from sizer.method.working_sets import BoolArray

#: Sizes whose costs differ by less are taken to cost the same: a calibrated cost is off by 3 to 5 % in the median
#: (docs/benchmarks.md).
_SAME_COST = 1.05


class Pick(NamedTuple):
    """A network of a sweep, by position, with the cache it fills."""

    priced: PricedSweep
    position: int
    anchor: Anchor | None

    @property
    def widths(self) -> tuple[int, ...]:
        """Output width of each layer."""
        return widths_at(self.priced.sweep, self.position)

    @property
    def cost(self) -> float:
        """Its cost to a loss."""
        return float(self.priced.to_loss[self.position])


def ranked(sweeps: list[PricedSweep], request: Request, unit: int) -> list[Pick]:
    """The networks that are listed, cheapest first."""
    return sorted(_distinct(_picks(sweeps, request, unit)), key=lambda pick: pick.cost)


def _picks(sweeps: list[PricedSweep], request: Request, unit: int) -> Iterator[Pick]:
    """The cheapest network of every window, each network once with the first anchor that it fills."""
    for priced in sweeps:
        anchors: dict[int, Anchor] = {}
        preferred = [aligned(priced.sweep, unit >> halvings) for halvings in range(3) if unit >> halvings >= 4]
        for name, level in itertools.product(ANCHOR_SETS[request.purpose], request.levels or ()):
            window = priced.windows[name, level]
            cheapest = _cheapest(np.where(window.inside, priced.to_loss, np.inf), preferred)
            if cheapest is not None:
                anchors.setdefault(cheapest, Anchor(name, level, float(window.fill[cheapest])))
        yield from (Pick(priced, index, anchor) for index, anchor in anchors.items())


def _cheapest(costs: FloatArray, preferred: Sequence[BoolArray]) -> int | None:
    """Position of the least cost, at about the same cost the best aligned network's; None where all are infinite."""
    least = float(costs.min())
    if not np.isfinite(least):
        return None
    about_the_same = costs <= least * _SAME_COST
    for are_aligned in preferred:
        if (about_the_same & are_aligned).any():
            return int(np.argmin(np.where(are_aligned, costs, np.inf)))
    return int(np.argmin(costs))


def _distinct(picks: Iterator[Pick]) -> Iterator[Pick]:
    """Each network once, under the first shape asked for: at depth 2 all shapes are the same network."""
    seen = set()
    for pick in picks:
        swept = pick.priced.sweep
        key = swept.family.training.batch_size, pick.widths, int(swept.networks.additions[pick.position])
        if key not in seen:
            seen.add(key)
            yield pick


def optimum(sweeps: list[PricedSweep]) -> Pick:
    """The cheapest network of the whole sweep, whether or not it fills a cache."""
    priced = min(sweeps, key=lambda priced: float(priced.to_loss.min()))
    return _anchored(priced, int(np.argmin(priced.to_loss)))


def largest(sweeps: list[PricedSweep]) -> Pick:
    """The network with the most parameters within the limits. Raises UnreachableError when none is."""
    sizes = [np.where(np.isfinite(priced.to_loss), priced.sweep.num_free_parameters, 0) for priced in sweeps]
    which = int(np.argmax([size.max() for size in sizes]))
    return _anchored(sweeps[which], int(np.argmax(sizes[which])))


def _anchored(priced: PricedSweep, index: int) -> Pick:
    if not np.isfinite(priced.to_loss[index]):
        raise UnreachableError("no network is within the limits given; even the smallest exceeds them: raise the limit")
    return Pick(priced, index, next(anchors_at(priced, index), None))


def anchors_at(priced: PricedSweep, index: int) -> Iterator[Anchor]:
    """Every cache that the network at this position fills once to twice."""
    for (name, level), window in priced.windows.items():
        if window.inside[index]:
            yield Anchor(name, level, float(window.fill[index]))


def widths_at(swept: Sweep, index: int) -> tuple[int, ...]:
    """Output width of each layer of the network at a position."""
    return tuple(swept.networks.full[1:, index].tolist())
