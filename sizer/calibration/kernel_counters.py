"""What the kernel counted while something was timed: it explains a disturbance, and never decides on one.

Time that others used or that the host kept (steal) in /proc/stat, time that tasks waited for a processor
(/proc/pressure/cpu), and this process's involuntary switches (/proc/self/status). None of them sees another virtual
machine on a shared core, so their silence means nothing. Linux only; what is not there is None.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from sizer.detection.captured_tree import Tree, natural


@dataclass(frozen=True)
class Counters:
    """Counts since boot, in s of processor time, of waiting, and in switches; None where the kernel does not count."""

    used_s: float | None = None
    stolen_s: float | None = None
    waited_s: float | None = None
    switches: int | None = None

    def since(self, before: Counters) -> dict[str, float]:
        """What was added since; counts that either does not have are left out."""
        names = ("used_s", "stolen_s", "waited_s", "switches")
        pairs = ((name, getattr(before, name), getattr(self, name)) for name in names)
        return {name: max(new - old, 0) for name, old, new in pairs if old is not None and new is not None}


def read_counters(tree: Tree, ticks_per_s: int | None = None) -> Counters:
    """The counters now. ``used_s`` is the processor time that everything but this process used, steal included."""
    used, stolen = _processor_s(tree, ticks_per_s or _ticks_per_s())
    waited = re.search(r"^some .*\btotal=(\d+)", tree.text("/proc/pressure/cpu") or "", re.MULTILINE)
    switched = re.search(r"^nonvoluntary_ctxt_switches:\s*(\d+)", tree.text("/proc/self/status") or "", re.MULTILINE)
    own = os.times()
    return Counters(
        used_s=None if used is None else used - own.user - own.system,
        stolen_s=stolen,
        waited_s=None if waited is None else int(waited.group(1)) / 1e6,
        switches=None if switched is None else int(switched.group(1)),
    )


def _processor_s(tree: Tree, ticks_per_s: int) -> tuple[float | None, float | None]:
    """Processor time used by all, steal included, and the stolen part of it, in s."""
    first = (tree.text("/proc/stat") or "").partition("\n")[0].split()
    ticks = [natural(field) for field in first[1:9]]
    if first[:1] != ["cpu"] or len(ticks) < 8 or None in ticks:
        return None, None
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = (float(tick or 0) for tick in ticks)
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    return busy / ticks_per_s, stolen / ticks_per_s


def _ticks_per_s() -> int:
    return os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
