"""The CPU of a Windows machine, from ``GetLogicalProcessorInformationEx``.

Source of the layouts: Microsoft Learn, winnt.h, SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, CACHE_RELATIONSHIP,
PROCESSOR_RELATIONSHIP, GROUP_AFFINITY; sysinfoapi.h, MEMORYSTATUSEX. 64-bit Windows only, as PyTorch is.
"""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sizer.detection.levels import Cache, Strength, build_levels, rank_classes, sourced
from sizer.method.hardware import RAM, Device, Level

_RELATION_CORE, _RELATION_CACHE, _RELATION_PACKAGE, _RELATION_ALL = 0, 2, 3, 0xFFFF
_CACHE_UNIFIED, _CACHE_DATA = 0, 2
_CPUS_PER_GROUP = 64
_SOURCE = "GetLogicalProcessorInformationEx"


@dataclass
class Processors:
    """What the records say: caches, cores (their CPUs and efficiency class, a higher one being faster), packages."""

    caches: list[Cache] = field(default_factory=list)
    cores: list[tuple[int, int]] = field(default_factory=list)
    packages: int = 0


def read_windows_cpu() -> Device:
    """The running Windows machine's CPU."""
    try:
        records, affinity, memory, name = _query()
    except (OSError, AttributeError, ImportError):
        records, affinity, memory, name = b"", None, None, None
    return cpu_device(parse_records(records), affinity, memory, name)


def parse_records(buffer: bytes) -> Processors:
    """The records of the buffer that ``GetLogicalProcessorInformationEx`` fills; a damaged end is left out."""
    found = Processors()
    for relationship, body in _records(buffer):
        if relationship == _RELATION_CACHE and len(body) >= 48:
            level, line, size, kind = body[0], *struct.unpack_from("<HII", body, 2)
            if kind in (_CACHE_UNIFIED, _CACHE_DATA):
                # Windows 10 and earlier leave the count of masks 0 and fill in one.
                cpus = _group_masks(body, 32, max(1, struct.unpack_from("<H", body, 30)[0]))
                found.caches.append(Cache(level, cpus, size or None, line or None, _SOURCE))
        elif relationship == _RELATION_CORE and len(body) >= 40:
            found.cores.append((_group_masks(body, 24, struct.unpack_from("<H", body, 22)[0]), body[1]))
        elif relationship == _RELATION_PACKAGE:
            found.packages += 1
    return found


def cpu_device(found: Processors, affinity: int | None, memory: int | None, name: str | None) -> Device:
    """The CPU device of these processors; ``affinity`` is the set of CPUs that the process may use, None for all."""
    online = functools.reduce(operator.or_, (cpus for cpus, _ in found.cores), 0)
    used = online & affinity if affinity is not None and online & affinity else online
    classes_of_core = {efficiency for _, efficiency in found.cores}

    def efficiency_class(cpu: int) -> int:
        return next((efficiency for cpus, efficiency in found.cores if cpus >> cpu & 1), 0)

    def kind(cpu: int) -> str | None:
        return f"efficiency class {efficiency_class(cpu)}" if len(classes_of_core) > 1 else None

    ranked = rank_classes(found.caches, used, kind, lambda cpu: Strength(capacity=efficiency_class(cpu)))
    units = sum(1 for cpus, _ in found.cores if cpus & used)
    warnings = [] if found.caches else ["Windows describes no caches here; run `sizer calibrate` to measure them."]
    return Device(
        id="cpu",
        kind="cpu",
        name=name,
        units=units or None,
        levels=(*build_levels(found.caches, used, ranked), Level(RAM, memory, 1, source="GlobalMemoryStatusEx")),
        warnings=tuple(warnings),
        sources={"name": "registry ProcessorNameString", "units": _SOURCE},
        facts=_facts(found, online, used),
    )


def _facts(found: Processors, online: int, used: int) -> dict[str, dict[str, Any]]:
    values = {
        "logical_cpus": online.bit_count(),
        "logical_cpus_in_use": used.bit_count(),
        "threads_per_core": max((cpus.bit_count() for cpus, _ in found.cores), default=0),
        "sockets": found.packages,
    }
    return sourced({name: (value or None, _SOURCE) for name, value in values.items()})


def _records(buffer: bytes) -> Iterator[tuple[int, bytes]]:
    """Relationship and body of each record; the size in its head covers the head of 8 bytes."""
    offset = 0
    while offset + 8 <= len(buffer):
        relationship, size = struct.unpack_from("<II", buffer, offset)
        if size < 8 or offset + size > len(buffer):
            return
        yield relationship, buffer[offset + 8 : offset + size]
        offset += size


def _group_masks(body: bytes, offset: int, count: int) -> int:
    """GROUP_AFFINITY entries (a 64-bit mask, a group number, 6 reserved bytes) as one set of CPUs."""
    cpus = 0
    for index in range(min(count, (len(body) - offset) // 16)):
        mask, group = struct.unpack_from("<QH", body, offset + 16 * index)
        cpus |= mask << (_CPUS_PER_GROUP * group)
    return cpus


def _query() -> tuple[bytes, int | None, int | None, str | None]:
    """The raw records, the affinity, the bytes of memory and the processor's name. Raises OSError where refused."""
    import ctypes

    kernel: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 (absent elsewhere)
    length = ctypes.c_ulong(0)
    kernel.GetLogicalProcessorInformationEx(_RELATION_ALL, None, ctypes.byref(length))
    buffer = ctypes.create_string_buffer(length.value)
    if not kernel.GetLogicalProcessorInformationEx(_RELATION_ALL, buffer, ctypes.byref(length)):
        raise OSError("GetLogicalProcessorInformationEx failed")
    return buffer.raw[: length.value], _affinity(kernel), _memory(kernel), _name()


def _affinity(kernel: Any) -> int | None:
    """The process' CPUs; None on a machine of several processor groups, where one mask does not describe them."""
    import ctypes

    if kernel.GetActiveProcessorGroupCount() != 1:
        return None
    process, system = ctypes.c_size_t(0), ctypes.c_size_t(0)
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(kernel.GetCurrentProcess())
    answered = kernel.GetProcessAffinityMask(handle, ctypes.byref(process), ctypes.byref(system))
    return process.value or None if answered else None


def _memory(kernel: Any) -> int | None:
    """MEMORYSTATUSEX: its length, the load, then the bytes of physical memory."""
    import ctypes

    status = ctypes.create_string_buffer(struct.pack("<I60x", 64), 64)
    return int(struct.unpack_from("<Q", status.raw, 8)[0]) if kernel.GlobalMemoryStatusEx(status) else None


def _name() -> str | None:
    import winreg

    registry: Any = winreg
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return " ".join(str(registry.QueryValueEx(key, "ProcessorNameString")[0]).split())
    except OSError:
        return None
