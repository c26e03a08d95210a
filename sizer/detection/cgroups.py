"""What the control groups allow this process: CPUs (cpuset), CPU time (quota) and memory, versions 1 and 2.

A container sees every CPU and all the memory of its host in ``/proc`` and ``/sys``; only its control group says how
much of them it gets. A limit of any ancestor binds too, so each is looked for from the group up to the mount's root.
Below: sets of CPUs as the kernel writes them, each an integer whose bit N stands for CPU N.

Source: Linux kernel documentation, admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from sizer.detection.captured_tree import Tree, natural

_MOUNTINFO_LIMIT_BYTES = 1 << 20
_MAX_DEPTH = 64
_OCTAL = re.compile(r"\\([0-7]{3})")
# Linux supports at most 8192 CPUs (CONFIG_NR_CPUS); the margin costs nothing and a larger number is damage.
MAX_CPUS = 1 << 16
_MAP = re.compile(r"(?:0x)?([0-9a-fA-F]{1,16384}(?:,[0-9a-fA-F]{1,8})*)")


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
                cpus = parse_list(tree.text(f"{folder}/{name}", 1 << 16))
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
    """The smallest memory limit on the way up, in bytes; version 1's word for none has more digits than are read."""
    files = [f"{folder}/memory.limit_in_bytes" for folder in groups.get("memory", ())]
    files += [f"{folder}/memory.max" for folder in groups.get("", ())]
    found = [(limit, file) for file in files if (limit := tree.integer(file)) and limit > 0]
    return min(found, default=(None, None))


def parse_list(text: str | None) -> int | None:
    """The set that a list like ``0-3,8`` names; empty text is the empty set."""
    if text is None:
        return None
    cpus = 0
    for part in filter(None, text.strip(" \t\r\n\0").split(",")):
        start, dash, end = part.strip().partition("-")
        first = natural(start)
        last = natural(end) if dash else first
        if first is None or last is None or not first <= last < MAX_CPUS:
            return None
        cpus |= ((1 << (last - first + 1)) - 1) << first
    return cpus


@lru_cache(maxsize=4096)  # every CPU repeats the maps of the caches that it shares
def parse_map(text: str | None) -> int | None:
    """The set that a hexadecimal map like ``00000001,00000003`` names."""
    match = _MAP.fullmatch(text.strip(" \t\r\n\0")) if text is not None else None
    if match is None:
        return None
    first_word, *words = match[1].split(",")
    cpus = int(first_word + "".join(word.zfill(8) for word in words), 16)
    return cpus if cpus.bit_length() <= MAX_CPUS else None


def from_cpus(cpus: Iterable[int]) -> int:
    """The set of these logical CPU numbers; numbers no kernel uses are left out."""
    return sum(1 << cpu for cpu in {*cpus} if 0 <= cpu < MAX_CPUS)


def members(cpus: int) -> Iterator[int]:
    """The logical CPU numbers of a set, ascending."""
    while cpus:
        lowest = cpus & -cpus
        yield lowest.bit_length() - 1
        cpus ^= lowest


def first(cpus: int) -> int:
    """The lowest CPU number of a set that is not empty."""
    return (cpus & -cpus).bit_length() - 1


def to_list(cpus: int) -> str:
    """The set as a list: ``0-3,8``."""
    parts = []
    while cpus:
        start = first(cpus)
        run = cpus >> start
        length = (~run & (run + 1)).bit_length() - 1
        parts.append(f"{start}" if length == 1 else f"{start}-{start + length - 1}")
        cpus &= ~(((1 << length) - 1) << start)
    return ",".join(parts)
