"""The CPU device of a Linux machine, running or captured: sysfs and procfs readings put together.

First the device and what is known of it; then the kinds of core of a hybrid CPU, with their names and what ranks them;
last whether this is a virtual machine, whose last-level cache may be another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sizer.base.units import counted, format_bytes
from sizer.detection import cgroups
from sizer.detection.captured_tree import Tree
from sizer.detection.cgroups import Limits
from sizer.detection.cpu_topology import Topology, read_topology
from sizer.detection.levels import Cache, CpuClass, Strength, build_levels, rank_classes, sourced
from sizer.detection.procfs import CpuInfo, Process, gpu_memory_nodes, read_cpuinfo, read_memory
from sizer.detection.sysfs_caches import CPU_FOLDER, read_caches
from sizer.method.hardware import RAM, Device, Level

# The most last-level cache that server processors have for each core, as a rule of thumb: 4 MiB of L3 (AMD EPYC), 5 MiB
# (large-cache Intel Xeon); 3 MiB of L2. More than this is a whole socket's cache, or an invention (QEMU's 4 MiB of L2).
# Parts with more exist (stacked cache); on those, inside a virtual machine, measuring is the right advice all the same.
_PLAUSIBLE_BYTES_PER_CORE = {2: 3 << 20, 3: 6 << 20}
_DMI = "/sys/class/dmi/id"
_VIRTUAL_PRODUCTS = ("virtual machine", "kvm", "virtualbox", "qemu", "hvm domu", "openstack", "google compute engine")
_VIRTUAL_VENDORS = ("qemu", "vmware", "xen", "innotek", "parallels", "openstack", "digitalocean")


def read_cpu(tree: Tree, process: Process | None = None) -> Device:
    """The CPU that the files of ``tree`` describe; without a process all its online CPUs count."""
    cpuinfo = read_cpuinfo(tree)
    topology = read_topology(tree, cpuinfo)
    process = process or Process()
    used, used_source = _used_cpus(topology, process)
    caches, warnings = read_caches(tree, topology.online)
    kinds = CoreKinds(tree, cpuinfo)
    classes = rank_classes(caches, used, kinds.kind, kinds.strength)
    concurrent = process.limits.concurrent_cpus
    units, units_source = _units(topology, used, used_source, process.limits)
    virtual = hypervisor(tree, cpuinfo)
    implausible = implausible_cache_warning(caches, topology) if virtual else None
    ram, ram_warnings = _ram(tree, process.limits)
    name = cpuinfo.name()
    return Device(
        id="cpu",
        kind="cpu",
        name=name,
        units=units,
        levels=(*build_levels(caches, used, classes, concurrent), ram),
        warnings=(*warnings, *([implausible] if implausible else []), *ram_warnings),
        sources={"name": "/proc/cpuinfo" if name else "unknown", "units": units_source},
        facts=_facts(topology, used, used_source, process, virtual, kinds.facts(classes)),
    )


def _used_cpus(topology: Topology, process: Process) -> tuple[int, str]:
    """The online CPUs that affinity and cpuset leave; a set that would leave none is not believed."""
    used, sources = topology.online, [topology.online_source]
    allowed = ((process.affinity, "CPU affinity"), (process.limits.cpus, process.limits.cpus_source))
    for cpus, source in allowed:
        if cpus is not None and used & cpus and used & cpus != used:
            used &= cpus
            sources.append(str(source))
    return used, ", limited by ".join(sources)


def _units(topology: Topology, used: int, used_source: str, limits: Limits) -> tuple[int | None, str]:
    """Physical cores in use, no more than the quota keeps busy."""
    if not used:
        return None, "unknown"
    cores, concurrent = topology.cores_touched(used), limits.concurrent_cpus
    source = f"cores from {topology.cores_source}, CPUs from {used_source}"
    if concurrent is not None and concurrent < cores:
        return concurrent, f"{source}, limited by the CPU quota of {limits.quota_source}"
    return cores, source


def _ram(tree: Tree, limits: Limits) -> tuple[Level, list[str]]:
    """Main memory as the last level, no more than the control group allows."""
    capacity, source = read_memory(tree)
    warnings = []
    if capacity is None:
        warnings.append("The size of the memory is unknown: /proc/meminfo has no readable MemTotal.")
    nodes = gpu_memory_nodes(tree)
    if nodes:
        warnings.append(f"The size of the memory counts that of GPUs too: {nodes} NUMA nodes are GPU memory.")
    limit = limits.memory_bytes
    if limit is not None and (capacity is None or limit < capacity):
        capacity, source = limit, limits.memory_source or "control group"
    return Level(RAM, capacity, 1, source=source), warnings


def _facts(
    topology: Topology,
    used: int,
    used_source: str,
    process: Process,
    virtual: tuple[str, str] | None,
    core_kinds: list[dict[str, Any]],
) -> Mapping[str, Mapping[str, Any]]:
    """What else is known of the CPU, each value with its source; what is not known is left out."""
    count = topology.online.bit_count()
    limits = process.limits
    facts: dict[str, tuple[Any, str | None]] = {
        "logical_cpus": (count or None, topology.online_source),
        "logical_cpus_in_use": (used.bit_count() or None, used_source),
        "threads_per_core": (topology.threads_per_core if count else None, topology.cores_source),
        "sockets": (topology.sockets, "physical package numbers"),
        "numa_nodes": (topology.numa_nodes, "/sys/devices/system/node (nodes with online CPUs)"),
        "core_kinds": (core_kinds or None, "caches and core types of the CPUs in use"),
        "cpu_quota_cpus": (limits.quota_cpus, limits.quota_source),
        "memory_limit_bytes": (limits.memory_bytes, limits.memory_source),
        "hypervisor": virtual or (None, None),
    }
    return sourced(facts)


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
        return [{"name": name, "cpus": cgroups.to_list(cpus)} for name, cpus in kinds.items()]


def _named_sets(tree: Tree) -> Iterator[tuple[str, int]]:
    for name in tree.names("/sys/devices"):
        if name.startswith("cpu_"):
            cpus = cgroups.parse_list(tree.text(f"/sys/devices/{name}/cpus", 1 << 16))
            if cpus:
                yield name, cpus
    types = f"{CPU_FOLDER}/types"
    for name in tree.names(types):
        cpus = cgroups.parse_list(tree.text(f"{types}/{name}/cpulist", 1 << 16))
        cpus = cpus or cgroups.parse_map(tree.text(f"{types}/{name}/cpumap", 1 << 16))
        if cpus:
            yield name, cpus


def hypervisor(tree: Tree, cpuinfo: CpuInfo) -> tuple[str, str] | None:
    """What says that this is a virtual machine, and where, None where nothing does."""
    if cpuinfo.has_flag("hypervisor"):
        return "hypervisor", "/proc/cpuinfo flags"
    kind = tree.word("/sys/hypervisor/type")
    if kind is not None:
        return kind, "/sys/hypervisor/type"
    vendor, product = (tree.word(f"{_DMI}/{name}") or "" for name in ("sys_vendor", "product_name"))
    cloud_guest = vendor == "Amazon EC2" and ".metal" not in product
    if cloud_guest or _contains(product, _VIRTUAL_PRODUCTS) or _contains(vendor, _VIRTUAL_VENDORS):
        return f"{vendor} {product}".strip(), f"{_DMI}/sys_vendor, product_name"
    return None


def implausible_cache_warning(caches: Sequence[Cache], topology: Topology) -> str | None:
    """A sentence for the user where the last-level cache is too large for the cores that a virtual machine has."""
    sized = [cache for cache in caches if cache.capacity_bytes is not None]
    if not sized:
        return None
    last = max(sized, key=lambda cache: (cache.level, cache.capacity_bytes or 0))
    plausible = _PLAUSIBLE_BYTES_PER_CORE.get(last.level)
    cores = max(1, topology.cores_touched(last.cpus))
    capacity = last.capacity_bytes or 0
    if plausible is None or capacity <= plausible * cores:
        return None
    return (
        f"This is a virtual machine, and its L{last.level} of {format_bytes(capacity)} for {counted(cores, 'core')} is "
        "implausible: a hypervisor shows the cache of the whole processor, or an invented one, and other guests use "
        "it too. Run `sizer calibrate` to measure how much of it is really there."
    )


def _contains(text: str, needles: Sequence[str]) -> bool:
    return any(needle in text.lower() for needle in needles)
