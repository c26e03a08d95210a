"""RAPL energy counters of x86 CPUs through Linux's powercap (``/sys/class/powercap/intel-rapl:N[:M]``).

Source: the kernel's Documentation/power/powercap/powercap.rst. Zones nest: a *package* includes its ``core`` and
``uncore``, ``psys`` includes everything on the board, ``dram`` is beside the package. So packages and their dram are
added and nothing else is. AMD CPUs show up under the same name, without dram. The zones of ``intel-rapl-mmio`` are the
same packages over another bus and must not be added either. Where a package has several dies Linux shows a zone a die
(``package-0-die-1``): on Intel each has its counter, on some AMD processors all show the package's one (its register is
the package's; a Threadripper 1950X showed 68 W for each of its dies, codecarbon#1274). Those that show the same count
once: two counters of their own, which add up since the machine started, do not agree to a microjoule.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from sizer.base.errors import MeterError
from sizer.detection.captured_tree import Tree
from sizer.meters.counters import Counter, CounterMeter, CounterSet
from sizer.meters.protocol import MEASURED, Energy, Snapshot

POWERCAP = "/sys/class/powercap"
#: No package or its memory draws more; with it the common range of 65.5 kJ (262 kJ) lasts 65 s (262 s).
MAX_POWER_W = 1000.0
#: The counters move about every millisecond (Intel SDM volume 3, 16.10.1); 100 of that keep the error at 1 %.
UPDATE_PERIOD_S = 0.001
MINIMUM_WINDOW_S = 0.1

#: Comparing counters that may be one: as often, and that far apart, so that each moves a few times in between.
_COMPARISONS = 3
_COMPARED_EVERY_S = 0.003

_ZONE = re.compile(r"intel-rapl:(\d+)(?::(\d+))?")
_COUNTERS = f"{POWERCAP}/intel-rapl:*/energy_uj"
GRANT = f"sudo chgrp $(id -gn) {_COUNTERS} && sudo chmod g+r {_COUNTERS}"


Readings = Sequence[float | None]


class Zone(NamedTuple):
    """One RAPL domain: its folder, its name (``package-0``, ``package-0/dram``), its counter's range in microjoules."""

    folder: str
    name: str
    range_uj: int


def find_zones(sysroot: str | os.PathLike[str] = "/") -> tuple[Zone, ...]:
    """The domains whose energies add up to that of the CPUs and their memory, none of them inside another.

    Raises MeterError where there is none.
    """
    tree = Tree(sysroot)
    found = [name for name in tree.names(POWERCAP) if _ZONE.fullmatch(name)]
    if not found:
        raise MeterError(
            f"no RAPL counter: {POWERCAP} has no intel-rapl zone; on a physical x86 machine load it with "
            "`sudo modprobe intel_rapl_msr`, in a virtual machine use --meter wattmeter-log or power-model"
        )
    named = {zone: tree.word(f"{POWERCAP}/{zone}/name") for zone in found}
    zones = _without_overlap(named)
    if not zones:
        raise MeterError(
            f"RAPL zones without a readable package in {POWERCAP} ({', '.join(found)}); container runtimes hide them; "
            "start the container with `-v /sys/devices/virtual/powercap:/sys/devices/virtual/powercap:ro`"
        )
    return tuple(_zone(tree, folder, name) for name, folder in zones.items())


def _without_overlap(named: dict[str, str | None]) -> dict[str, str]:
    """Name -> folder of packages and their dram; psys alone where a machine has no package zone.

    A name that comes twice is the same package behind two drivers, and counts once.
    """
    chosen: dict[str, str] = {}
    for folder, name in sorted(named.items(), key=lambda item: _numbers(item[0])):
        package = named.get(folder.rpartition(":")[0])  # (the zone that it is in)
        if package is None and name is not None and name.startswith("package"):
            chosen.setdefault(name, folder)
        elif package is not None and package.startswith("package") and name == "dram":
            chosen.setdefault(f"{package}/dram", folder)
    psys = [folder for folder, name in named.items() if name == "psys"]
    return chosen or ({"psys": psys[0]} if psys else {})


def _numbers(folder: str) -> tuple[int, ...]:
    return tuple(int(number) for number in folder.split(":")[1:])


def _zone(tree: Tree, folder: str, name: str) -> Zone:
    path = f"{POWERCAP}/{folder}"
    range_uj = tree.integer(f"{path}/max_energy_range_uj")
    if range_uj is None or range_uj <= 0:
        raise MeterError(
            f"{path}/max_energy_range_uj is missing: {name}'s wrap-around cannot be told; use --meter power-model"
        )
    return Zone(path, name, range_uj)


class RaplMeter(CounterMeter):
    """The energy of all CPU packages and, where it is counted, their memory.

    ``max_power_w`` is the stated bound on what a package draws, which tells a wrap-around from a jump. Raises
    MeterError when there is no counter, or no permission to read it (with the command that grants it). The files stay
    open: a snapshot is one ``pread`` a domain, some microseconds.
    """

    name = "rapl"
    label = MEASURED

    def __init__(self, sysroot: str | os.PathLike[str] = "/", max_power_w: float = MAX_POWER_W) -> None:
        self._handles: list[int] = []
        self._interruptions = 0
        self._problem: str | None = None
        root = os.path.realpath(sysroot).rstrip(os.sep)
        try:
            zones, resting = self._open(root, find_zones(sysroot))
            self._repeats = self._repeated(zones)
        except MeterError:
            self.close()
            raise
        self._counters = tuple(Counter(zone.name, 1_000_000, zone.range_uj, max_power_w) for zone in zones)
        kept = [index for index in range(len(zones)) if index not in self._repeats]
        self.zones = tuple(zones[index] for index in kept)
        self._set = self._set_of(kept)
        same = tuple((zones[j].name, zones[i].name) for j, i in self._repeats.items())
        self.source = _source(self._set.names, resting, same)

    def _open(self, root: str, zones: tuple[Zone, ...]) -> tuple[tuple[Zone, ...], tuple[str, ...]]:
        """Open every counter and leave out those that have never counted: (zones, names left out).

        Some machines and most hypervisors show a domain whose counter stays at 0.
        """
        kept = []
        for zone in zones:
            handle = _open_counter(f"{root}{zone.folder}/energy_uj")
            self._handles.append(handle)
            if _read(handle):
                kept.append(zone)
            else:
                os.close(self._handles.pop())
        resting = tuple(zone.name for zone in zones if zone not in kept)
        if not any(not _is_dram(zone) for zone in kept):
            raise MeterError(
                f"the RAPL counters read 0 ({', '.join(resting)}): they do not run, as in many virtual machines; "
                "use --meter wattmeter-log or power-model"
            )
        return tuple(kept), resting

    def _set_of(self, kept: Sequence[int]) -> CounterSet:
        return CounterSet(tuple(self._counters[i] for i in kept), MEASURED, UPDATE_PERIOD_S, MINIMUM_WINDOW_S)

    def _repeated(self, zones: tuple[Zone, ...]) -> dict[int, int]:
        """Counter -> the one before it that shows the same. Compared some times, as only one counter agrees always."""
        likely = [(i, j) for j in range(len(zones)) for i in range(j) if _is_dram(zones[i]) == _is_dram(zones[j])]
        at_first = [_read(handle) for handle in self._handles]
        for _ in range(_COMPARISONS):
            likely = [pair for pair in likely if self._agree(*pair)]
            if not likely:
                return {}
            time.sleep(_COMPARED_EVERY_S)
        repeats: dict[int, int] = {}
        for i, j in likely:
            # Counters at rest tell nothing of two packages; two dies of one package that agree are its counter.
            has_moved = _read(self._handles[j]) != at_first[j]
            if i not in repeats and (has_moved or _package(zones[i]) == _package(zones[j])):
                repeats.setdefault(j, i)
        return repeats

    def _agree(self, one: int, other: int) -> bool:
        """Whether a counter read between two readings of another lies between those."""
        before, between, after = (_read(self._handles[index]) for index in (one, other, one))
        return before <= between <= after

    def snapshot(self) -> Snapshot:
        """Read every counter once."""
        now, unix = time.perf_counter(), time.time()
        try:
            readings: tuple[float | None, ...] = tuple(int(os.pread(handle, 32, 0)) for handle in self._handles)
        except (OSError, ValueError) as error:
            self._interruptions += 1
            self._problem = f"a RAPL counter could not be read ({error})"
            readings = (None,) * len(self._handles)
        return Snapshot(now, unix, readings, self._interruptions, self._problem)

    def energy(self, start: Snapshot, end: Snapshot) -> Energy:
        """The energy between two snapshots. Rejected where a counter stopped, jumped or could not be read.

        A counter that was taken for another's and then went its own way counts after all, with a warning.
        """
        apart = [j for j, i in self._repeats.items() if _apart(start.readings, end.readings, i, j)]
        kept = [index for index in range(len(self._counters)) if index not in self._repeats or index in apart]
        start, end = (one._replace(readings=tuple(one.readings[index] for index in kept)) for one in (start, end))
        energy = self._set_of(kept).energy(start, end)
        own = tuple(f"{self._counters[j].name} has a counter of its own after all, and is added" for j in apart)
        return replace(energy, warnings=(*energy.warnings, *own))

    def close(self) -> None:
        """Close the counters' files."""
        while self._handles:
            with suppress(OSError):
                os.close(self._handles.pop())


def _apart(before: Readings, after: Readings, one: int, other: int) -> bool:
    """Whether two counters that agreed have moved by amounts of which one is 4/3 of the other, or more.

    Less is the time between reading one and the other, in which this program may have been kept waiting.
    """
    read = [(before[index], after[index]) for index in (one, other)]
    moved = sorted(end - start for start, end in read if start is not None and end is not None)
    return len(moved) == 2 and moved[0] >= 0 and moved[1] - moved[0] > 0.25 * moved[1]


def _is_dram(zone: Zone) -> bool:
    return zone.name.endswith("/dram")


def _package(zone: Zone) -> str:
    """The package that a zone is of: ``package-0`` of ``package-0-die-1``."""
    return re.sub(r"-die-\d+|/dram$", "", zone.name)


def _open_counter(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except PermissionError as error:
        raise MeterError(
            f"no permission to read {path}: since CVE-2020-8694 Linux lets root alone read it, as power leaks what "
            f"other programs compute; to let your group read it until the next start, run `{GRANT}` (for good: "
            "docs/meters.md)"
        ) from error
    except OSError as error:
        raise MeterError(f"the RAPL counter {path} cannot be opened: {error.strerror}") from error


def _read(handle: int) -> int:
    """The counter's value, 0 also where it holds no number or reading fails."""
    try:
        return int(os.pread(handle, 32, 0))
    except (OSError, ValueError):
        return 0


def _source(names: tuple[str, ...], resting: tuple[str, ...], same: tuple[tuple[str, str], ...]) -> str:
    memory = "memory included" if any(name.endswith("/dram") for name in names) else "memory not included"
    left_out = f"; {', '.join(resting)} left out: its counter stays at 0" if resting else ""
    repeated = "".join(f"; {name} left out: it shows the counter of {shown}" for name, shown in same)
    return f"RAPL energy counters of {', '.join(names)} ({memory}{left_out}{repeated})"
