"""Caches from Linux sysfs: ``/sys/devices/system/cpu/cpuN/cache/indexM``.

Source of the format: Linux kernel documentation, Documentation/ABI/testing/sysfs-devices-system-cpu. The sharing *map*
is read before the *list*, as hwloc does: where the two disagree (hand-made captures), the map has been right.
"""

from __future__ import annotations

import re

from sizer.detection import cgroups
from sizer.detection.captured_tree import Tree, natural
from sizer.detection.levels import Cache

CPU_FOLDER = "/sys/devices/system/cpu"
_CPUSET_LIMIT_BYTES = 1 << 16
_SIZE = re.compile(r"([0-9]{1,15}) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_DATA_TYPES = ("Data", "Unified")


class _Claim:
    """What one cache says of itself, and the CPUs that say so."""

    def __init__(self, cache: Cache, claimants: int) -> None:
        self.cache, self.claimants = cache, claimants


class _Reading:
    """The claims of all CPUs, and what was wrong on the way (each fault with the places where it was met)."""

    def __init__(self) -> None:
        self.claims: dict[tuple[object, ...], _Claim] = {}
        self.faults: dict[str, list[str]] = {}
        self.instruction_indices: set[str] = set()

    def fault(self, what: str, where: str) -> None:
        self.faults.setdefault(what, []).append(where)


def parse_size(text: str | None) -> int | None:
    """A size like ``48K`` in bytes; None for junk, and for 0, which is how some kernels say that they do not know."""
    match = _SIZE.fullmatch(text) if text is not None else None
    return (int(match[1]) * _FACTORS[match[2].upper()] or None) if match else None


def read_caches(tree: Tree, online: int) -> tuple[tuple[Cache, ...], tuple[str, ...]]:
    """Each distinct data or unified cache of the online CPUs once, and warnings. No caches: sysfs describes none."""
    reading = _Reading()
    for cpu in cgroups.members(online):
        folder = f"{CPU_FOLDER}/cpu{cpu}/cache"
        for name in tree.names(folder):
            if name.startswith("index") and natural(name[5:]) is not None:
                _read_index(tree, f"{folder}/{name}", cpu, online, reading)
    caches, conflicts = _settle(list(reading.claims.values()))
    return caches, (*conflicts, *_fault_warnings(reading), *_coverage_warnings(online, caches))


def _read_index(tree: Tree, folder: str, cpu: int, online: int, reading: _Reading) -> None:
    index = folder[folder.rindex("/") :]
    if index in reading.instruction_indices and tree.word(f"{folder}/type") == "Instruction":
        return
    text, cpus = _sharing(tree, folder)
    # CPUs that give the same map under the same index describe one cache: its other files need not be read again.
    known = (index, text)
    if text is not None and known in reading.claims:
        reading.claims[known].claimants |= 1 << cpu
        return
    kind, level = tree.word(f"{folder}/type"), tree.integer(f"{folder}/level")
    if kind == "Instruction":
        reading.instruction_indices.add(index)  # most likely the other CPUs' too, whose maps then need not be read
        return
    if kind not in _DATA_TYPES or level is None or not 0 <= level <= 9:
        reading.fault("has no readable type and level and was left out", folder)
        return
    sharing_known, cpus = _checked_sharing(cpu, cpus, online, folder, reading)
    capacity = parse_size(tree.word(f"{folder}/size"))
    line = tree.integer(f"{folder}/coherency_line_size")
    cache = Cache(level, cpus, capacity, line if line and line > 0 else None, folder, sharing_known)
    if capacity is None:
        reading.fault(f"has no readable size: the capacity of that L{level} is unknown", folder)
    reading.claims[known if text is not None else (folder,)] = _Claim(cache, 1 << cpu)


def _sharing(tree: Tree, folder: str) -> tuple[str | None, int | None]:
    """The sharing map as written, for recognition, and as a set; the list where there is no readable map."""
    text = tree.text(f"{folder}/shared_cpu_map", _CPUSET_LIMIT_BYTES)
    cpus = cgroups.parse_map(text)
    if not cpus:  # an empty map is as good as none: some Itanium kernels give one
        text = tree.text(f"{folder}/shared_cpu_list", _CPUSET_LIMIT_BYTES)
        cpus = cgroups.parse_list(text) or cpus
    return (text, cpus) if cpus else (None, cpus)


def _checked_sharing(cpu: int, cpus: int | None, online: int, folder: str, reading: _Reading) -> tuple[bool, int]:
    own = 1 << cpu
    if cpus is None:
        reading.fault("does not say which CPUs share it: the number of instances is unknown", folder)
        return False, own
    if not cpus & own:
        reading.fault("does not count its own CPU among those that share it; the CPU was added", folder)
    return True, (cpus & online) | own


def _settle(claims: list[_Claim]) -> tuple[tuple[Cache, ...], tuple[str, ...]]:
    """One cache for each claim, where claims of a level overlap the ones that most CPUs make; conflicts are named."""
    caches: list[Cache] = []
    warnings: list[str] = []
    for level in sorted({claim.cache.level for claim in claims}):
        layers = _layers(_distinct([claim for claim in claims if claim.cache.level == level]))
        for layer in layers:
            settled, conflict = _settle_layer(level, layer)
            caches += settled
            warnings += conflict
        if len(layers) > 1:
            warnings.append(
                f"sysfs gives some CPUs {len(layers)} data or unified caches of level {level}; each is listed, and "
                "sizing uses the largest."
            )
    return tuple(caches), tuple(warnings)


def _distinct(claims: list[_Claim]) -> list[_Claim]:
    """Without the caches that are given twice (VirtualBox shows its L1 under two indices)."""
    distinct: dict[tuple[int, int, int | None], _Claim] = {}
    for claim in claims:
        kept = distinct.setdefault((claim.claimants, claim.cache.cpus, claim.cache.capacity_bytes), claim)
        kept.claimants |= claim.claimants
    return list(distinct.values())


def _layers(claims: list[_Claim]) -> list[list[_Claim]]:
    """Claims of one level split so that no CPU makes two in a layer: some CPUs have two data caches of one level."""
    layers: list[list[_Claim]] = []
    claimants: list[int] = []
    for claim in claims:
        free = next((index for index, cpus in enumerate(claimants) if not cpus & claim.claimants), len(layers))
        if free == len(layers):
            layers.append([])
            claimants.append(0)
        layers[free].append(claim)
        claimants[free] |= claim.claimants
    return layers


def _settle_layer(level: int, claims: list[_Claim]) -> tuple[list[Cache], list[str]]:
    taken, caches, losers = 0, [], []
    for claim in sorted(claims, key=lambda claim: (-claim.claimants.bit_count(), cgroups.first(claim.cache.cpus))):
        rest = claim.cache.cpus & ~taken
        if rest != claim.cache.cpus:
            losers.append(claim)
            rest &= claim.claimants
        if rest:
            caches.append(claim.cache._replace(cpus=rest))
            taken |= rest
    caches.sort(key=lambda cache: cgroups.first(cache.cpus))
    if not losers:
        return caches, []
    named = "; ".join(
        f"{cgroups.to_list(one.cache.cpus)} (says CPU {cgroups.to_list(one.claimants)})" for one in losers[:4]
    )
    return caches, [
        f"sysfs gives conflicting L{level} sharing maps: {named} overlaps what other CPUs say. The maps that most CPUs "
        f"agree on were kept; check the L{level} instances before relying on them."
    ]


def _fault_warnings(reading: _Reading) -> list[str]:
    more = {what: f" (and {len(where) - 1} more like it)" for what, where in reading.faults.items() if len(where) > 1}
    return [f"{where[0]}{more.get(what, '')} {what}." for what, where in reading.faults.items()]


def _coverage_warnings(online: int, caches: tuple[Cache, ...]) -> list[str]:
    """Says it where sysfs describes no caches at all, or none for some of the CPUs."""
    if not caches:
        return [
            f"sysfs describes no caches here ({CPU_FOLDER}/cpu*/cache is missing or empty): their capacities are not "
            "known. Name them in a profile (--device FILE), or run `sizer calibrate` on the machine to measure them."
        ]
    covered = 0
    for cache in caches:
        covered |= cache.cpus
    missing = online & ~covered
    return [f"sysfs describes no caches for CPUs {cgroups.to_list(missing)}; they are not counted."] if missing else []
