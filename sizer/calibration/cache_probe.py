"""How much of a cache is really there: random accesses over growing tables, timed.

A virtual machine's last-level cache is whatever its neighbours leave of it. Here each of a set of walkers reads where
to go next, one cache line a hop, through a random cycle over a table of a given size: no access can start before the
one before it ended. Time an access against table size shows a plateau for each level.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.method.hardware import RAM, Device

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
