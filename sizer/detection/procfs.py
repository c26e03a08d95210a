"""What ``/proc`` tells: the CPU's name and parts, the size of the memory, and what this process may use of them."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import NamedTuple

from sizer.detection import cgroups
from sizer.detection.captured_tree import FILE_LIMIT_BYTES, Tree, natural
from sizer.detection.cgroups import Limits, read_limits

_MEM_TOTAL = re.compile(r"^(?:Node +[0-9]+ +)?MemTotal: +([0-9]{1,15}) kB", re.MULTILINE)
# The fields that name a CPU, by architecture: x86, Itanium and LoongArch; POWER; RISC-V; old ARM.
_NAME_FIELDS = ("model name", "cpu", "uarch", "cpu model")


class CpuInfo(NamedTuple):
    """The blocks of ``/proc/cpuinfo``: the fields of each processor by its number, and the fields of no processor."""

    by_cpu: dict[int, dict[str, str]]
    common: dict[str, str]

    @property
    def processors(self) -> tuple[int, ...]:
        """The logical CPUs that are listed."""
        return tuple(self.by_cpu)

    def name(self) -> str | None:
        """The CPU's name as people know it, None where nothing says it."""
        for fields in (*list(self.by_cpu.values())[:1], self.common):
            for field in _NAME_FIELDS:
                if fields.get(field):
                    return " ".join(fields[field].split())
        kinds = {kind: None for kind in map(self.arm_part, self.by_cpu) if kind}
        return " + ".join(kinds) or self._s390_name()

    def arm_part(self, cpu: int) -> str | None:
        """The name of an ARM core by its implementer and part number; the numbers themselves where they are new."""
        fields = self.by_cpu.get(cpu, {})
        implementer, part = fields.get("cpu implementer"), fields.get("cpu part")
        if implementer is None or part is None:
            return None
        return _arm_parts().get(implementer.lower(), {}).get(part.lower()) or f"ARM part {implementer}:{part}"

    def has_flag(self, flag: str) -> bool:
        """Whether the first x86 processor lists the flag."""
        return any(flag in fields.get("flags", "").split() for fields in list(self.by_cpu.values())[:1])

    def cores(self, online: int) -> tuple[int, ...]:
        """The online CPUs by the core they say they are on; empty where one of them does not say."""
        cores: dict[tuple[str, str], int] = {}
        for cpu in cgroups.members(online):
            fields = self.by_cpu.get(cpu, {})
            if "core id" not in fields:
                return ()
            key = (fields.get("physical id", ""), fields["core id"])
            cores[key] = cores.get(key, 0) | 1 << cpu
        return tuple(cores.values())

    def sockets(self) -> int | None:
        """Distinct ``physical id`` values, None where there is none."""
        return len({fields["physical id"] for fields in self.by_cpu.values() if "physical id" in fields}) or None

    def _s390_name(self) -> str | None:
        _, found, machine = " ".join(self.common.values()).partition("machine = ")
        return f"{self.common.get('vendor_id', 'IBM/S390')} machine type {machine[:4]}" if found else None


def read_cpuinfo(tree: Tree, limit: int = FILE_LIMIT_BYTES) -> CpuInfo:
    """The first ``limit`` bytes of ``/proc/cpuinfo``, field names in lower case; empty where it cannot be read."""
    by_cpu: dict[int, dict[str, str]] = {}
    common: dict[str, str] = {}
    fields = common
    for line in (tree.text("/proc/cpuinfo", limit) or "").splitlines():
        name, _, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not name:
            fields = common  # blocks are separated by blank lines
        elif name == "processor" and (cpu := natural(value)) is not None:
            fields = by_cpu.setdefault(cpu, {})
        elif name.startswith("processor ") and (cpu := natural(name[10:])) is not None:  # s390: one line a processor
            by_cpu.setdefault(cpu, {})
            common.setdefault(name, value)
        else:
            fields.setdefault(name.lower(), value)
    return CpuInfo(by_cpu, common)


def read_memory(tree: Tree) -> tuple[int | None, str]:
    """Bytes of memory and where that was read; the NUMA nodes' own totals stand in for a missing ``/proc/meminfo``."""
    match = _MEM_TOTAL.search(tree.text("/proc/meminfo") or "")
    if match:
        return int(match[1]) * 1024 or None, "/proc/meminfo MemTotal"
    folder = "/sys/devices/system/node"
    nodes = [name for name in tree.names(folder) if name.startswith("node") and natural(name[4:]) is not None]
    totals = [_MEM_TOTAL.search(tree.text(f"{folder}/{name}/meminfo") or "") for name in nodes]
    if nodes and all(totals):
        return sum(int(total[1]) * 1024 for total in totals if total) or None, f"{folder}/node*/meminfo MemTotal"
    return None, "unknown"


def gpu_memory_nodes(tree: Tree) -> int:
    """NUMA nodes that NVIDIA GPUs say are their memory (POWER9, Grace): MemTotal counts them as if they were RAM."""
    folder = "/proc/driver/nvidia/gpus"
    statuses = (tree.text(f"{folder}/{name}/numa_status") or "" for name in tree.names(folder))
    return sum(1 for status in statuses if re.search(r"^Node: +[0-9]+\s*^Status: +online", status, re.MULTILINE))


@lru_cache(maxsize=1)
def _arm_parts() -> dict[str, dict[str, str]]:
    import json
    from importlib.resources import files

    data = json.loads(files("sizer.detection").joinpath("arm_parts.json").read_text(encoding="utf-8"))
    parts: dict[str, dict[str, str]] = data["parts"]
    return parts


class Process(NamedTuple):
    """Its CPU affinity (None: not limited, or the platform has none) and its control groups' limits."""

    affinity: int | None = None
    limits: Limits = Limits()


def current_process(tree: Tree) -> Process:
    """What the calling process may use of the running machine."""
    affinity = cgroups.from_cpus(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Process(affinity, read_limits(tree))
