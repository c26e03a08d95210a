"""A recommendation as a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import format_cost, format_count, format_network, format_times, format_widths
from sizer.method.cost_to_loss import HIGH_RATE, carried_on
from sizer.method.recommendation import Candidate, CurvePoint, Recommendation
from sizer.report.layout import BLANK, Block, Column, Curve, Line, Paragraph, Table, device_lines, label_text, reasoned

if TYPE_CHECKING:
    from sizer.method.recommendation import Anchor

#: The optimum is worth a word before the list where it costs less than this share of the first candidate's cost.
_MUCH_CHEAPER = 0.9


def recommendation_report(record: Recommendation) -> Iterator[Block]:
    """Device, table of candidates with reasons, optimum, and the curve with the cache edges."""
    yield from _heading(record)
    if record.candidates:
        yield reasoned(_candidate_table(record), [candidate.why for candidate in record.candidates])
    best = record.optimum
    yield Paragraph(f"optimum of all sizes: {_named(best)}, {_cost(best)} a datum; {best.why}", " *  ")
    if record.largest is not None:
        yield Paragraph(f"largest within the limits: {_named(record.largest)}; {record.largest.why}", " ^  ")
    if any((one.learning_rate or 0.0) > HIGH_RATE.above for one in (*record.candidates, best)):
        yield Paragraph(HIGH_RATE.advice, " ~  ")
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
    yield from (Paragraph(text) for text in _how_compared(record))
    yield BLANK


def _how_compared(record: Recommendation) -> Iterator[str]:
    """What the order is by, and where the optimum is much cheaper than the first candidate."""
    listed = record.candidates or (record.optimum,)
    said = "Order: epochs by the paper's equation 10 alone."
    if record.hardness is not None:
        said = f"Order: expected cost to reach {record.hardness.basis}"
        said += "." if record.best.learning_rate is None else f", each size at its learning rate{_weights(listed)}."
        if (curves := carried_on(record.request)) is not None:
            said = f"{said[:-1]} ({curves})."
        said += " reached: easy/medium/hard targets, in %."
    first, least = record.best.relative_cost_to_loss, record.optimum.relative_cost_to_loss
    if record.candidates and first and least and least < _MUCH_CHEAPER * first:
        named = format_widths(record.optimum.widths)
        said += f" The optimum of all sizes, {named}, costs {100 * (1 - least / first):.0f} % less than rank 1."
    yield said


def _weights(listed: Sequence[Candidate]) -> str:
    """What is said once of the weights, where it is the same for every size."""
    averaged = {one.averaged for one in listed}
    if averaged == {True}:
        return ", weights averaged over two epochs"
    return ", weights as they are" if averaged == {False} else ""


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
    return Table([*columns, *_cost_columns(record, candidates), *_training_columns(record, candidates)], firm=True)


def _cost_columns(record: Recommendation, candidates: Sequence[Candidate]) -> Iterator[Column]:
    known, of_epoch = record.coefficients.source != "none", record.request.observations is not None
    costs = [_cost(one) for one in candidates]
    title = "/datum" if of_epoch else f"{record.coefficients.quantity}/datum"
    yield Column(title, costs, right=True, told=", {} a datum" if known else "")
    if of_epoch:
        costs = [format_cost(one.energy_per_epoch_j, one.time_per_epoch_s) for one in candidates]
        yield Column("/epoch", costs, right=True, told=", {} an epoch" if known else "")


def _training_columns(record: Recommendation, candidates: Sequence[Candidate]) -> Iterator[Column]:
    """The learning rate, what is reached at it, and the cost that the list is ordered by."""
    if any(one.learning_rate is not None for one in candidates):
        said_once = bool(_weights(candidates))
        rates = [rate_text(one, weights=not said_once) for one in candidates]
        yield Column("rate", rates, right=True, told=", rate {}")
    if record.hardness is not None:
        yield Column("reached", [chances_text(one) for one in candidates], right=True, told=", reached {} %")
    title = "cost to loss" if record.hardness is None else "cost"
    costs = [format_times(one.relative_cost_to_loss) for one in candidates]
    yield Column(title, costs, right=True, told=", cost to loss {}")


def rate_text(candidate: Candidate, weights: bool = True) -> str:
    """The learning rate, and with ``weights`` whether they are averaged; empty where none is suggested."""
    rate = "" if candidate.learning_rate is None else f"{candidate.learning_rate:g}"
    return f"{rate} avg" if candidate.averaged and weights else rate


def chances_text(candidate: Candidate) -> str:
    """``99/85/30``: the chances to reach easy, medium and hard targets in %, never quite certain or none."""
    found = candidate.chance_to_reach or {}
    return "/".join(f"{min(max(100 * chance, 1), 99):.0f}" for chance in sorted(found.values(), reverse=True))


def fill_text(anchor: Anchor | None) -> str:
    """The cache that a size was picked for, and how often its working set fills it; empty without one."""
    return "" if anchor is None else f"{anchor.working_set} {anchor.level} {anchor.fill:.2f}x"


def _cost(candidate: Candidate) -> str:
    return format_cost(candidate.energy_per_datum_j, candidate.time_per_datum_s)


def _named(candidate: Candidate) -> str:
    return format_network(candidate.widths, candidate.num_free_parameters)


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
