"""A diagnosis as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from sizer.diagnosis import Diagnosis
from sizer.report import machine
from sizer.report.layout import cost_line, hanging

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def renderables(record: Diagnosis, console: Console) -> Iterator[RenderableType]:
    """One page: versions, machine with sources, coefficients in use, folders, every warning."""
    yield Text("versions", style="bold")
    yield Text(", ".join(f"{name} {version or 'not installed'}" for name, version in record.versions.items()))
    yield Text(record.platform)
    yield Text()
    yield from machine.renderables(record.machine, console)
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
