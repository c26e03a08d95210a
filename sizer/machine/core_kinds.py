"""What kind of core each CPU is: performance or efficiency, Cortex-X3 or Cortex-A510."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sizer.machine import cpusets
from sizer.machine.hierarchy import CpuClass, Strength
from sizer.machine.procfs import CpuInfo
from sizer.machine.sysfs_caches import CPU_FOLDER
from sizer.machine.tree import Tree


class CoreKinds:
    """The kinds that the system names, and what ranks them.

    Names come from the hybrid PMUs (``/sys/devices/cpu_core``, ``cpu_atom``: Intel), from ``cpu/types`` (an earlier
    form of the same), or from the ARM part numbers in ``/proc/cpuinfo``. CPUs that none of them names have no kind.
    """

    def __init__(self, tree: Tree, cpuinfo: CpuInfo) -> None:
        self._tree = tree
        self._cpuinfo = cpuinfo
        self._named = tuple(_named_sets(tree))

    def kind(self, cpu: int) -> str | None:
        """The name of one CPU's kind."""
        return next((name for name, cpus in self._named if cpus >> cpu & 1), None) or self._cpuinfo.arm_part(cpu)

    def strength(self, cpu: int) -> Strength:
        """One CPU's relative capacity (ARM: 1024 is the largest core's) and its highest frequency in kHz."""
        folder = f"{CPU_FOLDER}/cpu{cpu}"
        capacity = self._tree.integer(f"{folder}/cpu_capacity")
        return Strength(capacity, self._tree.integer(f"{folder}/cpufreq/cpuinfo_max_freq"))

    def facts(self, classes: Sequence[CpuClass]) -> list[dict[str, Any]]:
        """The kinds in use in the order of their rank, with their CPUs; empty where there is only one."""
        kinds: dict[str, int] = {}
        for one in classes:
            if one.kind is not None:
                kinds[one.kind] = kinds.get(one.kind, 0) | one.cpus
        if len(kinds) < 2:
            return []
        return [{"name": name, "cpus": cpusets.to_list(cpus)} for name, cpus in kinds.items()]


def _named_sets(tree: Tree) -> Iterator[tuple[str, int]]:
    for name in tree.names("/sys/devices"):
        if name.startswith("cpu_"):
            cpus = cpusets.parse_list(tree.text(f"/sys/devices/{name}/cpus", 1 << 16))
            if cpus:
                yield name, cpus
    types = f"{CPU_FOLDER}/types"
    for name in tree.names(types):
        cpus = cpusets.parse_list(tree.text(f"{types}/{name}/cpulist", 1 << 16))
        cpus = cpus or cpusets.parse_map(tree.text(f"{types}/{name}/cpumap", 1 << 16))
        if cpus:
            yield name, cpus
