"""How much of a cache is really there: random accesses over growing tables, timed.

A virtual machine's last-level cache is whatever its neighbours leave of it. Here each of a set of walkers reads where
to go next, one cache line a hop, through a random cycle over a table of a given size: no access can start before the
one before it ended. Time an access against table size shows a plateau for each level.

On a GPU, buffers of growing size are read over and over, and how fast: the L2 of an A100, H100 or H200 is two
partitions, and an SM reads the far one's lines through the near one, which keeps copies of some, so that buffers well
below the nominal capacity already go to memory (gpu-benches: at 0.69 to 0.72 of it).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.method.hardware import RAM, Device

#: A buffer is in L2 while it is read at this share of the full rate.
FULL_SHARE = 0.9
#: Without a step of at least this factor between L2 and memory, the sweep shows no L2 at all.
_LEAST_STEP = 1.3
#: Buffers from an eighth of the nominal capacity over four octaves to twice it; neighbours differ by 7 %.
_FROM, _OCTAVES, _AN_OCTAVE = 1 / 8, 4, 10
#: One kernel reads a buffer so often that its launch does not count.
_READS = 64
_SWEEPS = 3
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
    for _, size in itertools.product(range(_SWEEPS), sizes):
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


_LINE_BYTES = 64
_LINE_WORDS = _LINE_BYTES // 8
#: Walkers that hop together: enough to hide numpy's cost of a call, few enough to stay in the nearest cache.
_WALKERS = 256
_HOPS = 96
_ROUNDS = 5
#: Tables beyond this prove nothing about a cache that a few CPUs use, and take seconds to make.
_LARGEST_BYTES = 128 * 2**20
_SIZES_PER_OCTAVE = 2


class AccessTime(NamedTuple):
    """Time of one access in s, in a table of so many bytes."""

    table_bytes: int
    access_s: float


def sweep_accesses(
    largest_bytes: int = _LARGEST_BYTES, smallest_bytes: int = 64 * 2**10, rounds: int = _ROUNDS
) -> list[AccessTime]:
    """Time of an access for table sizes two an octave, the least of several interleaved rounds.

    Takes about two seconds with the five rounds, 0.4 s with two up to 64 MiB.
    """
    octaves = math.log2(largest_bytes / smallest_bytes)
    sizes = [
        round(smallest_bytes * 2 ** (step / _SIZES_PER_OCTAVE)) for step in range(int(octaves * _SIZES_PER_OCTAVE) + 1)
    ]
    random = np.random.default_rng(0)
    cycle = random.permutation(sizes[-1] // _LINE_BYTES)
    best = [math.inf] * len(sizes)
    for _ in range(rounds):
        for index, size in enumerate(sizes):
            best[index] = min(best[index], _access_s(_table(cycle, size // _LINE_BYTES), random))
    return [AccessTime(size, access_s) for size, access_s in zip(sizes, best, strict=True)]


def _table(cycle: npt.NDArray[np.int64], lines: int) -> npt.NDArray[np.int64]:
    """A table of so many lines whose first words lead through all of them in random order."""
    order = cycle[cycle < lines] if lines < len(cycle) else cycle
    table = np.zeros(lines * _LINE_WORDS, dtype=np.int64)
    table[order * _LINE_WORDS] = np.roll(order, -1) * _LINE_WORDS
    return table


def _access_s(table: npt.NDArray[np.int64], random: np.random.Generator) -> float:
    lines = len(table) // _LINE_WORDS
    at = random.integers(0, lines, _WALKERS) * _LINE_WORDS
    there = np.empty_like(at)
    for _ in range(max(_HOPS, min(lines // _WALKERS, 4 * _HOPS)) if lines * _LINE_BYTES < 2**23 else 8):
        np.take(table, at, out=there, mode="clip")
        at, there = there, at
    before = time.perf_counter()
    for _ in range(_HOPS):
        np.take(table, at, out=there, mode="clip")
        at, there = there, at
    return (time.perf_counter() - before) / (_HOPS * _WALKERS)


def effective_last_level_bytes(times: Sequence[AccessTime], near_bytes: int, reported_bytes: int) -> int | None:
    """Capacity that the last cache offers: the largest table whose accesses still cost less than half way to RAM.

    ``near_bytes`` is the capacity of the level before it: tables a little above that show the last cache's own time.
    Half way is the geometric mean of that and of the largest table's time. None where the sweep shows no such step:
    the largest table still fits, or RAM is not at least 1.5 times slower.
    """
    own = [time.access_s for time in times if 1.5 * near_bytes <= time.table_bytes <= 4 * near_bytes]
    farthest = times[-1]
    if not own or farthest.access_s < 1.5 * min(own):
        return None
    half_way = math.sqrt(min(own) * farthest.access_s)
    within = [time for time in times if time.access_s <= half_way and time.table_bytes >= near_bytes]
    if not within:
        return min(near_bytes, reported_bytes)
    last = within[-1]
    return min(_crossing(last, times, half_way), reported_bytes)


def _crossing(last: AccessTime, times: Sequence[AccessTime], access_s: float) -> int:
    """Table size at which the time is reached, between the last size within and the next, on logarithmic scales."""
    beyond = next((time for time in times if time.table_bytes > last.table_bytes), last)
    if beyond.access_s <= last.access_s:
        return last.table_bytes
    share = math.log(access_s / last.access_s) / math.log(beyond.access_s / last.access_s)
    growth: float = (beyond.table_bytes / last.table_bytes) ** share
    return round(last.table_bytes * growth)


def with_effective_capacity(device: Device, times: Sequence[AccessTime]) -> Device:
    """The device with the effective capacity of its last cache, where the sweep shows one."""
    caches = device.caches()
    if len(caches) < 2:
        return device
    last, before = caches[-1], caches[-2]
    effective = effective_last_level_bytes(times, before.sizing_bytes or 0, last.capacity_bytes or 0)
    if effective is None:
        return device
    levels = tuple(
        replace(level, effective_bytes=effective) if level.name == last.name and level.name != RAM else level
        for level in device.levels
    )
    return replace(device, levels=levels)
