"""Which networks one's own study trains: a grid of families, as many as the budget pays for. Pure.

A family is a data set, shape and depth at every size; iso-loss curves and cache edges need whole ones. A larger budget
trains the same families, then further ones, then all of them again, so that a study can be extended.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sizer.base.errors import UnreachableError, UsageError
from sizer.models import SHAPES, Topology
from sizer.study.published import SHAPELESS_DEPTH, SHAPELESS_SHAPE

#: What a run should last, in s: thousands of steps of a small network, a few epochs of the largest.
RUN_S = 2.5
#: A study of fewer families shows no trend.
LEAST_FAMILIES = 3
#: (shape, depth) in the order in which a growing budget takes them up.
_ORDER = (
    *((shape, depth) for depth in (4, 2, 8) for shape in ("rectangle",)),
    *((shape, depth) for depth in (4, 8) for shape in ("exponential", "wide_first_4x", "rectangle_residual")),
    *((shape, depth) for depth in (16, 6, 3) for shape in ("rectangle", "exponential", "trapezoid")),
    *((shape, depth) for depth in (4, 8, 16) for shape in SHAPES),
)
#: log2 of the sizes.
SIZES = (6, 21)
_MOST_ROUNDS = 20


#: What tells runs of a study apart; all but the repetition is the experiment.
KEY = ("dataset", "shape", "depth", "size", "repetition")


class PlannedRun(NamedTuple):
    """A network to train; ``repetition`` counts from 0 and seeds the training."""

    dataset: str
    shape: str
    depth: int
    size: int
    widths: tuple[int, ...]
    repetition: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells runs of a study apart."""
        return tuple(getattr(self, name) for name in KEY)


def design(
    budget_s: float,
    dimensions: Mapping[str, tuple[int, int]],
    shapes: Sequence[str] = (),
    depths: Sequence[int] = (),
    sizes: tuple[int, int] = SIZES,
    seed: int = 0,
) -> list[PlannedRun]:
    """The runs that a budget in s pays for, in the order to take them in.

    ``dimensions`` maps a data set to its input and output width; ``shapes`` and ``depths`` restrict the grid, ``sizes``
    are the first and the last power of two. Every repetition's runs are in random order: wherever the study stops, what
    is missing is missing evenly. Raises UsageError for a budget below `LEAST_FAMILIES` families, or an unknown shape.
    """
    if unknown := set(shapes) - set(SHAPES):
        raise UsageError(f"unknown shape {', '.join(sorted(unknown))!r}; expected some of {', '.join(SHAPES)}")
    families = _families(dimensions, shapes, depths, sizes)
    found = list(itertools.islice(families, LEAST_FAMILIES))
    if not found:
        raise UsageError("no network of those shapes, depths and sizes exists; ask for larger sizes or fewer layers")
    needed = RUN_S * sum(map(len, found))
    if budget_s < needed:
        raise UsageError(
            f"a budget of {budget_s:g} s trains too few networks to show a trend; give {needed:.0f} s or more"
        )
    # More of them while the budget lasts: to solve for all of the grid takes seconds.
    while RUN_S * sum(map(len, found)) < budget_s and (family := next(families, None)) is not None:
        found.append(family)
    return list(_rounds(found, budget_s, seed))


def _families(
    dimensions: Mapping[str, tuple[int, int]], shapes: Sequence[str], depths: Sequence[int], sizes: tuple[int, int]
) -> Iterator[list[PlannedRun]]:
    """Every family of the grid, its networks by size, the families that matter most first."""
    wanted = _ORDER if not (shapes or depths) else tuple(itertools.product(shapes or SHAPES[:1], depths or (4, 2, 8)))
    # Networks of two layers are the same in every shape, and are filed under one.
    for shape, depth in dict.fromkeys(
        (SHAPELESS_SHAPE if depth == SHAPELESS_DEPTH else shape, depth) for shape, depth in wanted
    ):
        for dataset, (input_dim, output_dim) in dimensions.items():
            family = [
                PlannedRun(dataset, shape, depth, size, widths, 0)
                for size in (2**exponent for exponent in range(sizes[0], sizes[1] + 1))
                if (widths := _widths(shape, size, depth, input_dim, output_dim)) is not None
            ]
            if family:
                yield family


def _widths(shape: str, size: int, depth: int, input_dim: int, output_dim: int) -> tuple[int, ...] | None:
    try:
        return Topology.solve(shape, size, depth, input_dim, output_dim).widths
    except UnreachableError:
        return None


def _rounds(families: list[list[PlannedRun]], budget_s: float, seed: int) -> Iterator[PlannedRun]:
    """Families until the budget is spent, each round in random order; further rounds repeat the families."""
    left_s = budget_s
    random = np.random.default_rng(seed)
    for repetition in range(_MOST_ROUNDS):
        chosen: list[PlannedRun] = []
        for family in families:
            if (cost_s := RUN_S * len(family)) > left_s:
                left_s = 0.0
                break
            left_s -= cost_s
            chosen += [run._replace(repetition=repetition) for run in family]
        yield from (chosen[position] for position in random.permutation(len(chosen)))
        if not left_s:
            return
