"""Shapes that several reports share."""

from __future__ import annotations

import textwrap

from rich.table import Table
from rich.text import Text

from sizer.base.units import format_bytes, format_quantity
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, is_detected


def plain_table() -> Table:
    """A table without lines, its headings bold."""
    return Table(box=None, padding=(0, 2, 0, 0), header_style="bold")


def hanging(head: str, text: str, width: int) -> Text:
    """A paragraph of at most ``width`` columns whose lines after the first are indented by the head's width."""
    lines = textwrap.wrap(text, max(width - len(head), 10), break_on_hyphens=False) or [""]
    return Text(head + f"\n{' ' * len(head)}".join(lines), overflow="fold")


def levels_line(device: Device) -> str:
    """A device's hierarchy on one line, one instance of each level: ``L1 32 KiB x2, L2 1 MiB x2, RAM 23.5 GiB``."""
    parts = []
    for level in device.sizing_levels():
        count = f" x{level.instances}" if (level.instances or 1) > 1 else ""
        effective = "" if level.effective_bytes is None else " effective"
        parts.append(f"{level.name} {format_bytes(level.sizing_bytes)}{effective}{count}")
    return ", ".join(parts)


def cost_line(device: Device, coefficients: Coefficients) -> str:
    """What the numbers are and how sure: the label, where the coefficients are from, the 90 % interval."""
    remedy = " `sizer calibrate` measures this machine." if is_detected(device) else ""
    if coefficients.source == "none":
        return f"No cost coefficients: ordered by operations alone.{remedy}"
    quantity = coefficients.quantity.capitalize()
    line = f"{quantity}: {coefficients.label}, {coefficients.basis}."
    if coefficients.interval is not None:
        low, high = coefficients.interval
        line += f" 90 % interval: {low:.2g} to {high:.2g} times the value."
    if coefficients.label == "estimated":
        line += remedy
    return line


def cost_text(energy_j: float | None, time_s: float | None) -> str:
    """A cost in J where that is known, else in s."""
    if energy_j is not None:
        return format_quantity(energy_j, "J")
    return format_quantity(time_s, "s")
