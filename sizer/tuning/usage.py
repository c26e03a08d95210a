"""What a process that trains uses, its children included: memory at its peak, and processor time of all others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: Part of the processor time of its process's busiest thread from which a thread works: one that hands batches on does
#: not, those of a numerical library do.
_WORKS = 0.25


#: Ticks by which two looks at what others used may differ though nobody did anything: everybody's time and one's own
#: are each counted in whole ones, and a window of 10 ms is one.
_ROUNDED_TICKS = 2


def others_share(before_s: float, after_s: float, elapsed_s: float) -> float:
    """Share of the processors that others used between two looks, as far as the kernel's ticks tell."""
    used = max(after_s - before_s - _ROUNDED_TICKS / os.sysconf("SC_CLK_TCK"), 0.0)
    return used / (elapsed_s * (os.cpu_count() or 1))


def others_used_s() -> float | None:
    """Processor time in s that everybody but this process and its children has used since boot; Linux only."""
    from sizer.calibration.disturbance import read_counters
    from sizer.detection.captured_tree import Tree

    used = read_counters(Tree("/")).used_s  # (by everybody but this process)
    if used is None:
        return None
    own = os.times()
    return used - own.children_user - own.children_system - sum(map(_used_s, children()))


def _used_s(child: int) -> float:
    """Processor time of a process and the children that it waited for, in s."""
    return _ticks(Path(f"/proc/{child}/stat"), 4) / os.sysconf("SC_CLK_TCK")


def _ticks(stat: Path, fields: int) -> int:
    """The sum of so many times in a stat file of /proc: user, system, and those of children; 0 where it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return sum(map(int, stat.read_text().rpartition(")")[2].split()[11 : 11 + fields]))
    return 0


def busy_threads_of_children() -> int:
    """Threads that work in the living processes that this one started, by their processor time; 0 if unknown."""
    found = 0
    for child in children():
        with contextlib.suppress(OSError):
            used = [_ticks(task / "stat", 2) for task in Path(f"/proc/{child}/task").iterdir()]
            found += sum(ticks > _WORKS * max(used) for ticks in used)
    return found


def children() -> list[int]:
    """The processes that this one started and that are alive; none where the system does not tell."""
    pid = os.getpid()
    with contextlib.suppress(OSError, ValueError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def peak_bytes(device: str) -> int | None:
    """The most memory that this process had, and its children have had that are alive; on a GPU that of the GPU."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    own = _high_water(Path("/proc/self/status"))
    if own is None:
        return _peak_by_usage()
    return own + sum(_high_water(Path(f"/proc/{child}/status"), "VmRSS:") or 0 for child in children())


def _high_water(path: Path, field: str = "VmHWM:") -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return None


def _peak_by_usage() -> int | None:
    try:
        import resource
        import sys
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
