"""A recommendation as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sizer.base.units import format_count, format_widths
from sizer.method.recommendation import Candidate, OneShot, Recommendation
from sizer.report.layout import cost_line, cost_text, hanging, levels_line, plain_table
from sizer.report.text_chart import chart

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_USUAL_WIDTH = 80
_USUAL_COLUMNS = 6


def renderables(record: Recommendation, console: Console) -> Iterator[RenderableType]:
    """Device, table of candidates with reasons, optimum, and the curve with the cache edges."""
    yield from _heading(record)
    yield from _candidates(record, console)
    if record.one_shot is not None:
        yield hanging(" >  ", _one_shot_line(record.one_shot), console.width)
    yield hanging(" *  ", _optimum_line(record), console.width)
    if record.largest is not None:
        yield hanging(
            " ^  ", f"largest within the limits: {_named(record.largest)}; {record.largest.why}", console.width
        )
    yield Text()
    yield from _curve(record, console)
    for candidate in record.candidates:
        for warning in candidate.warnings:
            yield hanging(" !  ", f"in {candidate.rank}, {warning}", console.width)


def _heading(record: Recommendation) -> Iterator[RenderableType]:
    request = record.request
    yield Text(f"{record.device.name or record.device.id} ({record.device.id})", style="bold")
    yield Text(levels_line(record.device))
    settings = f"{request.input_dim} inputs, {request.output_dim} outputs, {request.dtype}"
    if request.purpose == "training":
        settings += f", {request.optimizer}"
    yield Text(f"{settings}, batch {_listed(request.batch_size)}, for {request.purpose}")
    yield Text(cost_line(record.device, record.coefficients))
    yield Text()


def _listed(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values))


def _candidates(record: Recommendation, console: Console) -> Iterator[RenderableType]:
    """A table and the reasons below it; in a terminal too narrow for the table, its cells before each reason."""
    table = _candidate_table(record)
    wide = bool(record.candidates) and _has_room(table, console)
    if wide:
        yield table
        yield Text()
    for candidate in record.candidates:
        told = "" if wide else f"{', '.join(_told(record, candidate))}; "
        yield hanging(f"{candidate.rank:>2}  ", told + candidate.why, console.width)


def _has_room(table: Table, console: Console) -> bool:
    """Whether a table needs no folding. The usual one fits 80 columns, and measuring costs as much as drawing."""
    if console.width >= _USUAL_WIDTH and len(table.columns) <= _USUAL_COLUMNS:
        return True
    return console.measure(table, options=console.options.update_width(1000)).maximum <= console.width


def _told(record: Recommendation, candidate: Candidate) -> Iterator[str]:
    """What the table would have said, for a terminal too narrow for it."""
    request = record.request
    if len(request.shape) > 1:
        yield candidate.shape
    if len(request.depth) > 1:
        yield f"depth {candidate.depth}"
    if len(request.batch_size) > 1:
        yield f"batch {candidate.batch_size}"
    yield f"{format_widths(candidate.widths)}"
    yield f"{format_count(candidate.num_free_parameters)} parameters"
    if record.coefficients.source != "none":
        yield f"{cost_text(candidate.energy_per_datum_j, candidate.time_per_datum_s)} a datum"
        if request.observations is not None:
            yield f"{cost_text(candidate.energy_per_epoch_j, candidate.time_per_epoch_s)} an epoch"
    if candidate.relative_cost_to_loss is not None:
        yield f"cost to loss {candidate.relative_cost_to_loss:.3g}x"


def _candidate_table(record: Recommendation) -> Table:
    """The candidates; columns that would be the same in every row are left out."""
    request = record.request
    table = plain_table()
    table.add_column("#", justify="right")
    for title, several in (("shape", request.shape), ("depth", request.depth), ("batch", request.batch_size)):
        if len(several) > 1:
            table.add_column(title)
    table.add_column("widths", overflow="fold")
    table.add_column("parameters", justify="right")
    table.add_column("fills")
    table.add_column(f"{record.coefficients.quantity}/datum", justify="right")
    if request.observations is not None:
        table.add_column("/epoch", justify="right")
    table.add_column("cost to loss", justify="right")
    for candidate in record.candidates:
        # Text, not str: no cell holds markup, and looking for it takes rich as long as drawing the table.
        table.add_row(*map(Text, _cells(record, candidate)))
    return table


def _cells(record: Recommendation, candidate: Candidate) -> Iterator[str]:
    request = record.request
    yield f"{candidate.rank}"
    if len(request.shape) > 1:
        yield candidate.shape
    if len(request.depth) > 1:
        yield f"{candidate.depth}"
    if len(request.batch_size) > 1:
        yield f"{candidate.batch_size}"
    yield format_widths(candidate.widths)
    yield format_count(candidate.num_free_parameters)
    anchor = candidate.anchor
    yield f"{anchor.working_set} {anchor.level} {anchor.fill:.2f}x" if anchor else ""
    yield cost_text(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    if request.observations is not None:
        yield cost_text(candidate.energy_per_epoch_j, candidate.time_per_epoch_s)
    relative = candidate.relative_cost_to_loss
    yield "" if relative is None else f"{relative:.3g}x"


def _named(candidate: Candidate) -> str:
    return f"{format_widths(candidate.widths)} ({format_count(candidate.num_free_parameters)} parameters)"


def _one_shot_line(one_shot: OneShot) -> str:
    candidate = one_shot.candidate
    cost = cost_text(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    return (
        f"in one shot, for the target: {_named(candidate)}, {cost} a datum; cheapest of the sizes that are trusted to "
        f"reach it ({one_shot.basis})"
    )


def _optimum_line(record: Recommendation) -> str:
    optimum = record.optimum
    cost = cost_text(optimum.energy_per_datum_j, optimum.time_per_datum_s)
    return f"optimum of all sizes: {_named(optimum)}, {cost} a datum; {optimum.why}"


def _curve(record: Recommendation, console: Console) -> Iterator[RenderableType]:
    """The curve of the best candidate's family."""
    best = record.optimum
    family = (best.shape, best.depth, best.batch_size)
    points = [point for point in record.curve if (point.shape, point.depth, point.batch_size) == family]
    marks = {
        candidate.num_free_parameters: str(candidate.rank)
        for candidate in record.candidates
        if (candidate.shape, candidate.depth, candidate.batch_size) == family and (candidate.rank or 10) < 10
    }
    marks[best.num_free_parameters] = "*"
    unicode = (console.encoding or "").lower().startswith("utf")
    lines = list(chart(points, marks, min(console.width, 100), unicode))
    if lines:
        yield Text(
            f"cost of reaching a loss by number of parameters "
            f"({best.shape}, depth {best.depth}, batch {best.batch_size})"
        )
        yield Text("\n".join(lines), no_wrap=True, overflow="crop")
