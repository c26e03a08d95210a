"""A recommendation as a report: what to train first, then the sizes beside it, then what that rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import (
    counted,
    format_cost,
    format_count,
    format_network,
    format_quantity,
    format_times,
    format_widths,
)
from sizer.method.cost_to_loss import HIGH_RATE, carried_on
from sizer.method.epochs_to_loss import DIFFICULTIES
from sizer.method.recommendation import Candidate, CurvePoint, Recommendation
from sizer.method.training_step import SET_NAMES
from sizer.report.layout import (
    BLANK,
    Block,
    Column,
    Curve,
    Line,
    More,
    Paragraph,
    Table,
    answer,
    device_lines,
    label_text,
    reasoned,
    short_label,
)

if TYPE_CHECKING:
    from sizer.method.recommendation import Anchor

#: The optimum is worth a word where it costs less than this share of the first candidate's cost.
_MUCH_CHEAPER = 0.9
#: Rows of the short table, unless another number was asked for; a definition: about what a screen holds with the rest.
_SHORT, _USUAL_TOP = 5, 10
#: Layers up to which a network is written out.
_WRITTEN_OUT = 7
_OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "sgd-momentum": "SGD with momentum"}


def recommendation_report(record: Recommendation) -> Iterator[Block]:
    """The size to train and how, what it costs, what it reaches, the sizes beside it; behind it why, and the curve."""
    yield from answer(_train(record), _costs(record), _reaches(record), *_doubts(record))
    yield BLANK
    shown = record.candidates if record.request.top != _USUAL_TOP else record.candidates[:_SHORT]
    if shown:
        yield _short_table(record, shown)
    if (rest := len(record.candidates) - len(shown)) > 0:
        yield Line(f"and {rest} more")
    yield More(list(_behind(record)), "why each size, its working sets, the optimum, the curve of cost against size")


def _train(record: Recommendation) -> str:
    """``Train 78x3-1: 30-78-78-78-1, ReLU, 14,821 parameters, Adam at 0.008, weights averaged``."""
    best, request = record.best, record.request
    written = "-".join(map(str, (best.input_dim, *best.widths)))
    parts = [written] if len(best.widths) <= _WRITTEN_OUT else [counted(best.input_dim, "input")]
    parts += ["ReLU", counted(best.num_free_parameters, "parameter")]
    if best.shape != "rectangle" or len(request.shape) > 1:
        parts.append(best.shape)
    if len(request.batch_size) > 1:
        parts.append(f"batch {best.batch_size}")
    if request.purpose == "training":
        rate = "" if best.learning_rate is None else f" at {best.learning_rate:g}"
        parts.append(f"{_OPTIMIZERS.get(request.optimizer, request.optimizer)}{rate}")
        parts += [] if best.averaged is None else ["weights averaged" if best.averaged else "raw weights"]
    verb = "Train" if request.purpose == "training" else "Take"
    return f"{verb} {format_widths(best.widths)}: {', '.join(parts)}"


def _costs(record: Recommendation) -> str:
    """``58 ms an epoch (45 ms to 83 ms, calibrated). From 56x3-1 to 120x3-1 within 10 % of its cost to a loss``."""
    best, near = record.best, record.near_best
    per_datum = best.time_per_datum_s if best.energy_per_datum_j is None else best.energy_per_datum_j
    if per_datum is None:
        told = "What it costs here is not known: sizes are compared by their operations."
    else:
        whole = best.time_per_epoch_s if best.energy_per_epoch_j is None else best.energy_per_epoch_j
        cost, what = (per_datum, "a datum") if whole is None else (whole, "an epoch")
        unit = "s" if best.energy_per_datum_j is None else "J"
        ends = [format_quantity(cost * end / per_datum, unit) for end in best.interval or ()]
        between = f"{' to '.join(ends)}, " if ends else ""
        told = f"{format_quantity(cost, unit)} {what} ({between}{best.label})."
    if near is not None and near.smallest.widths != near.largest.widths:
        low, high = format_widths(near.smallest.widths), format_widths(near.largest.widths)
        told += f" From {low} to {high} within {100 * (near.within - 1):.0f} % of its cost to a loss."
    return told


def _reaches(record: Recommendation) -> str:
    """``Medium targets are reached with 85 %; else go up: 231x3-1 (1.4x), 354x3-1 (2.3x)``."""
    if record.request.purpose != "training":
        return ""
    sizes = [f"{format_widths(one.widths)} ({format_times(one.relative_cost_to_loss)})" for one in record.next_sizes]
    up = f"; else go up: {', '.join(sizes).replace('(', '(cost ', 1)}." if sizes else "."
    chance, chances = _chance(record, record.best), record.best.chance_to_reach or {}
    if chance is None:
        return "Which losses it reaches is not predicted: when the loss stalls above yours, go up a size."
    if record.request.pilots:
        return f"The target is reached with {_percent(chance)}{up}{_if_too_high(record)}"
    hard = "" if record.request.difficulty else f", hard ones with {_percent(chances['hard'])}"
    reached = f"{_aim(record).capitalize()} targets are reached with {_percent(chance)}{hard} ({_meant(record)})"
    return f"{reached}{up}{_if_too_high(record)}"


def _if_too_high(record: Recommendation) -> str:
    """What to do first where the suggested rate is too high for the task."""
    high = record.request.learning_rate is None and (record.best.learning_rate or 0.0) > HIGH_RATE.above
    return " If the loss diverges or wavers, halve the rate first." if high else ""


def _meant(record: Recommendation) -> str:
    """Which targets those are: ``up to 1.5 and 1.1 times the best loss of any size``."""
    aim = record.request.difficulty
    ratios = [DIFFICULTIES[one].ratio for one in ([aim] if aim else ("medium", "hard"))]
    if aim == "easy":
        return f"above {DIFFICULTIES['medium'].ratio:g} times the best loss of any size"
    return f"up to {' and '.join(f'{ratio:g}' for ratio in ratios)} times the best loss of any size"


def _aim(record: Recommendation) -> str:
    """How hard the target is taken to be, in a word."""
    return "target" if record.request.pilots else record.request.difficulty or "medium"


def _chance(record: Recommendation, candidate: Candidate) -> float | None:
    """A candidate's chance of that target; None by equation 10 alone."""
    if record.request.pilots:
        return candidate.chance
    return (candidate.chance_to_reach or {}).get(_aim(record))


