"""A machine as records: memory levels and devices.

A level is named by what the vendor calls it (``L1``, ``L2``, ``L3``, ``RAM``) and described by *one instance* of it:
summing a cache over cores is the mistake that makes most tools' cache sizes useless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sizer.base.records import Record, plain, rebuild

MACHINE_FORMAT = "sizer.machine/1"
RAM = "RAM"
#: The fact of a GPU whose coefficients are of a model with L1 as a level, as the study's are.
SIZED_L1 = "l1_is_sized_for"


@dataclass(frozen=True)
class Level:
    """One level of a device's memory hierarchy, described by one of its instances.

    ``capacity_bytes`` is what the system reports for one instance, ``effective_bytes`` what measurements show of it
    (`docs/method.md`: a virtual machine reports an L3 of 260 MiB and offers 4 to 17); ``None`` means not known.
    ``instances`` counts the instances that the CPUs (or SMs) in use touch. ``core_kind`` is set where instances of the
    level differ.
    """

    name: str
    capacity_bytes: int | None
    instances: int | None
    cpus_per_instance: int | None = None
    line_bytes: int | None = None
    source: str = "unknown"
    effective_bytes: int | None = None
    core_kind: str | None = None

    @property
    def sizing_bytes(self) -> int | None:
        """Capacity of one instance that sizing relies on: the effective one where it is known."""
        return self.effective_bytes if self.effective_bytes is not None else self.capacity_bytes


@dataclass(frozen=True)
class Device:
    """One processor and its memory levels, nearest first, the last one named RAM.

    ``kind`` is ``cpu`` or ``cuda`` (or another accelerator family's name); ``units`` counts the physical cores in use,
    or the SMs; ``facts`` holds what else is known (sockets, power limit, ...), each as ``{"value": ..., "source":
    ...}``; ``sources`` says where ``name`` and ``units`` come from. ``warnings`` are sentences for the user.
    """

    id: str
    kind: str
    name: str | None
    units: int | None
    levels: tuple[Level, ...]
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def known_levels(self) -> tuple[Level, ...]:
        """The levels of known capacity: of each name the first kind listed, which is the largest."""
        chosen: dict[str, Level] = {}
        for level in self.levels:
            if level.sizing_bytes is not None:
                chosen.setdefault(level.name, level)
        return tuple(chosen.values())

    def sizing_levels(self) -> tuple[Level, ...]:
        """The hierarchy that sizing uses: the known levels, without the L1 of a GPU.

        Each kernel of an eager step starts with an empty L1, most of which is taken as shared memory: no working set
        stays in it from one kernel to the next. The study's model counts it all the same (`SIZED_L1`).
        """
        skipped = "L1" if self.kind == "cuda" and SIZED_L1 not in self.facts else None
        return tuple(level for level in self.known_levels() if level.name != skipped)

    def caches(self) -> tuple[Level, ...]:
        """The sizing levels that are caches, RAM left out."""
        return tuple(level for level in self.sizing_levels() if level.name != RAM)

    def with_warning(self, warning: str) -> Device:
        """The same device with one more warning."""
        return replace(self, warnings=(*self.warnings, warning))


@dataclass(frozen=True)
class Machine(Record):
    """Everything ``sizer detect`` found: the devices, the CPU first, and warnings that belong to no device."""

    devices: tuple[Device, ...]
    warnings: tuple[str, ...] = ()
    fingerprint: str | None = None

    main = "devices"

    def in_short(self) -> str:
        """The devices by name."""
        return ", ".join(f"{device.name or 'name unknown'} ({device.id})" for device in self.devices)

    def device(self, device_id: str) -> Device | None:
        """The device of that id, or None."""
        return next((device for device in self.devices if device.id == device_id), None)

    def to_dict(self) -> dict[str, Any]:
        """The record ``sizer.machine/1``."""
        return {
            "format": MACHINE_FORMAT,
            "devices": [device_to_dict(device) for device in self.devices],
            "warnings": list(self.warnings),
            "fingerprint": self.fingerprint,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a level of each device."""
        return [
            {"device": device.id, "device_name": device.name, **asdict(level)}
            for device in self.devices
            for level in device.levels
        ]

    def remarks(self) -> tuple[str, ...]:
        """The devices' warnings, each with its device's id, and the machine's own."""
        named = [f"{device.id}: {warning}" for device in self.devices for warning in device.warnings]
        return (*named, *self.warnings)


def is_detected(device: Device) -> bool:
    """Whether the device is one of the running machine, and not a profile's."""
    return device.id == "cpu" or ":" in device.id


def device_to_dict(device: Device) -> dict[str, Any]:
    """A device as plain JSON data; `device_from_dict` is its inverse."""
    record: dict[str, Any] = plain(device)
    for level in record["levels"]:
        if level["core_kind"] is None:
            del level["core_kind"]
    return record


def device_from_dict(record: Mapping[str, Any]) -> Device:
    """Rebuild a device from `device_to_dict`. Raises as `rebuild` does on data that is not such a record."""
    return rebuild(Device, record)
