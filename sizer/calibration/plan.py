"""Which networks to time: a seeded draw over everything that bends the cost, as many as the budget pays for. Pure.

Shapes, depths 2 to 20, 2^6 to 2^21.5 parameters, batches of 32 to 1024, inputs 2 to 784 and outputs 1 to 32 wide are
drawn independently, parameters stratified, so that every working set meets every level it can. A small share are
corners.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sizer.base.errors import UnreachableError
from sizer.calibration.measurements import Case
from sizer.method.coefficients import BATCH_SIZES, DEPTHS, INPUT_DIMS, OUTPUT_DIMS, SIZES
from sizer.models import SHAPES, Topology

#: Networks at the corners of the range: deep and tiny, shallow and huge with a narrow or a wide end, small batches, and
#: activations that no last-level cache holds; two whose activations are mapped afresh each step (`cost.MAPPED_BYTES`).
CORNERS = (
    Case("rectangle", 2, (2, 1), 32),
    Case("rectangle", 8, (*[4] * 19, 1), 32),
    Case("rectangle_residual", 8, (*[8] * 19, 1), 32),
    Case("rectangle", 784, (1024, 1), 64),
    Case("rectangle", 2, (65536, 1), 32),
    Case("rectangle", 16, (32768, 4), 240),
    Case("rectangle", 4, (65536, 2), 144),
    Case("rectangle", 2, (70000, 1), 128),
    Case("rectangle", 784, (512, 512, 32), 32),
    Case("rectangle_residual", 64, (*[256] * 7, 10), 256),
)

#: Three rounds often see only one of the two states that a core switches between every few seconds, four to eight both
#: (docs/calibration.md, machine B of docs/benchmarks.md).
FEWEST_ROUNDS = 4
MOST_ROUNDS = 8


def draw(count: int, seed: int) -> list[Case]:
    """Random networks, stratified by number of parameters; the same for the same seed."""
    random = np.random.default_rng(seed)
    strata = (random.permutation(count) + random.random(count)) / max(count, 1)
    return [_draw_one(random, float(position)) for position in strata]


def _draw_one(random: np.random.Generator, position: float) -> Case:
    """A network at a position from 0 to 1 of the sizes; settings are drawn until the shape can reach it."""
    while True:
        parameters = round(2 ** (SIZES[0] + position * (SIZES[1] - SIZES[0])))
        shape = SHAPES[int(random.integers(len(SHAPES)))]
        depth = int(random.integers(DEPTHS[0], DEPTHS[1] + 1))
        input_dim, output_dim = _log_uniform(random, INPUT_DIMS), _log_uniform(random, OUTPUT_DIMS)
        batch_size = _log_uniform(random, BATCH_SIZES)
        try:
            topology = Topology.solve(shape, parameters, depth, input_dim, output_dim)
        except UnreachableError:
            continue
        return Case(shape, input_dim, topology.widths, batch_size)


def _log_uniform(random: np.random.Generator, limits: tuple[int, int]) -> int:
    low, high = limits
    growth: float = (high / low) ** random.random()
    return round(low * growth)


def rounds_for(budget_s: float) -> int:
    """How often each network is timed: `MOST_ROUNDS` times where the budget leaves enough networks for a fit."""
    return int(min(max(budget_s / 7.5, FEWEST_ROUNDS), MOST_ROUNDS))


def plan(budget_s: float, rounds: int, speed: Speed, seed: int = 0) -> list[Case]:
    """As many networks as the budget pays for in so many rounds, corners first.

    Networks whose run would take more than a fortieth of a round are left out: a few of them would eat the budget, and
    what decides their time, the products, is pinned by smaller ones.
    """
    round_s = budget_s / rounds
    chosen: list[Case] = []
    spent_s = 0.0
    for case in _candidates(seed):
        cost_s = speed.run_s(case)
        if cost_s > round_s / 40:
            continue
        if spent_s + cost_s > round_s:
            break
        chosen.append(case)
        spent_s += cost_s
    return chosen


def _candidates(seed: int) -> Iterator[Case]:
    yield from CORNERS
    for batch in range(40):  # small strata, one after the other: wherever the budget ends, all sizes are there
        yield from draw(25, seed + batch)


class Speed:
    """A first idea of how fast a machine is, from two timings: overhead of a layer and time of an operation."""

    def __init__(self, layer_s: float, operation_s: float) -> None:
        self.layer_s = layer_s
        self.operation_s = operation_s

    @classmethod
    def of(cls, small: tuple[Case, float], large: tuple[Case, float]) -> Speed:
        """From the step times in s of a network that is all overhead and one that is all arithmetic."""
        layer_s = small[1] / (len(small[0].widths) + 1)
        rest = max(large[1] - layer_s * (len(large[0].widths) + 1), 0.2 * large[1])
        return cls(layer_s, rest / operations(large[0]))

    def step_s(self, case: Case) -> float:
        """Expected time of a step in s."""
        return self.layer_s * (len(case.widths) + 1) + self.operation_s * operations(case)

    def run_s(self, case: Case) -> float:
        """Expected time of a run in s: making the network, warming up, timing."""
        return _SETUP_S + WARM_UP * self.step_s(case) + max(RUN_S, MIN_STEPS * self.step_s(case))


#: A run: so many steps to warm up, then steps for `RUN_S` seconds, at least `MIN_STEPS`. Short runs in many rounds find
#: a network's quiet time where long runs in few do not: what disturbs a machine lasts longer than either.
WARM_UP = 2
RUN_S = 0.012
MIN_STEPS = 2
_SETUP_S = 0.015


def operations(case: Case) -> int:
    """Multiply-accumulates of a step, forward and backward."""
    pairs: Sequence[tuple[int, int]] = list(zip(case.full[:-1], case.widths, strict=True))
    return case.batch_size * (3 * sum(w_in * w_out for w_in, w_out in pairs) - pairs[0][0] * pairs[0][1])
