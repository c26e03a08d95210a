"""A validation as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.base.units import format_count, format_quantity, format_widths
from sizer.calibration.cluster import ClusterCalibration
from sizer.calibration.record import Calibration, Errors, SizeErrors, ValidatedNetwork, Validation
from sizer.method.coefficients import LEVEL_TERMS, PLAIN_TERMS, term_unit
from sizer.report.layout import hanging, levels_line, plain_table

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


def cluster_renderables(record: ClusterCalibration, console: Console) -> Iterator[RenderableType]:
    """Each kind of node with its addresses and its calibration, then how to compare them."""
    for kind in record.kinds:
        yield hanging("nodes: ", ", ".join(kind.addresses), console.width)
        yield from renderables(kind.calibration, console)
        yield Text()
    names = ",".join(kind.calibration.name for kind in record.kinds)
    yield hanging("", f"`sizer recommend --fleet {names}` compares them.", console.width)


def validation_renderables(record: Validation, console: Console) -> Iterator[RenderableType]:
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
