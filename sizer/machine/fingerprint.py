"""What the running machine is, cheaply: a second detection that finds the same fingerprint reads its record from disk.

Only what can change a record counts: the CPU, who is online and allowed, the limits of the control group, the memory,
the NVIDIA driver and what it shows. It costs a dozen small files and no import beyond what is loaded anyway.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping

from sizer._version import __version__
from sizer.machine.process import current_process
from sizer.machine.procfs import read_cpuinfo
from sizer.machine.tree import Tree

# The first processor's block; a full read of /proc/cpuinfo takes milliseconds on a large machine.
_CPUINFO_LIMIT_BYTES = 4096
_CPU_FIELDS = ("model name", "vendor_id", "cpu family", "model", "stepping", "cpu", "cpu implementer", "cpu part")
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "PROCESSOR_IDENTIFIER")
_GPU_FOLDERS = ("/proc/driver/nvidia/gpus", "/proc/driver/nvidia/capabilities")
_GPU_DEVICE_PREFIXES = ("nvidia", "nvhost-gpu", "dxg")
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def fingerprint(tree: Tree, environment: Mapping[str, str]) -> str:
    """16 hexadecimal digits that differ between machines, and between the shares of one that processes are given."""
    return _fnv1a("\n".join(f"{name}={value}" for name, value in _facts(tree, environment)))


def _facts(tree: Tree, environment: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    yield "sizer", __version__
    yield "platform", sys.platform
    yield "cpus", os.cpu_count()
    for name in _ENVIRONMENT:
        yield name, environment.get(name)
    if hasattr(os, "uname"):
        yield "kernel", (os.uname().machine, os.uname().release)
    if sys.platform == "linux":
        yield from _linux_facts(tree)


def _linux_facts(tree: Tree) -> Iterator[tuple[str, object]]:
    cpuinfo = read_cpuinfo(tree, _CPUINFO_LIMIT_BYTES)
    first = next(iter(cpuinfo.by_cpu.values()), {})
    yield "cpu", [(name, first.get(name)) for name in _CPU_FIELDS]
    yield "hypervisor", cpuinfo.has_flag("hypervisor")
    yield "online", tree.word("/sys/devices/system/cpu/online")
    yield "process", current_process(tree)
    yield "memory", (tree.text("/proc/meminfo", 64) or "").partition("\n")[0]
    yield "driver", tree.word("/proc/driver/nvidia/version")
    yield "gpus", [tree.names(folder) for folder in _GPU_FOLDERS]
    yield "mig", [tree.names(f"{_GPU_FOLDERS[1]}/{gpu}/mig") for gpu in tree.names(_GPU_FOLDERS[1])]
    yield "gpu devices", [name for name in tree.names("/dev") if name.startswith(_GPU_DEVICE_PREFIXES)]


def _fnv1a(text: str) -> str:
    """The 64-bit FNV-1a hash: importing hashlib would cost more than the whole detection."""
    value = _FNV_OFFSET
    for byte in text.encode("utf-8", "surrogateescape"):
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"
