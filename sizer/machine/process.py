"""What the running process may use of the machine."""

from __future__ import annotations

import os
from typing import NamedTuple

from sizer.machine import cpusets
from sizer.machine.cgroup import Limits, read_limits
from sizer.machine.tree import Tree


class Process(NamedTuple):
    """Its CPU affinity (None: not limited, or the platform has none) and its control groups' limits."""

    affinity: int | None = None
    limits: Limits = Limits()


def current_process(tree: Tree) -> Process:
    """What the calling process may use of the running machine."""
    affinity = cpusets.from_cpus(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Process(affinity, read_limits(tree))
