"""Which CPUs are online and how they form cores, sockets and NUMA nodes, from Linux sysfs and ``/proc/cpuinfo``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sizer.detection import cgroups
from sizer.detection.captured_tree import Tree, natural
from sizer.detection.procfs import CpuInfo
from sizer.detection.sysfs_caches import CPU_FOLDER

NODE_FOLDER = "/sys/devices/system/node"
_SIBLINGS: tuple[tuple[str, Callable[[str | None], int | None]], ...] = (
    ("core_cpus", cgroups.parse_map),
    ("thread_siblings", cgroups.parse_map),
    ("core_cpus_list", cgroups.parse_list),
    ("thread_siblings_list", cgroups.parse_list),
)


class Topology(NamedTuple):
    """The online CPUs, the cores they form (a set of CPUs each), and the number of sockets and NUMA nodes."""

    online: int
    online_source: str
    cores: tuple[int, ...]
    cores_source: str
    sockets: int | None
    numa_nodes: int | None

    def cores_touched(self, cpus: int) -> int:
        """Physical cores that have at least one of these CPUs: SMT siblings count once."""
        return sum(1 for core in self.cores if core & cpus)

    @property
    def threads_per_core(self) -> int:
        """CPUs of the core that has the most of them online."""
        return max((core.bit_count() for core in self.cores), default=1)


def read_topology(tree: Tree, cpuinfo: CpuInfo) -> Topology:
    """Everything that is known of the machine's CPUs; ``online`` is empty where nothing tells it."""
    online, online_source = _online(tree, cpuinfo)
    cores, cores_source = _cores(tree, online, cpuinfo)
    return Topology(
        online=online,
        online_source=online_source,
        cores=cores,
        cores_source=cores_source,
        sockets=_sockets(tree, cores, cpuinfo),
        numa_nodes=_numa_nodes(tree, online),
    )


def _online(tree: Tree, cpuinfo: CpuInfo) -> tuple[int, str]:
    """The online list; where it is missing, the CPU folders that do not say that they are off; else /proc/cpuinfo."""
    names = (natural(name[3:]) for name in tree.names(CPU_FOLDER) if name.startswith("cpu"))
    folders = cgroups.from_cpus(cpu for cpu in names if cpu is not None)
    listed = cgroups.parse_list(tree.text(f"{CPU_FOLDER}/online", 1 << 16))
    if listed:
        return listed & folders or listed, f"{CPU_FOLDER}/online"
    on = (cpu for cpu in cgroups.members(folders) if tree.word(f"{CPU_FOLDER}/cpu{cpu}/online") != "0")
    if folders:
        return cgroups.from_cpus(on), f"{CPU_FOLDER}/cpu*"
    return cgroups.from_cpus(cpuinfo.processors), "/proc/cpuinfo"


def _cores(tree: Tree, online: int, cpuinfo: CpuInfo) -> tuple[tuple[int, ...], str]:
    cores: list[int] = []
    covered, described = 0, False
    for cpu in cgroups.members(online):
        if covered >> cpu & 1:
            continue  # its core was found through a sibling, which halves the reads
        siblings = _siblings(tree, cpu)
        described |= siblings is not None
        core = ((siblings or 0) & online & ~covered) | (1 << cpu)
        cores.append(core)
        covered |= core
    if described:
        return tuple(cores), f"{CPU_FOLDER}/cpu*/topology"
    by_id = cpuinfo.cores(online)
    if by_id:
        return by_id, "/proc/cpuinfo core id"
    return tuple(cores), "logical CPUs (nothing says which of them share a core)"


def _siblings(tree: Tree, cpu: int) -> int | None:
    for name, parse in _SIBLINGS:
        siblings = parse(tree.text(f"{CPU_FOLDER}/cpu{cpu}/topology/{name}", 1 << 16))
        if siblings:
            return siblings
    return None


def _sockets(tree: Tree, cores: tuple[int, ...], cpuinfo: CpuInfo) -> int | None:
    """Distinct package numbers; -1 is how the kernel says that it does not know one."""
    packages = set()
    for core in cores:
        package = tree.integer(f"{CPU_FOLDER}/cpu{cgroups.first(core)}/topology/physical_package_id")
        if package is not None and package >= 0:
            packages.add(package)
    return len(packages) or cpuinfo.sockets()


def _numa_nodes(tree: Tree, online: int) -> int | None:
    """Nodes that hold online CPUs; memory-only nodes (a GPU's, slow memory) are no place to run."""
    count = 0
    for name in tree.names(NODE_FOLDER):
        if name.startswith("node") and natural(name[4:]) is not None:
            cpus = cgroups.parse_map(tree.text(f"{NODE_FOLDER}/{name}/cpumap", 1 << 16))
            if cpus is None:
                cpus = cgroups.parse_list(tree.text(f"{NODE_FOLDER}/{name}/cpulist", 1 << 16))
            count += bool((cpus or 0) & online)
    return count or None
