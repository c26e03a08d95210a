"""A calibration as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.calibrating.result import Calibration
from sizer.coefficients import LEVEL_TERMS, PLAIN_TERMS, term_unit
from sizer.report.layout import hanging, levels_line, plain_table
from sizer.units import format_quantity

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def renderables(record: Calibration, console: Console) -> Iterator[RenderableType]:
    """The hierarchy with what it really offers, each coefficient with its meaning, the error, where it was kept."""
    yield Text(f"{record.device.name or record.device.id} ({record.device.id})", style="bold")
    yield Text(levels_line(record.device))
    for quantity, found in record.fits.items():
        yield Text()
        low, high = found.interval
        networks = record.networks if quantity == "time" else record.metered
        yield hanging(
            f"{quantity}: ",
            f"{networks} networks; cross-validated error {found.mean_error:.1%} mean, "
            f"{found.error_quantile(0.5):.1%} median, {found.error_quantile(0.95):.1%} at the 95th percentile; "
            f"90 % interval {low:.2f} to {high:.2f} times the prediction",
            console.width,
        )
        yield term_table(found.terms, quantity)
    yield Text()
    if record.meter is not None:
        yield hanging("meter: ", f"{record.meter}; {record.metered} networks metered", console.width)
    if record.power is not None and "energy" not in record.fits:
        text = f"estimated, the time x {record.power.busy_w:g} W while training ({record.power.basis})"
        yield hanging("energy: ", text, console.width)
    if record.noise is not None:
        yield Text(f"noise: repeated timings of a network differ by {record.noise:.1%} (median)")
    if record.path is not None:
        yield hanging("kept as ", f"{record.name} in {record.path}", console.width)


def term_table(terms: Mapping[str, float], quantity: str) -> Table:
    """Each coefficient with its unit and meaning."""
    table = plain_table()
    table.add_column("coefficient")
    table.add_column("value", justify="right")
    table.add_column("of", overflow="fold")
    for name, value in terms.items():
        kind, _, level = name.partition(".")
        *_, meaning = LEVEL_TERMS[kind] if level else PLAIN_TERMS[kind]
        unit, _, counted = term_unit(name, quantity).partition("/")
        table.add_row(name, f"{format_quantity(value, unit)}/{counted}", Text(meaning))
    return table