def _percent(chance: float) -> str:
    return ">99 %" if chance > 0.99 else "<1 %" if chance < 0.01 else f"{100 * chance:.0f} %"


def _doubts(record: Recommendation) -> Iterator[str]:
    """What else decides: the limits, a much cheaper size, other speeds of the machine, where costs are from."""
    if record.largest is not None:
        yield f"Largest within the limits: {_named(record.largest)}."
    first, least = record.best.relative_cost_to_loss, record.optimum.relative_cost_to_loss
    if record.candidates and first and least and least < _MUCH_CHEAPER * first:
        yield (
            f"The optimum of all sizes, {_named(record.optimum)}, costs {100 * (1 - least / first):.0f} % less; it "
            f"fills no cache once to twice."
        )
    yield short_label(record.device, record.coefficients)


def _short_table(record: Recommendation, candidates: Sequence[Candidate]) -> Table:
    return Table([*_names(record, candidates), *_cost_columns(record, candidates), *_chances(record, candidates)])


def _names(record: Recommendation, candidates: Sequence[Candidate]) -> Iterator[Column]:
    """What tells the candidates apart; columns that would be the same in every row are left out."""
    request = record.request
    yield Column("#", [f"{one.rank}" for one in candidates], right=True)
    if len(request.shape) > 1:
        yield Column("shape", [one.shape for one in candidates], told="{}, ")
    if len(request.depth) > 1:
        yield Column("depth", [f"{one.depth}" for one in candidates], right=True, told="depth {}, ", leave_out=2)
    if len(request.batch_size) > 1:
        yield Column("batch", [f"{one.batch_size}" for one in candidates], right=True, told="batch {}, ")
    yield Column("widths", [format_widths(one.widths) for one in candidates], folds=True, told="{}")
    counts = [format_count(one.num_free_parameters) for one in candidates]
    yield Column("parameters", counts, right=True, told=", {} parameters", leave_out=3)


