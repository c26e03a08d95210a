"""Which networks to time: a seeded draw over everything that bends the cost, as many as the budget pays for. Pure.

Shapes, depths 2 to 20, 2^6 to 2^21.5 parameters, batches of 32 to 1024, inputs 2 to 784 and outputs 1 to 32 wide are
drawn independently, parameters stratified, so that every working set meets every level it can. A small share are
corners.

On a GPU nearly all of these wait for the program that launches them, and say nothing of the GPU's own work. There every
second network is a larger one that keeps it busy, by the two first timings, and the optimizer's forms take turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sizer.base.errors import UnreachableError
from sizer.calibration.measurements import Case
from sizer.method.coefficients import BATCH_SIZES, DEPTHS, INPUT_DIMS, OUTPUT_DIMS, SIZES
from sizer.models import SHAPES, Topology
from sizer.models.topology import num_free_parameters

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
        case = _attempt(random, round(2 ** (SIZES[0] + position * (SIZES[1] - SIZES[0]))), BATCH_SIZES)
        if case is not None:
            return case


def _attempt(random: np.random.Generator, parameters: int, batch_sizes: tuple[int, int]) -> Case | None:
    """A network of so many parameters; None where the shape that was drawn cannot reach them."""
    shape = SHAPES[int(random.integers(len(SHAPES)))]
    depth = int(random.integers(DEPTHS[0], DEPTHS[1] + 1))
    input_dim, output_dim = _log_uniform(random, INPUT_DIMS), _log_uniform(random, OUTPUT_DIMS)
    batch_size = _log_uniform(random, batch_sizes)
    try:
        topology = Topology.solve(shape, parameters, depth, input_dim, output_dim)
    except UnreachableError:
        return None
    return Case(shape, input_dim, topology.widths, batch_size)


#: What GPUs are timed up to: log2 of the number of parameters, and batches. An H100's launches take as long as its work
#: on about 2^30 parameters times observations (assumed from its peak: none was timed yet).
GPU_SIZES = (SIZES[0], 26.0)
GPU_BATCH_SIZES = (BATCH_SIZES[0], 16_384)
#: Sizes from which networks that keep a GPU busy are drawn; below, no batch does.
_BUSY_FROM = 12.0
_MOST_ATTEMPTS = 2000
#: First timings on a GPU, the smallest that is all work and hardly any launches by `BUSY_TIMES`.
GPU_LARGE = tuple(Case("rectangle", 784, (width, width, width, 10), 1024) for width in (512, 1024, 2048, 4096))
#: How many times as long as its launches a step takes that is all work.
BUSY_TIMES = 4.0
#: Forms of the optimizer by turns, the fused one most often: it is what predictions without an optimizer are of.
_FORMS = ("fused", "foreach", "fused", "single-tensor")
#: Bytes of a parameter with its gradient and moments, of an activation with its gradient and a copy; and the share of a
#: GPU's memory that a network may take, since others use it too.
_PARAMETER_BYTES, _ACTIVATION_BYTES, _MEMORY_SHARE = 16, 12, 1 / 8


def draw_on_gpu(seed: int, accepted: Callable[[Case], bool]) -> Iterator[Case]:
    """Networks for a GPU, without end: an accepted larger one and one of `draw` in turns, and the optimizer's forms.

    ``accepted`` says whether a network keeps the GPU busy, fits its memory, and is not too long.
    """
    large = _larger(seed, accepted)
    usual = (case for batch in itertools.count() for case in draw(25, seed + batch))
    for number, case in enumerate(usual):
        form = _FORMS[number % len(_FORMS)]
        yield from (each._replace(form=form) for each in itertools.islice(large, 1))
        yield case._replace(form=form)


def _larger(seed: int, accepted: Callable[[Case], bool]) -> Iterator[Case]:
    random = np.random.default_rng((seed, 1))
    attempts = 0
    while attempts < _MOST_ATTEMPTS:
        parameters = round(2 ** random.uniform(_BUSY_FROM, GPU_SIZES[1]))
        case = _attempt(random, parameters, GPU_BATCH_SIZES)
        attempts += 1
        if case is not None and accepted(case):
            attempts = 0
            yield case


def fits_gpu(case: Case, memory_bytes: int | None) -> bool:
    """Whether a network leaves most of a GPU's memory alone; unknown memory is that of the smallest, 8 GiB."""
    elements = case.batch_size * sum(case.full)
    needed = _PARAMETER_BYTES * num_free_parameters(case.input_dim, case.widths) + _ACTIVATION_BYTES * elements
    return needed <= _MEMORY_SHARE * (memory_bytes or 8 * 2**30)


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
    for case in _candidates(seed, speed, round_s / 40):
        cost_s = speed.run_s(case)
        if cost_s > round_s / 40:
            continue
        if spent_s + cost_s > round_s:
            break
        chosen.append(case)
        spent_s += cost_s
    return chosen


