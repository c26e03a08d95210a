"""A machine as text for a terminal (rich renderables): each device with its levels, one instance of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sizer.base.units import format_bytes
from sizer.diagnosis import Diagnosis
from sizer.method.hardware import RAM, Device, Level, Machine
from sizer.report.layout import cost_line, hanging

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


# Below this a table would break its words apart; levels are listed one below the other instead.
_TABLE_WIDTH = 76
_UNITS = {"cpu": ("core in use", "cores in use"), "cuda": ("SM", "SMs")}


def renderables(machine: Machine, console: Console) -> Iterator[RenderableType]:
    """Each device: its name, its units and facts, its levels with their sources."""
    for index, device in enumerate(machine.devices):
        if index:
            yield Text()
        yield Text(f"{device.name or 'name unknown'} ({device.id})", style="bold")
        yield Text(", ".join(_summary(device)))
        if console.width >= _TABLE_WIDTH:
            yield _level_table(device)
        else:
            yield from _level_list(device)


def _summary(device: Device) -> Iterator[str]:
    """What is known beside the levels, in words."""
    one, many = _UNITS.get(device.kind, ("unit", "units"))
    yield f"number of {many} unknown" if device.units is None else _count(device.units, one, many)
    if device.kind == "cpu":
        yield from _cpu_facts(device)
    capability, power_w = _fact(device, "compute_capability"), _fact(device, "power_limit_w")
    if capability is not None:
        yield f"compute capability {capability}"
    if power_w is not None:
        yield f"power limit {power_w:g} W"
    if _fact(device, "mig_instance"):
        yield "MIG instance"


def _cpu_facts(device: Device) -> Iterator[str]:
    cpus, in_use = _fact(device, "logical_cpus"), _fact(device, "logical_cpus_in_use")
    if cpus is not None:
        yield f"{in_use} of {cpus} logical CPUs" if in_use not in (None, cpus) else _count(cpus, "logical CPU")
    quota = _fact(device, "cpu_quota_cpus")
    if quota is not None:
        yield f"quota of {quota:g} {'CPU' if quota == 1 else 'CPUs'}"
    for name, noun in (("sockets", "socket"), ("numa_nodes", "NUMA node")):
        number = _fact(device, name)
        if number is not None:
            yield _count(number, noun)
    if _fact(device, "hypervisor") is not None:
        yield "virtual machine"


def _fact(device: Device, name: str) -> Any:
    return device.facts.get(name, {}).get("value")


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def _level_table(device: Device) -> Table:
    """One row a level; the columns that no level fills are left out."""
    columns = [
        ("level", False, [level.name for level in device.levels]),
        ("kind", False, [level.core_kind or "" for level in device.levels]),
        ("one instance", True, [format_bytes(level.capacity_bytes) for level in device.levels]),
        ("effective", True, [_effective(level) for level in device.levels]),
        ("instances", True, [_number(level.instances) for level in device.levels]),
        ("CPUs each", True, [_number(level.cpus_per_instance) for level in device.levels]),
        ("line", True, [format_bytes(level.line_bytes) if level.line_bytes else "" for level in device.levels]),
        ("source", False, [_source(level) for level in device.levels]),
    ]
    filled = [column for column in columns if any(column[2])]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for title, is_number, _ in filled:
        table.add_column(title, justify="right" if is_number else "left", overflow="fold", min_width=len(title))
    for row in zip(*(cells for _, _, cells in filled), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _level_list(device: Device) -> Iterator[RenderableType]:
    """The same for a narrow terminal: a line a level, what belongs to it indented below."""
    for level in device.levels:
        size = format_bytes(level.capacity_bytes)
        effective = f" ({_effective(level)} effective)" if level.effective_bytes is not None else ""
        count = f" x {level.instances}" if level.instances is not None and level.name != RAM else ""
        yield Text(f"{level.name}  {size}{effective}{count}")
        sharing = _count(level.cpus_per_instance, "CPU") + " each" if level.cpus_per_instance is not None else ""
        line = f"lines of {level.line_bytes} bytes" if level.line_bytes is not None else ""
        details = ", ".join(part for part in (level.core_kind, sharing, line) if part)
        for text in filter(None, (details, _source(level))):
            yield Padding(Text(text, overflow="fold"), (0, 0, 0, 4), expand=False)


def _source(level: Level) -> str:
    """Where the level was read, in the short form that every Linux user knows."""
    return level.source.replace("/sys/devices/system/cpu/", "sysfs ")


def _effective(level: Level) -> str:
    return format_bytes(level.effective_bytes) if level.effective_bytes is not None else ""


def _number(number: int | None) -> str:
    return "" if number is None else f"{number}"


def diagnosis_renderables(record: Diagnosis, console: Console) -> Iterator[RenderableType]:
    """One page: versions, machine with sources, coefficients in use, folders, every warning."""
    yield Text("versions", style="bold")
    yield Text(", ".join(f"{name} {version or 'not installed'}" for name, version in record.versions.items()))
    yield Text(record.platform)
    yield Text()
    yield from renderables(record.machine, console)
    yield Text()
    yield Text("energy meters", style="bold")
    for meter in record.meters:
        missing = "; ".join(filter(None, (meter.problem, meter.remedy)))
        works = meter.source if meter.available else f"not available: {missing}"
        yield hanging(f"{meter.name}: ", works or "available", console.width)
    yield Text()
    yield Text("costs", style="bold")
    if record.coefficients is not None:
        yield Text(cost_line(record.machine.devices[0], record.coefficients))
    yield Text()
    yield Text("folders", style="bold")
    for name, path in record.folders.items():
        yield hanging(f"{name}: ", path, console.width)
