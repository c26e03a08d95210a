"""From working sets to the memory level each lives on, as the study's analysis code places them (`docs/method.md`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sizer.base.errors import UnreachableError
from sizer.method.hardware import RAM, Device
from sizer.method.working_sets import IntArray, WorkingSet, WorkingSets

FloatArray = npt.NDArray[np.float64]
LevelArray = npt.NDArray[np.int8]

#: Level index of a set that fits on no level.
NOWHERE = -1


@dataclass(frozen=True)
class Hierarchy:
    """Memory levels, nearest first: bytes of one instance of each, and how many instances there are."""

    names: tuple[str, ...]
    capacities: tuple[int, ...]
    instances: tuple[int, ...]

    @classmethod
    def of(cls, device: Device, anchored: bool = False) -> Hierarchy:
        """The hierarchy of a device's sizing levels (`Device.sizing_levels`); unknown instance counts count as 1.

        Raises UnreachableError when no level has a known capacity or, where sizes are to be ``anchored``, no cache.
        """
        levels = device.sizing_levels()
        if anchored and not device.caches():
            raise UnreachableError(
                f"no cache of {device.id!r} has a known capacity, so no size can be anchored to one; "
                f"name a machine with --device PROFILE (`sizer profiles list` shows them)"
            )
        if not levels:
            raise UnreachableError(
                f"no memory level of {device.id!r} has a known capacity; name a machine with --device PROFILE"
            )
        return cls(
            tuple(level.name for level in levels),
            tuple(int(level.sizing_bytes or 0) for level in levels),
            tuple(int(level.instances or 1) for level in levels),
        )

    def caches(self) -> list[tuple[int, str]]:
        """Index and name of every level but RAM, nearest first."""
        return [(index, name) for index, name in enumerate(self.names) if name != RAM]

    def name(self, index: int) -> str | None:
        """A level's name, or None for `NOWHERE`."""
        return None if index == NOWHERE else self.names[index]


class Placement(NamedTuple):
    """Where sets live: level index or `NOWHERE`, bytes cached there, bytes occupied up to and with the set."""

    level: LevelArray
    cached: FloatArray
    occupied: FloatArray


class Placements(NamedTuple):
    """Where every working set of N networks lives.

    ``t_level`` has shape (layers, N), a level index for each t_l alone; ``d`` is None without a data set.
    """

    t_level: LevelArray
    t_max: Placement
    f: Placement
    b: Placement
    o: Placement
    d: Placement | None


def place(occupied: FloatArray | IntArray, working_set: WorkingSet, hierarchy: Hierarchy) -> Placement:
    """Place sets above what is already occupied; capacities add up along the levels.

    A set lives on the first level where what is occupied and the set's cached size (replicated + distributed /
    instances) fit into the capacity summed so far. A level passed over counts as full. Arrays broadcast elementwise.
    """
    replicated, distributed = working_set
    before, instances = _tables(hierarchy)
    reach = before[1:]
    level = np.full(distributed.shape, NOWHERE, dtype=np.int8)
    for index in reversed(range(len(reach))):
        start = np.maximum(occupied, before[index])
        cached = replicated + distributed / hierarchy.instances[index]
        fits = (start < reach[index]) & (start + cached <= reach[index])
        level = np.where(fits, np.int8(index), level)
    # NOWHERE is the last entry of both tables: a single instance, above everything.
    cached = replicated + distributed / instances[level]
    return Placement(level, cached, np.maximum(occupied, before[level]) + cached)


@lru_cache(maxsize=64)
def _tables(hierarchy: Hierarchy) -> tuple[FloatArray, IntArray]:
    """Capacity summed up before each level, with the whole at the end; instances of each, and 1 for `NOWHERE`."""
    before = np.concatenate([[0.0], np.cumsum(hierarchy.capacities, dtype=np.float64)])
    return before, np.array([*hierarchy.instances, 1])


def place_alone(distributed: IntArray, hierarchy: Hierarchy) -> LevelArray:
    """Levels of distributed sets that each start from nothing: `place` of (0, 0, distributed), a few times faster.

    With nothing else in the way the levels before a set's own are full, so it fits level i if and only if
    distributed / instances_i <= capacity_i, and lives on the first level for which that holds.
    """
    limits = [
        instances * capacity for capacity, instances in zip(hierarchy.capacities, hierarchy.instances, strict=True)
    ]
    reachable = np.maximum.accumulate(np.array(limits, dtype=np.float64))
    level = np.zeros(distributed.shape, dtype=np.int8)
    for limit in reachable:
        level += distributed > limit
    level[level == len(reachable)] = NOWHERE
    return level


def place_all(sets: WorkingSets, hierarchy: Hierarchy) -> Placements:
    """Place every working set of N networks.

    Each t_l starts from nothing; f and b each start from the largest occupied size over the layers; d starts from b's
    occupied size; o starts from nothing. Occupied sizes are cut to whole bytes before the next set is placed on them,
    as the study's code does.
    """
    nothing = np.zeros(1)
    t_max = place(nothing, sets.t_max, hierarchy)
    below = np.floor(t_max.occupied)
    b = place(below, sets.b, hierarchy)
    return Placements(
        t_level=place_alone(sets.t.distributed, hierarchy),
        t_max=t_max,
        f=place(below, sets.f, hierarchy),
        b=b,
        o=place(nothing, sets.o, hierarchy),
        d=None if sets.d is None else place(np.floor(b.occupied), sets.d, hierarchy),
    )


def fill(working_set: WorkingSet, hierarchy: Hierarchy, index: int) -> FloatArray:
    """How often a set fills a level: its cached size there over the capacity of one instance."""
    cached = working_set.replicated + working_set.distributed / hierarchy.instances[index]
    return np.asarray(cached / hierarchy.capacities[index])
