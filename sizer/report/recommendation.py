"""A recommendation as a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import format_cost, format_count, format_network, format_times, format_widths
from sizer.method.recommendation import Candidate, CurvePoint, OneShot, Recommendation
from sizer.report.layout import BLANK, Block, Column, Curve, Line, Paragraph, Table, device_lines, label_text, reasoned

if TYPE_CHECKING:
    from sizer.method.recommendation import Anchor


def recommendation_report(record: Recommendation) -> Iterator[Block]:
    """Device, table of candidates with reasons, optimum, and the curve with the cache edges."""
    yield from _heading(record)
    if record.candidates:
        yield reasoned(_candidate_table(record), [candidate.why for candidate in record.candidates])
    if record.one_shot is not None:
        yield Paragraph(_one_shot_text(record.one_shot), " >  ")
    best = record.optimum
    yield Paragraph(f"optimum of all sizes: {_named(best)}, {_cost(best)} a datum; {best.why}", " *  ")
    if record.largest is not None:
        yield Paragraph(f"largest within the limits: {_named(record.largest)}; {record.largest.why}", " ^  ")
    yield BLANK
    yield _curve(record)
    for candidate in record.candidates:
        for warning in candidate.warnings:
            yield Paragraph(f"in {candidate.rank}, {warning}", " !  ")


def _heading(record: Recommendation) -> Iterator[Block]:
    request = record.request
    yield from device_lines(record.device)
    settings = f"{request.input_dim} inputs, {request.output_dim} outputs, {request.dtype}"
    if request.purpose == "training":
        settings += f", {request.optimizer}"
    yield Line(f"{settings}, batch {' '.join(map(str, request.batch_size))}, for {request.purpose}")
    yield Line(label_text(record.device, record.coefficients))
    yield BLANK


def _candidate_table(record: Recommendation) -> Table:
    """The candidates; columns that would be the same in every row are left out."""
    request, candidates = record.request, record.candidates
    columns = [Column("#", [f"{one.rank}" for one in candidates], right=True)]
    if len(request.shape) > 1:
        columns.append(Column("shape", [one.shape for one in candidates], told="{}, "))
    if len(request.depth) > 1:
        columns.append(Column("depth", [f"{one.depth}" for one in candidates], told="depth {}, "))
    if len(request.batch_size) > 1:
        columns.append(Column("batch", [f"{one.batch_size}" for one in candidates], told="batch {}, "))
    columns.append(Column("widths", [format_widths(one.widths) for one in candidates], folds=True, told="{}"))
    counts = [format_count(one.num_free_parameters) for one in candidates]
    columns.append(Column("parameters", counts, right=True, told=", {} parameters"))
    columns.append(Column("fills", [fill_text(one.anchor) for one in candidates]))
    return Table([*columns, *_cost_columns(record, candidates)])


def _cost_columns(record: Recommendation, candidates: Sequence[Candidate]) -> Iterator[Column]:
    known = record.coefficients.source != "none"
    costs = [_cost(one) for one in candidates]
    yield Column(f"{record.coefficients.quantity}/datum", costs, right=True, told=", {} a datum" if known else "")
    if record.request.observations is not None:
        costs = [format_cost(one.energy_per_epoch_j, one.time_per_epoch_s) for one in candidates]
        yield Column("/epoch", costs, right=True, told=", {} an epoch" if known else "")
    to_loss = [format_times(one.relative_cost_to_loss) for one in candidates]
    yield Column("cost to loss", to_loss, right=True, told=", cost to loss {}")


def fill_text(anchor: Anchor | None) -> str:
    """The cache that a size was picked for, and how often its working set fills it; empty without one."""
    return "" if anchor is None else f"{anchor.working_set} {anchor.level} {anchor.fill:.2f}x"


def _cost(candidate: Candidate) -> str:
    return format_cost(candidate.energy_per_datum_j, candidate.time_per_datum_s)


def _named(candidate: Candidate) -> str:
    return format_network(candidate.widths, candidate.num_free_parameters)


def _one_shot_text(one_shot: OneShot) -> str:
    return (
        f"in one shot, for the target: {_named(one_shot.candidate)}, {_cost(one_shot.candidate)} a datum; cheapest of "
        f"the sizes that are trusted to reach it ({one_shot.basis})"
    )


def _curve(record: Recommendation) -> Curve:
    """The curve of the optimum's family, with the ranks of one digit on it."""
    best = record.optimum
    settings = f"{best.shape}, depth {best.depth}, batch {best.batch_size}"
    marks = {
        candidate.num_free_parameters: f"{candidate.rank}"
        for candidate in record.candidates
        if family(candidate) == family(best) and (candidate.rank or 10) < 10
    }
    marks[best.num_free_parameters] = "*"
    points = [point for point in record.curve if family(point) == family(best)]
    return Curve(Line(f"cost of reaching a loss by number of parameters ({settings})"), points, marks)


def family(network: CurvePoint | Candidate) -> tuple[str, int, int]:
    """What networks of one curve have in common: shape, depth and batch size."""
    return network.shape, network.depth, network.batch_size
