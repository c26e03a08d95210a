"""Synthetic Linux machines: a few files beneath a folder, in the form in which the kernel gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CPU = "sys/devices/system/cpu"


def write(root: Path, path: str, text: str) -> None:
    """One file beneath the root, its folders made."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")


def as_map(cpus: Iterable[int], words: int = 2) -> str:
    """CPUs as the kernel's hexadecimal map: words of 32 bits with commas."""
    digits = f"{sum(1 << cpu for cpu in cpus):0{8 * words}x}"
    return ",".join(digits[start : start + 8] for start in range(0, len(digits), 8))


def as_list(cpus: Iterable[int]) -> str:
    """CPUs as a plain list."""
    return ",".join(map(str, cpus))


@dataclass(frozen=True)
class Shared:
    """A cache level of a synthetic machine: its instances, each a list of the CPUs that share it."""

    level: int
    kind: str
    size: str | None
    groups: Sequence[Sequence[int]]
    line: int | None = 64


def private(cpus: Iterable[int]) -> list[list[int]]:
    """Groups of one CPU each."""
    return [[cpu] for cpu in cpus]


def runs(cpus: Sequence[int], length: int) -> list[list[int]]:
    """Groups of ``length`` neighbours."""
    return [list(cpus[start : start + length]) for start in range(0, len(cpus), length)]


def build(
    root: Path,
    cpus: Sequence[int],
    caches: Sequence[Shared] = (),
    cores: Sequence[Sequence[int]] | None = None,
    online: str | None = "",
    sharing: Sequence[str] = ("map", "list"),
    model: str | None = "Test CPU",
    memory_kib: int | None = 16 << 20,
    flags: str = "fpu sse2",
) -> Path:
    """A machine with these CPUs; ``online`` empty means all of them, None that the file is missing."""
    if online is not None:
        write(root, f"{CPU}/online", online or as_list(cpus))
    for cpu in cpus:
        write(root, f"{CPU}/cpu{cpu}/topology/physical_package_id", "0")
    for number, core in enumerate(cores if cores is not None else private(cpus)):
        for cpu in core:
            write(root, f"{CPU}/cpu{cpu}/topology/core_id", str(number))
            write(root, f"{CPU}/cpu{cpu}/topology/thread_siblings", as_map(core))
    for cpu in cpus:
        own = [(cache, group) for cache in caches for group in cache.groups if cpu in group]
        for index, (cache, group) in enumerate(own):
            cache_index(root, cpu, index, cache, group, sharing)
    if model is not None:
        blocks = (f"processor\t: {cpu}\nmodel name\t: {model}\nflags\t\t: {flags}\n" for cpu in cpus)
        write(root, "proc/cpuinfo", "\n".join(blocks))
    if memory_kib is not None:
        write(root, "proc/meminfo", f"MemTotal:       {memory_kib} kB\nMemFree:  1 kB")
    return root


def cache_index(
    root: Path, cpu: int, index: int, cache: Shared, group: Sequence[int], sharing: Sequence[str] = ("map", "list")
) -> None:
    """The files of one ``cache/indexN`` folder."""
    folder = f"{CPU}/cpu{cpu}/cache/index{index}"
    write(root, f"{folder}/level", str(cache.level))
    write(root, f"{folder}/type", cache.kind)
    if cache.size is not None:
        write(root, f"{folder}/size", cache.size)
    if cache.line is not None:
        write(root, f"{folder}/coherency_line_size", str(cache.line))
    if "map" in sharing:
        write(root, f"{folder}/shared_cpu_map", as_map(group))
    if "list" in sharing:
        write(root, f"{folder}/shared_cpu_list", as_list(group))


def server(root: Path, cores: int = 4, threads: int = 2, **options: object) -> Path:
    """A server CPU: SMT, private L1 and L2, one L3 for all."""
    cpus = list(range(cores * threads))
    pairs = [cpus[core::cores] for core in range(cores)]
    caches = [
        Shared(1, "Data", "48K", pairs),
        Shared(1, "Instruction", "32K", pairs),
        Shared(2, "Unified", "2048K", pairs),
        Shared(3, "Unified", "16M", [cpus]),
    ]
    return build(root, cpus, caches, cores=pairs, **options)  # type: ignore[arg-type]


def hybrid(root: Path) -> Path:
    """Two performance cores with two threads each, four efficiency cores that share an L2, and one L3 for all."""
    pairs, small = [[0, 1], [2, 3]], [4, 5, 6, 7]
    caches = [
        Shared(1, "Data", "48K", pairs),
        Shared(1, "Data", "32K", private(small)),
        Shared(2, "Unified", "1280K", pairs),
        Shared(2, "Unified", "2048K", [small]),
        Shared(3, "Unified", "12M", [list(range(8))]),
    ]
    build(root, list(range(8)), caches, cores=[*pairs, *private(small)])
    write(root, "sys/devices/cpu_core/cpus", "0-3")
    write(root, "sys/devices/cpu_atom/cpus", "4-7")
    return root
