"""A machine as a report, each device with its levels, one instance of each; and the page for a bug report around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sizer.base.units import counted, format_bytes
from sizer.method.hardware import RAM, Device, Level, Machine
from sizer.report.layout import BLANK, Block, Column, Detail, Fitted, Line, Paragraph, Table, label_text

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.diagnosis import Diagnosis

#: Below this a table would break its words apart; levels are listed one below the other instead.
_TABLE_WIDTH = 76
_UNITS = {"cpu": ("core in use", "cores in use"), "cuda": ("SM", "SMs")}


def machine_report(machine: Machine) -> Iterator[Block]:
    """Each device: its name, its units and facts, its levels with their sources."""
    for index, device in enumerate(machine.devices):
        if index:
            yield BLANK
        yield Line(f"{device.name or 'name unknown'} ({device.id})", strong=True)
        yield Line(", ".join(_summary(device)))
        yield Fitted(_level_table(device), [], list(_level_list(device)), _TABLE_WIDTH)


def diagnosis_report(record: Diagnosis) -> Iterator[Block]:
    """One page: versions, machine with sources, coefficients in use, folders."""
    yield Line("versions", strong=True)
    yield Line(", ".join(f"{name} {version or 'not installed'}" for name, version in record.versions.items()))
    yield Line(record.platform)
    yield BLANK
    yield from machine_report(record.machine)
    yield BLANK
    yield Line("energy meters", strong=True)
    for meter in record.meters:
        missing = "; ".join(filter(None, (meter.problem, meter.remedy)))
        works = meter.source if meter.available else f"not available: {missing}"
        yield Paragraph(works or "available", f"{meter.name}: ")
    yield BLANK
    yield Line("costs", strong=True)
    if record.coefficients is not None:
        yield Line(label_text(record.machine.devices[0], record.coefficients))
    yield BLANK
    yield Line("folders", strong=True)
    for name, path in record.folders.items():
        yield Paragraph(path, f"{name}: ")


def _summary(device: Device) -> Iterator[str]:
    """What is known beside the levels, in words."""
    one, many = _UNITS.get(device.kind, ("unit", "units"))
    yield f"number of {many} unknown" if device.units is None else counted(device.units, one, many)
    if device.kind == "cpu":
        yield from _cpu_facts(device)
    if (capability := _fact(device, "compute_capability")) is not None:
        yield f"compute capability {capability}"
    if (power_w := _fact(device, "power_limit_w")) is not None:
        yield f"power limit {power_w:g} W"
    if _fact(device, "mig_instance"):
        yield "MIG instance"


def _cpu_facts(device: Device) -> Iterator[str]:
    cpus, in_use = _fact(device, "logical_cpus"), _fact(device, "logical_cpus_in_use")
    if cpus is not None:
        yield f"{in_use} of {cpus} logical CPUs" if in_use not in (None, cpus) else counted(cpus, "logical CPU")
    if (quota := _fact(device, "cpu_quota_cpus")) is not None:
        yield f"quota of {quota:g} {'CPU' if quota == 1 else 'CPUs'}"
    for name, noun in (("sockets", "socket"), ("numa_nodes", "NUMA node")):
        if (number := _fact(device, name)) is not None:
            yield counted(number, noun)
    if _fact(device, "hypervisor") is not None:
        yield "virtual machine"


def _fact(device: Device, name: str) -> Any:
    return device.facts.get(name, {}).get("value")


def _level_table(device: Device) -> Table:
    """One row a level; the columns that no level fills are left out."""
    levels = device.levels
    columns = (
        Column("level", [level.name for level in levels], folds=True),
        Column("kind", [level.core_kind or "" for level in levels], folds=True),
        Column("one instance", [format_bytes(level.capacity_bytes) for level in levels], right=True, folds=True),
        Column("effective", [_bytes(level.effective_bytes) for level in levels], right=True, folds=True),
        Column("instances", [_number(level.instances) for level in levels], right=True, folds=True),
        Column("CPUs each", [_number(level.cpus_per_instance) for level in levels], right=True, folds=True),
        Column("line", [_bytes(level.line_bytes or None) for level in levels], right=True, folds=True),
        Column("source", [_source(level) for level in levels], folds=True),
    )
    return Table([column for column in columns if any(column.cells)], firm=True)


def _level_list(device: Device) -> Iterator[Block]:
    """The same for a narrow terminal: a line a level, what belongs to it indented below."""
    for level in device.levels:
        effective = f" ({_bytes(level.effective_bytes)} effective)" if level.effective_bytes is not None else ""
        count = f" x {level.instances}" if level.instances is not None and level.name != RAM else ""
        yield Line(f"{level.name}  {format_bytes(level.capacity_bytes)}{effective}{count}")
        sharing = counted(level.cpus_per_instance, "CPU") + " each" if level.cpus_per_instance is not None else ""
        line = f"lines of {level.line_bytes} bytes" if level.line_bytes is not None else ""
        details = ", ".join(filter(None, (level.core_kind, sharing, line)))
        yield from map(Detail, filter(None, (details, _source(level))))


def _source(level: Level) -> str:
    """Where the level was read, in the short form that every Linux user knows."""
    return level.source.replace("/sys/devices/system/cpu/", "sysfs ")


def _bytes(size: int | None) -> str:
    return "" if size is None else format_bytes(size)


def _number(number: int | None) -> str:
    return "" if number is None else f"{number}"