def _candidates(seed: int, speed: Speed, longest_s: float) -> Iterator[Case]:
    yield from CORNERS
    if speed.overlaps:
        yield from itertools.islice(draw_on_gpu(seed, lambda case: speed.accepts(case, longest_s)), 1000)
        return
    for batch in range(40):  # small strata, one after the other: wherever the budget ends, all sizes are there
        yield from draw(25, seed + batch)


class Speed:
    """A first idea of how fast a machine is, from two timings: overhead of a layer and time of an operation.

    On a GPU they overlap: launching goes on while it works, and a step takes the longer of the two.
    """

    def __init__(
        self, layer_s: float, operation_s: float, overlaps: bool = False, memory_bytes: int | None = None
    ) -> None:
        self.layer_s = layer_s
        self.operation_s = operation_s
        self.overlaps = overlaps
        self.memory_bytes = memory_bytes

    @classmethod
    def of(cls, small: tuple[Case, float], large: tuple[Case, float]) -> Speed:
        """From the step times in s of a network that is all overhead and one that is all arithmetic."""
        layer_s = small[1] / (len(small[0].widths) + 1)
        rest = max(large[1] - layer_s * (len(large[0].widths) + 1), 0.2 * large[1])
        return cls(layer_s, rest / operations(large[0]))

    @classmethod
    def of_gpu(cls, small: tuple[Case, float], large: tuple[Case, float], memory_bytes: int | None) -> Speed:
        """The same of a GPU, whose work hides what is launched meanwhile."""
        return cls(small[1] / (len(small[0].widths) + 1), large[1] / operations(large[0]), True, memory_bytes)

    def accepts(self, case: Case, longest_s: float) -> bool:
        """Whether a GPU works longer on a step than launching it takes, has room for it, and is soon through."""
        busy = self._work_s(case) > self._overhead_s(case)
        return busy and fits_gpu(case, self.memory_bytes) and self.run_s(case) <= longest_s

    def is_all_work(self, case: Case) -> bool:
        """Whether launching a step of a network takes a small part of the time that a GPU works on it."""
        return self._work_s(case) >= BUSY_TIMES * self._overhead_s(case)

    def step_s(self, case: Case) -> float:
        """Expected time of a step in s."""
        both = self._overhead_s(case), self._work_s(case)
        return max(both) if self.overlaps else sum(both)

    def run_s(self, case: Case) -> float:
        """Expected time of a run in s: making the network, warming up, timing."""
        warm_up_s = WARM_UP * self.step_s(case) + (_GPU_WARM_UP_S if self.overlaps else 0.0)
        return _SETUP_S + warm_up_s + max(RUN_S, MIN_STEPS * self.step_s(case))

    def _overhead_s(self, case: Case) -> float:
        return self.layer_s * (len(case.widths) + 1)

    def _work_s(self, case: Case) -> float:
        return self.operation_s * operations(case)


#: A run: so many steps to warm up, then steps for `RUN_S` seconds, at least `MIN_STEPS`. Short runs in many rounds find
#: a network's quiet time where long runs in few do not: what disturbs a machine lasts longer than either.
WARM_UP = 2
RUN_S = 0.012
MIN_STEPS = 2
_SETUP_S = 0.015
#: Batches on a GPU until two agree (`timed_step.steps_in_batch`).
_GPU_WARM_UP_S = 0.025


def operations(case: Case) -> int:
    """Multiply-accumulates of a step, forward and backward."""
    pairs: Sequence[tuple[int, int]] = list(zip(case.full[:-1], case.widths, strict=True))
    return case.batch_size * (3 * sum(w_in * w_out for w_in, w_out in pairs) - pairs[0][0] * pairs[0][1])
