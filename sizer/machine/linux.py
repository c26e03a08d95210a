"""The CPU device of a Linux machine, running or captured: sysfs and procfs readings put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sizer.hardware import RAM, Device, Level
from sizer.machine.cgroup import Limits
from sizer.machine.core_kinds import CoreKinds
from sizer.machine.hierarchy import build_levels, rank_classes
from sizer.machine.process import Process
from sizer.machine.procfs import gpu_memory_nodes, read_cpuinfo, read_memory
from sizer.machine.sysfs_caches import read_caches
from sizer.machine.topology import Topology, read_topology
from sizer.machine.tree import Tree
from sizer.machine.virtualization import hypervisor, implausible_cache_warning


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
    count = bin(topology.online).count("1")
    in_use = bin(used).count("1")
    limits = process.limits
    facts: dict[str, tuple[Any, str | None]] = {
        "logical_cpus": (count or None, topology.online_source),
        "logical_cpus_in_use": (in_use or None, used_source),
        "threads_per_core": (topology.threads_per_core if count else None, topology.cores_source),
        "sockets": (topology.sockets, "physical package numbers"),
        "numa_nodes": (topology.numa_nodes, "/sys/devices/system/node (nodes with online CPUs)"),
        "core_kinds": (core_kinds or None, "caches and core types of the CPUs in use"),
        "cpu_quota_cpus": (limits.quota_cpus, limits.quota_source),
        "memory_limit_bytes": (limits.memory_bytes, limits.memory_source),
        "hypervisor": virtual or (None, None),
    }
    return {name: {"value": value, "source": source} for name, (value, source) in facts.items() if value is not None}
