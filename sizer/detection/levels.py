"""Cache instances, as probes find them, to the levels of a device record. Pure: no file is read here.

CPUs that see the same caches form a *class*; classes are ranked, the most capable first, and each level lists its kinds
in the order of the best class that each serves. So the first kinds of all levels together are the hierarchy that one
real CPU sees, never the L1 of one core beside the L2 of another.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sizer.detection import cgroups
from sizer.method.hardware import Level


# Named tuples, here and in the other readings: a frozen dataclass takes six times as long to define, and every start
# of the command line pays for each.
class Cache(NamedTuple):
    """One data or unified cache: its level, the online CPUs that share it (None: not told), and what it holds."""

    level: int
    cpus: int
    capacity_bytes: int | None
    line_bytes: int | None
    source: str
    sharing_known: bool = True

    @property
    def shared_by(self) -> int | None:
        """The number of online CPUs that share it."""
        return self.cpus.bit_count() if self.sharing_known else None


def sourced(values: Mapping[str, tuple[Any, str | None]]) -> dict[str, dict[str, Any]]:
    """Facts of a device: each value with its source; what is not known (None) is left out."""
    return {name: {"value": value, "source": source} for name, (value, source) in values.items() if value is not None}


class Strength(NamedTuple):
    """What ranks CPUs whose caches are alike, each None where the system does not say."""

    capacity: int | None = None
    max_frequency_khz: int | None = None


class CpuClass(NamedTuple):
    """CPUs that see the same caches and are of the same kind of core."""

    cpus: int
    caches: tuple[tuple[int, int | None, int | None], ...]
    kind: str | None = None
    strength: Strength = Strength()

    def rank_key(self) -> tuple[int, ...]:
        """Sorts the most capable class first: bigger caches, then capacity, frequency, number of CPUs, lowest CPU.

        The first cache is compared before the sum of all, since a large cache shared by many small cores (the L2 of
        an efficiency cluster) can exceed the private one of a large core.
        """
        capacities = [capacity or 0 for _, capacity, _ in self.caches]
        return (
            -sum(capacities[:1]),
            -sum(capacities),
            -(self.strength.capacity or 0),
            -(self.strength.max_frequency_khz or 0),
            -self.cpus.bit_count(),
            cgroups.first(self.cpus),
        )


def rank_classes(
    caches: Sequence[Cache], cpus: int, kind_of: Callable[[int], str | None], strength_of: Callable[[int], Strength]
) -> tuple[CpuClass, ...]:
    """The classes that these CPUs form, the most capable first.

    ``kind_of`` and ``strength_of`` are asked of single CPUs, the latter only where there is something to rank.
    """
    seen: dict[int, list[tuple[int, int | None, int | None]]] = {cpu: [] for cpu in cgroups.members(cpus)}
    for cache in sorted(caches, key=lambda cache: (cache.level, -(cache.capacity_bytes or 0))):
        for cpu in cgroups.members(cache.cpus & cpus):
            seen[cpu].append((cache.level, cache.capacity_bytes, cache.shared_by))
    members: dict[tuple[str | None, tuple[tuple[int, int | None, int | None], ...]], list[int]] = {}
    for cpu, own in seen.items():
        members.setdefault((kind_of(cpu), tuple(own)), []).append(cpu)
    classes = []
    for (kind, own_caches), group in members.items():
        strength = strength_of(group[0]) if len(members) > 1 else Strength()
        classes.append(CpuClass(cgroups.from_cpus(group), own_caches, kind, strength))
    return tuple(sorted(classes, key=CpuClass.rank_key))


def build_levels(
    caches: Sequence[Cache], used: int, classes: Sequence[CpuClass], concurrent: int | None = None
) -> tuple[Level, ...]:
    """The cache levels, nearest first, each level's kinds in the order of `classes`.

    ``used`` are the CPUs this process may use: instances that none of them touches are left out. ``concurrent`` is the
    number of CPUs it may keep busy at once (a quota): no more instances than that are in use at a time.
    """
    kinds: dict[int, dict[tuple[int | None, int | None], list[Cache]]] = {}
    for cache in caches:
        if cache.cpus & used:
            kind = (cache.capacity_bytes, cache.shared_by)
            kinds.setdefault(cache.level, {}).setdefault(kind, []).append(cache)
    levels: list[Level] = []
    for number in sorted(kinds):
        groups = sorted(kinds[number].values(), key=lambda group: _position(group, classes))
        names = _kind_names(groups, classes) if len(groups) > 1 else (None,)
        levels += [_level(number, group, name, concurrent) for group, name in zip(groups, names, strict=True)]
    return tuple(levels)


def _level(number: int, group: Sequence[Cache], core_kind: str | None, concurrent: int | None) -> Level:
    first = group[0]
    limited = concurrent is not None and concurrent < len(group)
    known = first.sharing_known
    return Level(
        name=f"L{number}",
        capacity_bytes=first.capacity_bytes,
        instances=(concurrent if limited else len(group)) if known else None,
        cpus_per_instance=first.shared_by,
        line_bytes=next((cache.line_bytes for cache in group if cache.line_bytes), None),
        source=first.source + ("; instances limited by the CPU quota" if limited and known else ""),
        core_kind=core_kind,
    )


def _position(group: Sequence[Cache], classes: Sequence[CpuClass]) -> tuple[int, int]:
    """Where a kind of cache stands: by the best class it serves; of two that serve the same, the larger first."""
    cpus = _union(group)
    best = next((index for index, one in enumerate(classes) if one.cpus & cpus), len(classes))
    return best, -(group[0].capacity_bytes or 0)


def _kind_names(groups: Sequence[Sequence[Cache]], classes: Sequence[CpuClass]) -> tuple[str, ...]:
    """A name for each kind: the cores that it serves, or, where that does not tell them apart, its CPUs."""
    served = ([one.kind for one in classes if one.kind and one.cpus & _union(group)] for group in groups)
    names = [" + ".join(dict.fromkeys(kinds)) for kinds in served]
    counts = Counter(names)
    return tuple(
        name if name and counts[name] == 1 else f"{name} CPUs {cgroups.to_list(_union(group))}".strip()
        for name, group in zip(names, groups, strict=True)
    )


def _union(caches: Iterable[Cache]) -> int:
    return functools.reduce(operator.or_, (cache.cpus for cache in caches), 0)
