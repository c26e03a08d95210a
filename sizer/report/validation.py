"""A validation as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.calibrating.validated import Errors, SizeErrors, ValidatedNetwork, Validation
from sizer.report.layout import hanging, levels_line, plain_table
from sizer.units import format_count, format_quantity, format_widths

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def renderables(record: Validation, console: Console) -> Iterator[RenderableType]:
    """The device and its calibration, the error table by size, the networks that are furthest off."""
    yield Text(f"{record.device.name or record.device.id} ({record.device.id})", style="bold")
    yield Text(levels_line(record.device))
    yield hanging(f"{record.profile}: ", f"{record.coefficients.basis}.", console.width)
    text = f"{record.errors.networks} networks that the calibration never saw (seed {record.seed}), each timed "
    yield hanging("", f"{text}{record.repeats} times or more.", console.width)
    yield Text()
    yield Text("|predicted / measured - 1| of the time of a step")
    yield _error_table(record.errors, record.by_size())
    yield Text()
    yield Text("furthest off")
    yield _network_table(record.worst())
    if record.measurements is not None:
        yield Text()
        yield hanging("timings kept in ", f"{record.measurements}", console.width)


def _error_table(total: Errors, by_size: Sequence[SizeErrors]) -> Table:
    table = plain_table()
    table.add_column("parameters")
    for title in ("networks", "mean", "median", "95th pct", "in 90 % interval"):
        table.add_column(title, justify="right")
    for size in by_size:
        table.add_row(_range(size), *_cells(size.errors))
    table.add_row("all", *_cells(total), style="bold")
    return table


def _cells(errors: Errors) -> tuple[str, ...]:
    inside = "unknown" if errors.coverage is None else f"{errors.coverage:.0%}"
    return f"{errors.networks}", f"{errors.mean:.1%}", f"{errors.median:.1%}", f"{errors.p95:.1%}", inside


def _range(size: SizeErrors) -> str:
    if size.low is None:
        return "any" if size.high is None else f"below {format_count(size.high)}"
    if size.high is None:
        return f"from {format_count(size.low)}"
    return f"{format_count(size.low)} to {format_count(size.high)}"


def _network_table(networks: Sequence[ValidatedNetwork]) -> Table:
    table = plain_table()
    table.add_column("network", overflow="fold")
    for title in ("parameters", "batch", "predicted", "measured", "ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    for network in networks:
        table.add_row(
            format_widths((network.input_dim, *network.widths)),
            format_count(network.num_free_parameters),
            f"{network.batch_size}",
            format_quantity(network.predicted_s, "s"),
            format_quantity(network.measured_s, "s"),
            f"{network.ratio:.2f}",
        )
    return table
