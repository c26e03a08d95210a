"""How much of a GPU's L2 is really there: buffers of growing size, read over and over, and how fast.

The L2 of an A100, H100 or H200 is two partitions, and an SM reads the far one's lines through the near one, which keeps
copies of some: buffers well below the nominal capacity already go to memory (gpu-benches: at 0.69 to 0.72 of it).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sizer.method.hardware import Device

#: A buffer is in L2 while it is read at this share of the full rate.
FULL_SHARE = 0.9
#: Without a step of at least this factor between L2 and memory, the sweep shows no L2 at all.
_LEAST_STEP = 1.3
#: Buffers from an eighth of the nominal capacity over four octaves to twice it; neighbours differ by 7 %.
_FROM, _OCTAVES, _AN_OCTAVE = 1 / 8, 4, 10
#: One kernel reads a buffer so often that its launch does not count.
_READS = 64
_ROUNDS = 3
#: The sweep takes no longer, in s; one that is cut short shows no edge.
_MOST_S = 2.0


class ReadRate(NamedTuple):
    """Bytes per s at which a buffer of so many bytes is read."""

    buffer_bytes: int
    bytes_per_s: float


def effective_l2_bytes(rates: Sequence[ReadRate], nominal_bytes: int) -> int | None:
    """The largest buffer still read at `FULL_SHARE` of the full rate, the median rate of buffers up to half of L2.

    At most the nominal capacity; None where memory is not clearly slower, so that the sweep shows no edge.
    """
    near = sorted(rate.bytes_per_s for rate in rates if rate.buffer_bytes <= nominal_bytes / 2)
    beyond = [rate.bytes_per_s for rate in rates if rate.buffer_bytes > nominal_bytes]
    if not near or not beyond or near[len(near) // 2] < _LEAST_STEP * min(beyond):
        return None
    full = near[len(near) // 2]
    inside = [rate.buffer_bytes for rate in rates if rate.bytes_per_s >= FULL_SHARE * full]
    return min(max(inside, default=0), nominal_bytes) or None


def sweep_sizes(nominal_bytes: int) -> list[int]:
    """Sizes of the buffers, in bytes, whole multiples of 4 KiB."""
    steps = range(_OCTAVES * _AN_OCTAVE + 1)
    return [int(nominal_bytes * _FROM * 2 ** (step / _AN_OCTAVE)) & ~4095 for step in steps]


def sweep_reads(device: str, nominal_bytes: int) -> list[ReadRate]:
    """Read buffers of each size on a CUDA device, the fastest of several rounds each. Takes two seconds at most."""
    import torch

    sizes = sweep_sizes(nominal_bytes)
    buffer = torch.ones(sizes[-1] // 4, device=device)
    best: dict[int, float] = {}
    stop = time.perf_counter() + _MOST_S
    for _, size in itertools.product(range(_ROUNDS), sizes):
        if time.perf_counter() > stop:
            break
        # Rows that are one and the same: each of many blocks reads the whole buffer.
        rows = buffer[: size // 4].expand(_READS, size // 4)
        rows.sum(1)
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        rows.sum(1)
        torch.cuda.synchronize(device)
        best[size] = max(best.get(size, 0.0), _READS * size / (time.perf_counter() - began))
    return [ReadRate(size, rate) for size, rate in best.items()]


def with_effective_l2(device: Device, rates: Sequence[ReadRate]) -> Device:
    """The GPU with the effective capacity of its L2, where the sweep shows one; what was stated of it stays else."""
    nominal = next((level.capacity_bytes for level in device.levels if level.name == "L2"), None)
    effective = None if nominal is None else effective_l2_bytes(rates, nominal)
    if effective is None:
        return device
    levels = tuple(
        replace(level, effective_bytes=effective) if level.name == "L2" else level for level in device.levels
    )
    share = {"value": round(effective / (nominal or 1), 3), "source": "measured by sizer calibrate: a sweep of buffers"}
    return replace(device, levels=levels, facts={**device.facts, "l2_effective_share": share})
