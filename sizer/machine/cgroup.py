"""What the control groups allow this process: CPUs (cpuset), CPU time (quota) and memory, versions 1 and 2.

A container sees every CPU and all the memory of its host in ``/proc`` and ``/sys``; only its control group says how
much of them it gets. A limit of any ancestor binds too, so each is looked for from the group up to the mount's root.
Source: Linux kernel documentation, admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

from sizer.machine import cpusets
from sizer.machine.tree import Tree

_MOUNTINFO_LIMIT_BYTES = 1 << 20
_MAX_DEPTH = 64
# Version 1 writes "no limit" as a huge number of pages; no machine has an exbibyte of memory.
_NO_MEMORY_LIMIT_BYTES = 1 << 60
_OCTAL = re.compile(r"\\([0-7]{3})")


class Limits(NamedTuple):
    """What the control groups allow, each None where they do not limit it, with the file that says so."""

    cpus: int | None = None
    cpus_source: str | None = None
    quota_cpus: float | None = None
    quota_source: str | None = None
    memory_bytes: int | None = None
    memory_source: str | None = None

    @property
    def concurrent_cpus(self) -> int | None:
        """CPUs that the quota lets run at the same time without being throttled, at least 1."""
        return max(1, math.ceil(self.quota_cpus - 1e-6)) if self.quota_cpus is not None else None


def read_limits(tree: Tree) -> Limits:
    """The limits of this process, found through ``/proc/self/cgroup`` and ``/proc/self/mountinfo``."""
    groups = dict(_groups(tree))
    cpus, cpus_source = _cpuset(tree, groups)
    quota, quota_source = _quota(tree, groups)
    memory, memory_source = _memory(tree, groups)
    return Limits(cpus, cpus_source, quota, quota_source, memory, memory_source)


def _groups(tree: Tree) -> Iterator[tuple[str, tuple[str, ...]]]:
    """For each version 1 controller, and for "" (version 2), the folders of this process' group and its ancestors."""
    own: dict[str, str] = {}
    for line in (tree.text("/proc/self/cgroup", _MOUNTINFO_LIMIT_BYTES) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        own.update(dict.fromkeys(controllers.split(","), path))
    for line in (tree.text("/proc/self/mountinfo", _MOUNTINFO_LIMIT_BYTES) or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, types = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(types) < 3 or types[0] not in ("cgroup", "cgroup2"):
            continue
        root, mount = (_OCTAL.sub(lambda match: chr(int(match[1], 8)), field) for field in fields[3:5])
        for controller in types[2].split(",") if types[0] == "cgroup" else [""]:
            if controller in own:
                yield controller, _ancestry(mount, root, own[controller])


def _ancestry(mount: str, root: str, path: str) -> tuple[str, ...]:
    """The group's folder and its ancestors up to the mount point.

    ``path`` and ``root`` are both seen from the hierarchy's root: in a container without a namespace of its own the
    mount shows only the container's group. A path outside it (``/../..``) cannot be seen here: the mount point is all.
    """
    inside = posixpath.relpath(path, root) if path.startswith("/") and root.startswith("/") else "."
    if inside.startswith(".."):
        inside = "."
    folder = posixpath.normpath(posixpath.join(mount, inside))
    folders = [folder]
    while folder != mount and folder != "/" and len(folders) < _MAX_DEPTH:
        folder = posixpath.dirname(folder)
        folders.append(folder)
    return tuple(folders)


def _cpuset(tree: Tree, groups: dict[str, tuple[str, ...]]) -> tuple[int | None, str | None]:
    """The nearest group's CPUs; an ancestor's need not be looked at, since a group's effective set lies within it."""
    names = {
        "cpuset": ("cpuset.effective_cpus", "effective_cpus", "cpuset.cpus", "cpus"),
        "": ("cpuset.cpus.effective",),
    }
    for controller, files in names.items():
        for folder in groups.get(controller, ()):
            for name in files:
                cpus = cpusets.parse_list(tree.text(f"{folder}/{name}", 1 << 16))
                if cpus:
                    return cpus, f"{folder}/{name}"
    return None, None


def _quota(tree: Tree, groups: dict[str, tuple[str, ...]]) -> tuple[float | None, str | None]:
    """The smallest quota on the way up, in CPUs."""
    found: list[tuple[float, str]] = []
    for folder in groups.get("cpu", ()):
        quota, period = tree.integer(f"{folder}/cpu.cfs_quota_us"), tree.integer(f"{folder}/cpu.cfs_period_us")
        if quota is not None and period is not None and quota > 0 and period > 0:
            found.append((quota / period, f"{folder}/cpu.cfs_quota_us"))
    for folder in groups.get("", ()):
        match = re.fullmatch(r"([0-9]{1,15}) ([0-9]{1,15})", tree.word(f"{folder}/cpu.max") or "")
        if match and int(match[1]) > 0 and int(match[2]) > 0:
            found.append((int(match[1]) / int(match[2]), f"{folder}/cpu.max"))
    return min(found, default=(None, None))


def _memory(tree: Tree, groups: dict[str, tuple[str, ...]]) -> tuple[int | None, str | None]:
    """The smallest memory limit on the way up, in bytes."""
    files = [f"{folder}/memory.limit_in_bytes" for folder in groups.get("memory", ())]
    files += [f"{folder}/memory.max" for folder in groups.get("", ())]
    found = [(limit, file) for file in files if (limit := tree.integer(file)) and 0 < limit < _NO_MEMORY_LIMIT_BYTES]
    return min(found, default=(None, None))
