"""What a process that trains uses, its children included: memory at its peak, and processor time of all others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


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
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


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