def _cost_columns(record: Recommendation, candidates: Sequence[Candidate]) -> Iterator[Column]:
    """Cost of an epoch, or of a datum where the rows are not known; the cost that the list is ordered by."""
    if record.coefficients.source != "none":
        if record.request.observations is None:
            costs, what = [_cost(one) for one in candidates], "datum"
        else:
            costs, what = [format_cost(one.energy_per_epoch_j, one.time_per_epoch_s) for one in candidates], "epoch"
        title = f"{record.coefficients.quantity} {'an' if what == 'epoch' else 'a'} {what}"
        yield Column(title, costs, right=True, told=f", {{}} {'an' if what == 'epoch' else 'a'} {what}")
    to_loss = [format_times(one.relative_cost_to_loss) for one in candidates]
    yield Column("cost to loss", to_loss, right=True, told=", cost to loss {}")


def _chances(record: Recommendation, candidates: Sequence[Candidate]) -> Iterator[Column]:
    """What is reached and at which rate, and the cache that a size was picked for."""
    if any(one.learning_rate is not None for one in candidates):
        yield Column(
            "rate", [rate_text(one, weights=False) for one in candidates], right=True, leave_out=4, told=", rate {}"
        )
    if record.hardness is not None and (record.request.difficulty or record.request.pilots):
        yield _chance_column(_aim(record), [_chance(record, one) for one in candidates], 1, ", reached with {}")
    elif record.hardness is not None:
        for aim, leave_out in (("easy", 5), ("medium", 1), ("hard", 5)):
            chances = [(one.chance_to_reach or {}).get(aim) for one in candidates]
            yield _chance_column(aim, chances, leave_out, f", {aim} targets with {{}}")
    yield Column("fills", [fill_text(one.anchor) for one in candidates], whole=True, leave_out=6, told=", {}")


def _chance_column(title: str, chances: Sequence[float | None], leave_out: int, told: str) -> Column:
    cells = ["" if chance is None else _percent(chance) for chance in chances]
    return Column(title, cells, right=True, leave_out=leave_out, told=told)


def _behind(record: Recommendation) -> Iterator[Block]:
    """The machine and the settings, each candidate with its reason, the optimum, the curve."""
    yield BLANK
    yield from _settings(record)
    if record.candidates:
        yield BLANK
        yield reasoned(_short_table(record, record.candidates), [candidate.why for candidate in record.candidates])
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


def _settings(record: Recommendation) -> Iterator[Block]:
    request = record.request
    yield from device_lines(record.device)
    settings = f"{counted(request.input_dim, 'input')}, {counted(request.output_dim, 'output')}, {request.dtype}"
    if request.purpose == "training":
        settings += f", {request.optimizer}"
    yield Paragraph(f"{settings}, batch {' '.join(map(str, request.batch_size))}, for {request.purpose}")
    yield Paragraph(label_text(record.device, record.coefficients))
    said = "Order: epochs by the paper's equation 10 alone."
    if record.hardness is not None:
        said = f"Order: expected cost to reach {record.hardness.basis}"
        said += "." if record.best.learning_rate is None else ", each size at its learning rate."
        if (curves := carried_on(record.request)) is not None:
            said = f"{said[:-1]} ({curves})."
        said += " In percent: the chance to reach a target."
        if request.kind is None and request.learning_rate is None and record.best.learning_rate is not None:
            said += " Whether targets are numbers or classes (--kind) is not said: numbers stand a higher rate."
    yield Paragraph(said)


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
    return "" if anchor is None else f"{SET_NAMES[anchor.working_set]} {anchor.fill:.2f}x {anchor.level}"


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
