"""Whether data fits into the memory that is free, asked before it is read."""

from __future__ import annotations

import re
from pathlib import Path

from sizer.base.errors import DataError
from sizer.base.units import format_bytes

_AVAILABLE = re.compile(r"^MemAvailable: +([0-9]{1,15}) kB", re.MULTILINE)
_IN_USE = re.compile(r"^VmSize:\s+([0-9]{1,15}) kB", re.MULTILINE)


def available_bytes() -> int | None:
    """Memory that this process may still take: what the system has free, less where a limit allows less.

    Limits are those of its control group and of its address space (``ulimit -v``). None where nothing says.
    """
    from sizer.detection.captured_tree import Tree
    from sizer.detection.cgroups import read_limits

    known = (_kilobytes("/proc/meminfo", _AVAILABLE), read_limits(Tree()).memory_bytes, _address_space_left())
    return min((size for size in known if size is not None), default=None)


def require_memory(what: str, needed_bytes: float, remedy: str = "use a sample of its rows") -> None:
    """Raises DataError when more memory is needed than there is, with both numbers."""
    there = available_bytes()
    if there is not None and needed_bytes > there:
        raise DataError(
            f"{what} needs about {format_bytes(needed_bytes)} of memory and {format_bytes(there)} are free; {remedy}, "
            f"or use a machine with more"
        )


def _kilobytes(path: str, pattern: re.Pattern[str]) -> int | None:
    try:
        found = pattern.search(Path(path).read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _address_space_left() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    in_use = _kilobytes("/proc/self/status", _IN_USE)
    return None if limit == resource.RLIM_INFINITY or in_use is None else max(0, limit - in_use)
