"""The CPU of a Mac, from ``sysctl``: ``hw.perflevelN.*`` (0 is the fastest kind) and, on Intel, ``hw.*``.

macOS gives sizes and how many CPUs share a cache, but no sharing maps: CPUs are numbered here in the order of the
kinds, which is enough to count instances. It has no CPU affinity, and shows no size of Apple's system-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sizer.detection.levels import Cache, Strength, build_levels, rank_classes, sourced
from sizer.method.hardware import RAM, Device, Level

_COMMAND = ("/usr/sbin/sysctl", "hw", "machdep.cpu")
_TIMEOUT_S = 10


@dataclass(frozen=True)
class _Kind:
    """One performance level: its values by short name, its physical cores and their CPUs."""

    prefix: str
    name: str | None
    values: Mapping[str, int]
    first_cpu: int
    cores: int
    cpus: int


def read_macos_cpu() -> Device:
    """The running Mac's CPU."""
    return parse_sysctl(_sysctl())


def parse_sysctl(text: str) -> Device:
    """The CPU device that ``sysctl hw machdep.cpu`` describes; what it does not say is None, with a warning."""
    values = dict(_lines(text))
    kinds = tuple(_kinds(values))
    caches = [cache for kind in kinds for cache in _caches(kind, _integer(values.get("hw.cachelinesize")))]
    used = sum(((1 << kind.cpus) - 1) << kind.first_cpu for kind in kinds)
    by_cpu = {kind.first_cpu + cpu: rank for rank, kind in enumerate(kinds) for cpu in range(kind.cpus)}
    classes = rank_classes(
        caches, used, lambda cpu: kinds[by_cpu[cpu]].name, lambda cpu: Strength(capacity=len(kinds) - by_cpu[cpu])
    )
    memory = _integer(values.get("hw.memsize"))
    warnings = [] if caches else ["sysctl describes no caches here; run `sizer calibrate` to measure them."]
    if memory is None:
        warnings.append("The size of the memory is unknown: sysctl has no hw.memsize.")
    cores = sum(kind.cores for kind in kinds)
    return Device(
        id="cpu",
        kind="cpu",
        name=values.get("machdep.cpu.brand_string"),
        units=cores or None,
        levels=(*build_levels(caches, used, classes), Level(RAM, memory, 1, source="sysctl hw.memsize")),
        warnings=tuple(warnings),
        sources={"name": "sysctl machdep.cpu.brand_string", "units": "sysctl hw.*physicalcpu"},
        facts=_facts(kinds, cores, values),
    )


def _facts(kinds: tuple[_Kind, ...], cores: int, values: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    cpus = sum(kind.cpus for kind in kinds)
    counted = (cpus or None, "sysctl hw.*logicalcpu")
    threads = max(1, cpus // max(1, cores)) if cpus else None
    return sourced(
        {
            "logical_cpus": counted,
            "logical_cpus_in_use": counted,
            "threads_per_core": (threads, "sysctl hw.*logicalcpu, hw.*physicalcpu"),
            "sockets": (_integer(values.get("hw.packages")), "sysctl hw.packages"),
        }
    )


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            yield name.strip(), value.strip()


def _integer(text: str | None) -> int | None:
    """A positive number, None for anything else: macOS writes 0 for caches that it does not have."""
    return int(text) or None if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _kinds(values: Mapping[str, str]) -> Iterator[_Kind]:
    """One kind for each performance level; an older macOS has none, and its ``hw.*`` describe the only kind."""
    count = _integer(values.get("hw.nperflevels")) or 0
    prefixes = [f"hw.perflevel{index}." for index in range(count)] or ["hw."]
    first = 0
    for prefix in prefixes:
        numbers = _numbers(values, prefix)
        if len(prefixes) == 1:
            numbers = {**_whole_machine(values), **numbers}
        cores = numbers.get("physicalcpu", 0)
        cpus = max(cores, numbers.get("logicalcpu", 0))
        yield _Kind(prefix, values.get(f"{prefix}name"), numbers, first, cores or cpus, cpus)
        first += cpus


def _numbers(values: Mapping[str, str], prefix: str) -> dict[str, int]:
    """The numbers among the values whose names begin so, by the rest of their names."""
    own = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    return {name: number for name, value in own.items() if (number := _integer(value)) is not None}


def _whole_machine(values: Mapping[str, str]) -> dict[str, int]:
    """Values of ``hw.*``, which describe every core where there is one kind; ``hw.cacheconfig`` counts the sharers."""
    numbers = _numbers(values, "hw.")
    sharers = values.get("hw.cacheconfig", "").split()
    for level in (1, 2, 3):
        if len(sharers) > level and (count := _integer(sharers[level])):
            numbers[f"cpusperl{level}"] = count
    return numbers


def _caches(kind: _Kind, line_bytes: int | None) -> Iterator[Cache]:
    threads = max(1, kind.cpus // max(1, kind.cores))
    names = (("l1dcachesize", threads), ("l2cachesize", None), ("l3cachesize", None))
    for level, (name, sharers) in enumerate(names, start=1):
        size = kind.values.get(name)
        if size is None:
            continue
        count = kind.values.get(f"cpusperl{level}") or sharers
        step = count or 1
        for start in range(0, kind.cpus, step):
            cpus = ((1 << min(step, kind.cpus - start)) - 1) << (kind.first_cpu + start)
            yield Cache(level, cpus, size, line_bytes, f"sysctl {kind.prefix}{name}", sharing_known=count is not None)


def _sysctl() -> str:
    import subprocess

    try:
        result = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 (a constant)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout
