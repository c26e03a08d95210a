"""RAPL energy counters of x86 CPUs through Linux's powercap (``/sys/class/powercap/intel-rapl:N[:M]``).

Source: the kernel's Documentation/power/powercap/powercap.rst. Zones nest: a *package* includes its ``core`` and
``uncore``, ``psys`` includes everything on the board, ``dram`` is beside the package. So packages and their dram are
added and nothing else is. AMD CPUs show up under the same name, without dram. The zones of ``intel-rapl-mmio`` are the
same packages over another bus and must not be added either.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import NamedTuple

from sizer.base.errors import MeterError
from sizer.detection.captured_tree import Tree
from sizer.meters.counters import Counter, CounterMeter, CounterSet
from sizer.meters.protocol import MEASURED, Snapshot

POWERCAP = "/sys/class/powercap"
#: No package or its memory draws more; with it the common range of 65.5 kJ (262 kJ) lasts 65 s (262 s).
MAX_POWER_W = 1000.0
#: The counters move about every millisecond (Intel SDM volume 3, 16.10.1); 100 of that keep the error at 1 %.
UPDATE_PERIOD_S = 0.001
MINIMUM_WINDOW_S = 0.1

_ZONE = re.compile(r"intel-rapl:(\d+)(?::(\d+))?")
_COUNTERS = f"{POWERCAP}/intel-rapl:*/energy_uj"
GRANT = f"sudo chgrp $(id -gn) {_COUNTERS} && sudo chmod g+r {_COUNTERS}"


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
        package = named.get(folder.rpartition(":")[0]) if folder.count(":") == 2 else None
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
        except MeterError:
            self.close()
            raise
        self.zones = zones
        counters = tuple(Counter(zone.name, 1_000_000, zone.range_uj, max_power_w) for zone in zones)
        self._set = CounterSet(counters, MEASURED, UPDATE_PERIOD_S, MINIMUM_WINDOW_S)
        self.source = _source(self._set.names, resting)

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
        if not any(not zone.name.endswith("/dram") for zone in kept):
            raise MeterError(
                f"the RAPL counters read 0 ({', '.join(resting)}): they do not run, as in many virtual machines; "
                "use --meter wattmeter-log or power-model"
            )
        return tuple(kept), resting

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

    def close(self) -> None:
        """Close the counters' files."""
        while self._handles:
            with suppress(OSError):
                os.close(self._handles.pop())


def _open_counter(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
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


def _source(names: tuple[str, ...], resting: tuple[str, ...]) -> str:
    memory = "memory included" if any(name.endswith("/dram") for name in names) else "memory not included"
    left_out = f"; {', '.join(resting)} left out: its counter stays at 0" if resting else ""
    return f"RAPL energy counters of {', '.join(names)} ({memory}{left_out})"
