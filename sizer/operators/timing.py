"""How long one call of an operator takes on this machine, with what it reads near and with it far.

`torch.utils.benchmark.Timer` calls a statement at least six times before its first sample, in blocks that grow by ten;
a calibration of thousands of calls, most of them of milliseconds, has no time for that, so that calls are sampled here.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from sizer.operators.call import Call
from sizer.operators.operands import MOST_SETS, Pools, bytes_of

#: Quiet value of samples: as that of a calibrated step.
_QUIET_QUANTILE = 0.2
#: A sample lasts so long at least: a hundred times what reading the clock takes, twice.
_SAMPLE_S = 2e-5
#: So many samples at least, so many at most, and so long in between.
_FEWEST, _MOST = 3, 25
_LONG_S = 0.004
#: Calls that read less are as fast far as near, within what can be told.
_LEAST_FAR_BYTES = 2**16
#: Results kept while calls are timed far: more than a last cache, less than what the C library gives back when freed.
_KEPT_BYTES = 48 * 2**20
#: A C library gives memory back that was freed in one piece of more than its threshold, which grows up to this.
_LARGEST_KEPT = 32 * 2**20 - 2**12


class OperatorTime(NamedTuple):
    """Quiet time of a call in s, with its operands in the nearest cache that holds them, and with them in memory.

    Far, what comes out lies in memory that was not used lately, too.
    """

    near_s: float
    far_s: float


@contextmanager
def quiet_process() -> Iterator[None]:
    """No garbage collection, no gradients, no denormals, and an allocator that keeps what is freed."""
    collects = gc.isenabled()
    gc.disable()
    torch.empty(_LARGEST_KEPT, dtype=torch.uint8).numel()  # (made and freed: from here on smaller ones are kept)
    torch.set_flush_denormal(True)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_flush_denormal(False)
        if collects:
            gc.enable()


def time_call(call: Call, pools: Pools) -> OperatorTime | None:
    """Time a call, None for one that cannot be made of its arguments alone. Inside of `quiet_process`.

    Nor is one of another library than PyTorch timed: what it does with values that mean nothing, nobody knows.
    """
    if not call.operator.startswith("aten."):
        return None
    try:
        near_s = far_s = _Run(call, pools, 1).quiet_s()
        read, made = bytes_of(call.tensors), 0 if changes(call) else bytes_of(call.outputs)
        sets = min(pools.pool_bytes // max(read, made, 1), MOST_SETS)
        if read + made >= _LEAST_FAR_BYTES and sets > 1:
            far_s = _Run(call, pools, sets).quiet_s()
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
        pools.refill()
        return None
    if changes(call):
        pools.refill()
    else:
        pools.keep()
    return OperatorTime(near_s, max(far_s, near_s))


class _Run:
    """Calls of an operator that go through sets of operands in turn, and keep as many results."""

    def __init__(self, call: Call, pools: Pools, sets: int) -> None:
        self._function, self._sets = operator_of(call), pools.sets(call, sets)
        keeps = sets > 1 and not changes(call)
        fits = max(min(sets, _KEPT_BYTES // max(bytes_of(call.outputs), 1)), 1)
        self._kept: list[Any] = [None] * (fits if keeps else 1)
        self._count = 0

    def quiet_s(self) -> float:
        """Quiet time of a call in s; the first calls, as many as results are kept, find memory that nobody has had."""
        for _ in range(len(self._kept)):
            self._sample(1)
        first = min(self._sample(1), self._sample(1))
        count = max(1, min(int(_SAMPLE_S / max(first, 1e-7)), 100))
        samples, ends = [self._sample(count)], time.perf_counter() + _LONG_S
        while len(samples) < _FEWEST or (len(samples) < _MOST and time.perf_counter() < ends):
            samples.append(self._sample(count))
        return float(np.quantile(samples, _QUIET_QUANTILE))

    def _sample(self, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            args, kwargs = self._sets[self._count % len(self._sets)]
            self._kept[self._count % len(self._kept)] = self._function(*args, **kwargs)
            self._count += 1
        return (time.perf_counter() - began) / count


def operator_of(call: Call) -> Any:
    """The operator itself. Raises AttributeError where this torch has none of that name."""
    found = torch.ops
    for name in call.operator.split("."):
        found = getattr(found, name)
    return found


def changes(call: Call) -> bool:
    """Whether a call changes what it is given."""
    return bool(operator_of(call)._schema.is_mutable)
