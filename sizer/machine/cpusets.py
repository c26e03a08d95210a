"""Sets of CPUs as integers: bit n is logical CPU n.

Two textual forms come from the kernel: lists (``0-3,8``) and maps (hexadecimal words of 32 bits, the most significant
first, separated by commas). Anything else, and any CPU number no kernel supports, is not a set: None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from sizer.machine.tree import natural

# Linux supports at most 8192 CPUs (CONFIG_NR_CPUS); the margin costs nothing and a larger number is damage.
MAX_CPUS = 1 << 16
_MAP = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16384}(?:,[0-9a-fA-F]{1,8})*)")


def parse_list(text: str | None) -> int | None:
    """The set that a list like ``0-3,8`` names; empty text is the empty set."""
    if text is None:
        return None
    cpus = 0
    for part in filter(None, text.strip(" \t\r\n\0").split(",")):
        start, dash, end = part.strip().partition("-")
        first = natural(start)
        last = natural(end) if dash else first
        if first is None or last is None or not first <= last < MAX_CPUS:
            return None
        cpus |= ((1 << (last - first + 1)) - 1) << first
    return cpus


@lru_cache(maxsize=4096)  # every CPU repeats the maps of the caches that it shares
def parse_map(text: str | None) -> int | None:
    """The set that a hexadecimal map like ``00000001,00000003`` names."""
    match = _MAP.fullmatch(text.strip(" \t\r\n\0")) if text is not None else None
    if match is None:
        return None
    first_word, *words = match[1].split(",")
    cpus = int(first_word + "".join(word.zfill(8) for word in words), 16)
    return cpus if cpus.bit_length() <= MAX_CPUS else None


def from_cpus(cpus: Iterable[int]) -> int:
    """The set of these logical CPU numbers; numbers no kernel uses are left out."""
    return sum(1 << cpu for cpu in {*cpus} if 0 <= cpu < MAX_CPUS)


def members(cpus: int) -> Iterator[int]:
    """The logical CPU numbers of a set, ascending."""
    while cpus:
        lowest = cpus & -cpus
        yield lowest.bit_length() - 1
        cpus ^= lowest


def first(cpus: int) -> int:
    """The lowest CPU number of a set that is not empty."""
    return (cpus & -cpus).bit_length() - 1


def to_list(cpus: int) -> str:
    """The set as a list: ``0-3,8``."""
    parts = []
    while cpus:
        start = first(cpus)
        run = cpus >> start
        length = (~run & (run + 1)).bit_length() - 1
        parts.append(f"{start}" if length == 1 else f"{start}-{start + length - 1}")
        cpus &= ~(((1 << length) - 1) << start)
    return ",".join(parts)
