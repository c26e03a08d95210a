"""The CPU of a platform that has no probe of its own: what Python itself knows."""

from __future__ import annotations

import os

from sizer.hardware import RAM, Device, Level


def read_other_cpu() -> Device:
    """Logical CPUs and memory; no caches."""
    count = os.cpu_count()
    facts = {"logical_cpus": {"value": count, "source": "os.cpu_count"}} if count else {}
    return Device(
        id="cpu",
        kind="cpu",
        name=None,
        units=count,
        levels=(Level(RAM, _memory_bytes(), 1, source="sysconf SC_PHYS_PAGES"),),
        warnings=("sizer has no probe for this platform: logical CPUs are counted as cores.",),
        sources={"name": "unknown", "units": "os.cpu_count (logical CPUs)"},
        facts=facts,
    )


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
