"""What was measured as reports: a calibration, one of each kind of node of a cluster, a validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from sizer.base.units import counted, format_bytes, format_count, format_quantity, format_widths
from sizer.method.coefficients import LEVEL_TERMS, PLAIN_TERMS, term_unit
from sizer.report.layout import (
    BLANK,
    Block,
    Column,
    Line,
    More,
    Paragraph,
    Table,
    answer,
    device_lines,
    levels_text,
)

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.calibration.cluster import ClusterCalibration
    from sizer.calibration.combine import SessionSummary
    from sizer.calibration.kept_sessions import KeptSessions
    from sizer.calibration.record import Calibration
    from sizer.calibration.validation_record import Errors, SizeErrors, ValidatedNetwork, Validation
    from sizer.operators.calibration_record import OperatorCalibration


#: Mean error up to which a calibration is called good: half as much again as the quiet ones of docs/benchmarks.md,
#: whose cross-validated means are 4.4 to 5.3 %.
_GOOD = 0.08


def calibration_report(record: Calibration) -> Iterator[Block]:
    """How far predictions are off, what of the caches is really there, how good that is and what would help."""
    if (time := record.fits.get("time")) is None:
        yield from _details(record)
        return
    if not record.usable:
        yield from _not_measured(record)
        return
    low, high = time.interval
    name = record.device.name or record.device.id
    yield from answer(
        f"{name} is measured: predicted times are off by {time.error_quantile(0.5):.0%} typically, by "
        f"{time.error_quantile(0.95):.0%} for one network in twenty (calibrated)",
        _quality(record),
        "Next: `sizer recommend --input-dim 784` uses it by itself; `sizer validate` checks it.",
        _caches(record),
        f"90 % interval: {low:.2f} to {high:.2f} times the prediction; {record.networks} networks, cross-validated.",
        _energy(record),
    )
    yield More(list(_details(record)), "coefficients with their meaning, errors, sessions, files")


def _not_measured(record: Calibration) -> Iterator[Block]:
    """That the machine was too busy, what it rests on, and what to do."""
    yield from answer(
        f"{record.device.name or record.device.id} could not be measured: others kept it too busy",
        f"It was {record.quiet_line}.",
        "No profile was made of this session; one that is there stays. The session is kept, and a quieter one counts.",
        "Next: `sizer calibrate` again when the machine is quieter; `--until-quiet 10m` waits for that.",
    )
    yield More(list(_details(record)), "coefficients with their meaning, errors, sessions, files")


def _caches(record: Calibration) -> str:
    """What of each cache is really there, where that is less than the system says."""
    levels = [level for level in record.device.sizing_levels() if level.effective_bytes is not None]
    found = [
        f"{level.name} {format_bytes(level.effective_bytes)} of the {format_bytes(level.capacity_bytes)} reported"
        for level in levels
        if level.effective_bytes != level.capacity_bytes
    ]
    told = f" ({'; '.join(found)})" if found else ""
    return f"Caches: {levels_text(record.device)}{told}."


def _quality(record: Calibration) -> str:
    """In a word how good the calibration is, and what would help."""
    from sizer.calibration.record import POOR  # (a profile's table shares this module, and needs no record)

    error, last = record.fits["time"].mean_error, (record.sessions or (None,))[-1]
    disturbed = last is not None and last.used and last.quiet is False
    word = "poor" if error > POOR else "fair" if error > _GOOD or disturbed else "good"
    told = f"Quality: {word}"
    if record.quiet_line is not None:
        return f"{told}; {record.quiet_line}."
    more = "" if word == "good" else "; a larger --budget on an idle machine would help"
    return f"{told}, {error:.1%} off in the mean{more}."


def _energy(record: Calibration) -> str:
    if "energy" in record.fits:
        return f"Energy: off by {record.fits['energy'].mean_error:.0%} in the mean, by {record.meter}."
    if record.power is not None:
        power = record.power
        return f"Energy: estimated, the time x {power.busy_w:g} W while training ({power.basis})."
    return ""


def _details(record: Calibration) -> Iterator[Block]:
    yield BLANK
    yield from device_lines(record.device)
    for quantity, found in record.fits.items():
        low, high = found.interval
        networks = record.networks if quantity == "time" else record.metered
        yield BLANK
        yield Paragraph(
            f"{networks} networks; cross-validated error {found.mean_error:.1%} mean, "
            f"{found.error_quantile(0.5):.1%} median, {found.error_quantile(0.95):.1%} at the 95th percentile; "
            f"90 % interval {low:.2f} to {high:.2f} times the prediction",
            f"{quantity}: ",
        )
        yield term_table(found.terms, quantity)
    yield BLANK
    if record.meter is not None:
        yield Paragraph(f"{record.meter}; {record.metered} networks metered", "meter: ")
    if record.launch_bound is not None:
        yield Paragraph(
            f"{record.launch_bound:.0%} of the networks wait for the program that launches their steps, the others "
            f"keep the GPU busy; a step takes the longer of launching (the launch terms) and work (the other terms)"
        )
    if record.noise is not None:
        yield Line(f"noise: repeated timings of a network differ by {record.noise:.1%} (median)")
    yield from _session_lines(record)
    if record.path is not None:
        yield Paragraph(f"{record.name} in {record.path}", "kept as ")


def _session_lines(record: Calibration) -> Iterator[Block]:
    """What the fit goes by where there are several sessions or speeds."""
    used = [session.date[:16].replace("T", " ") for session in record.sessions if session.used]
    if len(record.sessions) > 1:
        yield Paragraph(f"{len(used)} of {len(record.sessions)} fitted together ({', '.join(used)})", "sessions: ")
    if record.speeds:
        named = (f"{speed.factor:.2f} ({speed.sessions}{', predicted' * speed.usual})" for speed in record.speeds)
        yield Paragraph(f"{', '.join(named)} times the usual time (sessions); the interval covers all", "speeds: ")


def sessions_report(record: KeptSessions) -> Iterator[Block]:
    """What is kept of a device: from when, how many networks, how quiet, at which speed, whether it is fitted."""
    sessions = record.sessions
    if not sessions:
        return
    yield Line(f"calibrations of {record.device} that are kept")
    yield Table(
        [
            Column("taken", [session.date[:16].replace("T", " ") for session in sessions]),
            Column("networks", [f"{session.networks}" for session in sessions], right=True),
            Column("quiet", [_how_quiet(session) for session in sessions]),
            Column(
                "time", ["unknown" if each.factor is None else f"{each.factor:.2f}" for each in sessions], right=True
            ),
            Column("fitted", [_whether_fitted(session) for session in sessions]),
        ]
    )
    yield Paragraph(f"{record.paths[0].parent}" if len(sessions) > 1 else f"{record.paths[0]}", "in ")


def operators_report(record: OperatorCalibration) -> Iterator[Block]:
    """How many calls of operators are known, how well others are told by them, and how well whole steps are."""
    name = record.name or record.device
    steps = ""
    if record.step_error is not None:
        steps = f"Steps added up from them are off by {record.step_error:.0%} in the mean ({record.steps} timed)."
    yield from answer(
        f"{record.calls:,} calls of operators are timed on {name}, {record.new_calls:,} of them now "
        f"({format_quantity(record.took_s, 's')})",
        steps,
        "Next: `sizer inspect package.module:make --input 8,3,224,224` prices any module with them.",
    )
    yield BLANK
    yield Table(
        [
            Column("operators", [each.kind for each in record.kinds]),
            Column("calls", [f"{each.calls:,}" for each in record.kinds], right=True),
            Column("others are off by", [_off(each.error) for each in record.kinds], right=True),
        ]
    )
    yield More(
        [BLANK, Line(f"torch {record.torch}, {counted(record.threads, 'thread')}"), Paragraph(record.path, "in ")],
        "torch, threads, the file",
    )


def _off(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.0%}"


def _whether_fitted(session: SessionSummary) -> str:
    from sizer.calibration.record import USELESS  # (as above)

    if session.used and session.seen_high_by > USELESS:
        return "no profile: too busy"
    return "yes" if session.used else "no"


def _how_quiet(session: SessionSummary) -> str:
    if session.disturbed_share is None:
        return "unknown"
    if session.room is not None:
        return f"threads {session.room:.2f}x slow"
    return "yes" if session.quiet else f"disturbed {session.disturbed_share:.0%}"


def term_table(terms: Mapping[str, float], quantity: str) -> Table:
    """Each coefficient with its unit and meaning."""
    values, meanings = [], []
    for name, value in terms.items():
        kind, _, level = name.partition(".")
        unit, _, counted = term_unit(name, quantity).partition("/")
        values.append(f"{format_quantity(value, unit)}/{counted}")
        meanings.append((LEVEL_TERMS[kind] if level else PLAIN_TERMS[kind])[-1])
    names = Column("coefficient", list(terms))
    return Table([names, Column("value", values, right=True), Column("of", meanings, folds=True)])


def cluster_report(record: ClusterCalibration) -> Iterator[Block]:
    """Each kind of node with its addresses and its calibration, then how to compare them."""
    for kind in record.kinds:
        yield Paragraph(", ".join(kind.addresses), "nodes: ")
        yield from calibration_report(kind.calibration)
        yield BLANK
    names = ",".join(kind.calibration.name for kind in record.kinds)
    yield Paragraph(f"`sizer recommend --fleet {names}` compares them.")


_BOUNDS = {"launch_bound": "waiting for the program", "gpu_bound": "keeping the GPU busy"}
#: Median ratio of predicted to measured from which predictions are called too high or too low: what calibrations of
#: quiet minutes are off by at most (docs/benchmarks.md: bias of 0 to 3.5 %), and half as much again.
_BIASED = 0.05


def validation_report(record: Validation) -> Iterator[Block]:
    """Whether the predictions hold, in one line, and what to do; errors by size; behind them the networks."""
    yield from answer(_verdict(record), *_what_it_rests_on(record))
    yield BLANK
    yield Line("|predicted / measured - 1| of the time of a step")
    yield _error_table(record.by_size(), record.errors)
    for name, errors in record.by_bound().items():
        found = f"{errors.networks} networks, {errors.mean:.1%} mean, {errors.p95:.1%} at the 95th percentile"
        yield Paragraph(found, f"{_BOUNDS[name]}: ")
    yield More(list(_validation_details(record)), "the networks furthest off, what was timed and where it is kept")


def _verdict(record: Validation) -> str:
    errors, ratio = record.errors, median(network.ratio for network in record.networks)
    typical = f"off by {errors.median:.0%} typically, by {errors.p95:.0%} for one network in twenty"
    if abs(ratio - 1) <= _BIASED:
        return f"The predictions hold: {typical}"
    direction, state = ("high", "slower") if ratio > 1 else ("low", "faster")
    return (
        f"Predictions are {abs(ratio - 1):.0%} too {direction}: this machine was {state} during its calibration than "
        f"it is now"
    )


def _what_it_rests_on(record: Validation) -> Iterator[str]:
    errors, ratio = record.errors, median(network.ratio for network in record.networks)
    inside = "" if errors.coverage is None else f"; {errors.coverage:.0%} are inside the 90 % interval (90 % expected)"
    yield f"{errors.networks} networks that the calibration never saw, timed now (measured){inside}."
    if abs(ratio - 1) > _BIASED:
        yield (
            "Sizes compare as before, since all are off alike; `sizer calibrate` again, when the machine is as it will "
            "be for the training, brings the times right."
        )


def _validation_details(record: Validation) -> Iterator[Block]:
    yield BLANK
    yield from device_lines(record.device)
    yield Paragraph(f"{record.coefficients.basis}.", f"{record.profile}: ")
    yield Paragraph(f"Seed {record.seed}, each network timed {record.repeats} times or more.")
    yield BLANK
    yield Line("furthest off")
    yield _network_table(record.worst())
    if record.measurements is not None:
        yield BLANK
        yield Paragraph(f"{record.measurements}", "timings kept in ")


def _error_table(by_size: Sequence[SizeErrors], total: Errors) -> Table:
    errors = [*(size.errors for size in by_size), total]
    inside = ["unknown" if one.coverage is None else f"{one.coverage:.0%}" for one in errors]
    columns = [
        Column("parameters", [*map(_range, by_size), "all"]),
        Column("networks", [f"{one.networks}" for one in errors], right=True),
        Column("mean", [f"{one.mean:.1%}" for one in errors], right=True),
        Column("median", [f"{one.median:.1%}" for one in errors], right=True),
        Column("95th pct", [f"{one.p95:.1%}" for one in errors], right=True),
        Column("in 90 % interval", inside, right=True),
    ]
    return Table(columns, ends_in_total=True)


def _range(size: SizeErrors) -> str:
    if size.low is None:
        return "any" if size.high is None else f"below {format_count(size.high)}"
    if size.high is None:
        return f"from {format_count(size.low)}"
    return f"{format_count(size.low)} to {format_count(size.high)}"


def _network_table(networks: Sequence[ValidatedNetwork]) -> Table:
    names = [format_widths((network.input_dim, *network.widths)) for network in networks]
    numbers = {
        "parameters": [format_count(network.num_free_parameters) for network in networks],
        "batch": [f"{network.batch_size}" for network in networks],
        "predicted": [format_quantity(network.predicted_s, "s") for network in networks],
        "measured": [format_quantity(network.measured_s, "s") for network in networks],
        "ratio": [f"{network.ratio:.2f}" for network in networks],
    }
    columns = (Column(title, cells, right=True, whole=True) for title, cells in numbers.items())
    return Table([Column("network", names, folds=True), *columns])
