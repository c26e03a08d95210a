"""Caches from py-cpuinfo, for machines whose own interfaces describe none.

py-cpuinfo sums L1 and L2 over the cores (it reads ``lscpu``), reports line sizes that are not (2048 on a virtual
machine with lines of 64), and takes a second. So its sums are divided back to one instance, its line sizes are left
out, and everything that comes from it is said to be an estimate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sizer.base.units import counted
from sizer.method.hardware import RAM, Device, Level

# What no core of a machine that runs PyTorch is below; a quotient that is was no sum to begin with (old lscpu).
_SMALLEST_BYTES = {1: 8 << 10, 2: 128 << 10, 3: 1 << 20}


def add_caches(cpu: Device, query: Callable[[], Mapping[str, Any]] | None = None) -> Device:
    """The device with the caches that py-cpuinfo names in front of its RAM, and a warning that says what they are."""
    try:
        info = (query or _query)()
    except Exception as error:  # py-cpuinfo raises bare Exception on architectures that it does not know
        return cpu.with_warning(f"py-cpuinfo could not tell the caches either: {error}.")
    cpus, threads, sockets = (_fact(cpu, name) for name in ("logical_cpus", "threads_per_core", "sockets"))
    levels = cache_levels(info, cpus, threads, sockets, cpu.units)
    named = replace(cpu, name=cpu.name or info.get("brand_raw"), levels=(*levels, *cpu.levels))
    if not levels:
        return named.with_warning("py-cpuinfo names no caches either.")
    return named.with_warning(
        "The caches are estimates: py-cpuinfo gives sums over cores, which were divided by their number. "
        "Run `sizer calibrate` to measure them."
    )


def cache_levels(
    info: Mapping[str, Any], cpus: int | None, threads: int | None, sockets: int | None, units: int | None
) -> tuple[Level, ...]:
    """L1 to L3 of one instance each. Counts that are None are not known, and then nothing is divided by them."""
    threads = threads or 1
    cores = cpus // threads if cpus else None
    l1 = _bytes(info.get("l1_data_cache_size"))
    l2, l3 = _bytes(info.get("l2_cache_size")), _bytes(info.get("l3_cache_size"))
    if l3 == l2:
        l3 = None  # "cache size" of /proc/cpuinfo is that of the last level, whichever it is
    levels = []
    # Only lscpu gives an L1, and only it sums: without one, L2 is what the cpuid instruction says of one instance.
    divisors = {1: cores, 2: cores if l1 else None, 3: None}
    instances = {1: units, 2: units, 3: sockets}
    sharers = {1: threads, 2: threads, 3: cpus // sockets if cpus and sockets else None}
    for number, total in ((1, l1), (2, l2), (3, l3)):
        if total is not None:
            size, source = _one_instance(total, divisors[number], _SMALLEST_BYTES[number])
            levels.append(Level(f"L{number}", size, instances[number], sharers[number], source=source))
    return tuple(levels)


def _one_instance(total: int, parts: int | None, smallest: int) -> tuple[int, str]:
    if parts is None or parts == 1 or total % parts or total // parts < smallest:
        return total, "py-cpuinfo (estimated)"
    return total // parts, f"py-cpuinfo (estimated: its sum divided by {counted(parts, 'core')})"


def _bytes(value: Any) -> int | None:
    """py-cpuinfo gives bytes as a number, or as text with a unit."""
    if isinstance(value, int):
        return value if value > 0 else None
    from sizer.detection.sysfs_caches import parse_size

    return parse_size(value.strip()) if isinstance(value, str) else None


def _fact(cpu: Device, name: str) -> int | None:
    value = cpu.facts.get(name, {}).get("value")
    return value if isinstance(value, int) else None


def _query() -> Mapping[str, Any]:
    import cpuinfo

    info: Mapping[str, Any] = cpuinfo.get_cpu_info()
    return info


def read_other_cpu() -> Device:
    """Logical CPUs and memory; no caches."""
    count = os.cpu_count()
    facts = {"logical_cpus": {"value": count, "source": "os.cpu_count"}} if count else {}
    return Device(
        id="cpu",
        kind="cpu",
        name=None,
        units=count,
        levels=(Level(RAM, _memory_bytes(), 1, source="sysconf SC_PHYS_PAGES"),),
        warnings=("sizer has no probe for this platform: logical CPUs are counted as cores.",),
        sources={"name": "unknown", "units": "os.cpu_count (logical CPUs)"},
        facts=facts,
    )


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
