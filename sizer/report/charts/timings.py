"""What was measured: predicted against measured times, errors by size, the state of the machine over its sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sizer.base.units import format_bytes, format_count, format_quantity, format_widths
from sizer.report.charts.figure import Axis, Chart, Guide, Point, Series, named_rows
from sizer.report.charts.sizes import PARAMETERS, ROWS
from sizer.report.layout import Column, Table

if TYPE_CHECKING:  # (another command's record is not loaded with this one's)
    from sizer.calibration.cluster import ClusterCalibration
    from sizer.calibration.combine import SessionSummary
    from sizer.calibration.kept_sessions import KeptSessions
    from sizer.calibration.record import Calibration, TimedNetwork
    from sizer.calibration.validation_record import ValidatedNetwork, Validation
    from sizer.operators.calibration_record import OperatorCalibration

    Compared = TimedNetwork | ValidatedNetwork


def validation_charts(record: Validation) -> Iterator[Chart]:
    """Predicted against measured, and the ratio of both by size."""
    label = record.coefficients.label
    yield Chart(
        "Predicted against measured time of a step",
        "Each network that the calibration never saw: the time that was predicted over the time that was measured, on "
        "logarithmic axes. On the diagonal both are the same; crosses are outside their 90 % interval.",
        Axis("measured", "s"),
        Axis("predicted", "s"),
        _furthest_off("network", (((one.input_dim, *one.widths), one) for one in record.networks)),
        list(_by_interval(record.networks, against_size=False)),
        guides=[Guide("diagonal", 1.0, "predicted = measured")],
        label=f"measured and {label}",
    )
    yield Chart(
        "Predicted over measured by size",
        "The ratio of the predicted to the measured time of a step of each network by its number of parameters; 1 is "
        "exact, above it predictions are too high.",
        PARAMETERS,
        Axis("predicted / measured", "times", within=(0.8, 1.25)),
        _error_table(record),
        list(_by_interval(record.networks, against_size=True)),
        guides=[Guide("y", 1.0, "exact")],
        label=f"measured and {label}",
    )


def _by_interval(networks: Sequence[ValidatedNetwork], against_size: bool) -> Iterator[Series]:
    inside = [network for network in networks if network.inside is not False]
    outside = [network for network in networks if network.inside is False]
    named = "inside the 90 % interval" if any(network.inside for network in networks) else "networks"
    if inside:
        yield Series(named, [_validated_point(one, against_size) for one in inside], "dots", 1)
    if outside:
        yield Series("outside it", [_validated_point(one, against_size) for one in outside], "crosses", 2)


def _validated_point(network: ValidatedNetwork, against_size: bool) -> Point:
    within = ""
    if network.interval is not None:
        within = f" ({format_quantity(network.interval[0], 's')} to {format_quantity(network.interval[1], 's')})"
    return _point(network, (network.input_dim, *network.widths), against_size, within)


def _point(network: Compared, widths: Sequence[int], against_size: bool, within: str = "") -> Point:
    told = (
        f"{format_widths(widths)}, batch {network.batch_size}: predicted {format_quantity(network.predicted_s, 's')}"
        f"{within}, measured {format_quantity(network.measured_s, 's')}, ratio {network.ratio:.3f}"
    )
    if against_size:
        return Point(network.num_free_parameters, network.ratio, told)
    return Point(network.measured_s, network.predicted_s, told)


def _furthest_off(title: str, networks: Iterable[tuple[Sequence[int], Compared]]) -> Table:
    """The networks, each with its widths, that are furthest off, the worst first."""
    worst = sorted(networks, key=lambda each: -abs(each[1].ratio - 1))[:ROWS]
    numbers = {
        "parameters": [format_count(network.num_free_parameters) for _, network in worst],
        "batch": [f"{network.batch_size}" for _, network in worst],
        "predicted": [format_quantity(network.predicted_s, "s") for _, network in worst],
        "measured": [format_quantity(network.measured_s, "s") for _, network in worst],
        "ratio": [f"{network.ratio:.3f}" for _, network in worst],
    }
    names = Column(title, [format_widths(widths) for widths, _ in worst])
    return Table([names, *(Column(title, cells, right=True) for title, cells in numbers.items())])


def _error_table(record: Validation) -> Table:
    sizes = record.by_size()
    numbers = {
        "networks": [f"{size.errors.networks}" for size in sizes],
        "mean error": [f"{size.errors.mean:.1%}" for size in sizes],
        "median": [f"{size.errors.median:.1%}" for size in sizes],
        "95th percentile": [f"{size.errors.p95:.1%}" for size in sizes],
    }
    smallest = Column("from parameters", ["0" if size.low is None else format_count(size.low) for size in sizes])
    return Table([smallest, *(Column(title, cells, right=True) for title, cells in numbers.items())])


def calibration_charts(record: Calibration) -> Iterator[Chart]:
    """Predicted against measured, errors by size, the caches as they are, the machine's state over the sessions."""
    if record.timed:
        yield from _fitted(record)
    yield from _accesses(record)
    yield from _sessions(record.sessions)


def _fitted(record: Calibration) -> Iterator[Chart]:
    low, high = record.fits["time"].interval if "time" in record.fits else (1.0, 1.0)
    table = _furthest_off("network, the furthest off first", ((one.widths, one) for one in record.timed))
    label = "measured and calibrated"
    yield Chart(
        "Predicted against measured time of a step",
        "Each network that was timed: what a fit without it predicts over what was measured, on logarithmic axes. On "
        "the diagonal both are the same.",
        Axis("measured", "s"),
        Axis("predicted", "s"),
        table,
        [Series("networks", [_point(one, one.widths, against_size=False) for one in record.timed], "dots")],
        guides=[Guide("diagonal", 1.0, "predicted = measured")],
        label=label,
    )
    yield Chart(
        "Predicted over measured by size",
        "The ratio of the predicted to the measured time of each network by its number of parameters, each predicted "
        "by a fit without it; 1 is exact. Nine of ten lie between the outer lines.",
        PARAMETERS,
        Axis("predicted / measured", "times", within=(0.8, 1.25)),
        table,
        [Series("networks", [_point(one, one.widths, against_size=True) for one in record.timed], "dots")],
        guides=[Guide("y", 1.0, "exact"), Guide("y", 1 / high, ""), Guide("y", 1 / low, "90 % interval")],
        label=label,
    )


def _accesses(record: Calibration) -> Iterator[Chart]:
    """The time of an access to tables of growing size, with the capacities that are reported and found."""
    if len(record.accesses) < 2:
        return
    points = [
        Point(
            a.table_bytes, a.access_s, f"a table of {format_bytes(a.table_bytes)}: {format_quantity(a.access_s, 's')}"
        )
        for a in record.accesses
    ]
    guides = []
    for level in record.device.caches():
        if level.effective_bytes is not None:
            guides.append(Guide("x", level.effective_bytes, f"{level.name} effective"))
        guides.append(Guide("x", level.capacity_bytes or 0, f"{level.name} reported"))
    columns = [
        Column("table", [format_bytes(each.table_bytes) for each in record.accesses], right=True),
        Column("an access", [format_quantity(each.access_s, "s") for each in record.accesses], right=True),
    ]
    yield Chart(
        "The caches as they are",
        "Time of one access at random to a table of growing size: it steps up where a cache ends. Vertical lines stand "
        "at what the system reports of one instance of each cache, and at what of the last one is really there.",
        Axis("size of the table", "bytes"),
        Axis("time of an access", "s"),
        Table(columns),
        [Series("an access", points)],
        guides=[guide for guide in guides if guide.at > 0],
        label="measured",
    )


def sessions_charts(record: KeptSessions) -> Iterator[Chart]:
    """The machine's state over the sessions that are kept."""
    yield from _sessions(record.sessions)


def operators_charts(record: OperatorCalibration) -> Iterator[Chart]:
    """How far calls of each kind are off when the others tell them; nothing where no kind has enough of them."""
    known = [each for each in record.kinds if each.error is not None]
    if not known:
        return
    points = [
        Point(each.error or 0.0, -number, f"{each.kind}: {each.error:.0%} off, {each.calls:,} calls timed")
        for number, each in enumerate(known, start=1)
    ]
    columns = [
        Column("operators", [each.kind for each in known]),
        Column("calls", [f"{each.calls:,}" for each in known], right=True),
        Column("others are off by", [f"{each.error:.0%}" for each in known], right=True),
    ]
    yield Chart(
        "How well operators tell each other",
        "Mean error of the time of a call when it is left out and the other calls of its family tell it, by kind.",
        Axis("mean error of a call that was not timed", "share", log=False, within=(0.0, 0.1)),
        named_rows("operators", [each.kind for each in known]),
        Table(columns),
        [Series("left out and told by the others", points, "dots")],
        label="measured",
        rows=True,
    )


def cluster_charts(record: ClusterCalibration) -> Iterator[Chart]:
    """Those of each kind of node."""
    for kind in record.kinds:
        for chart in calibration_charts(kind.calibration):
            yield chart._replace(title=f"{chart.title}: {kind.calibration.name}")


def _sessions(sessions: Sequence[SessionSummary]) -> Iterator[Chart]:
    """How long steps took in each session beside the usual; nothing for fewer than two that can be compared."""
    known = [(number, each) for number, each in enumerate(sessions, start=1) if each.factor is not None]
    if len(known) < 2:
        return
    series = []
    for colour, (name, look, used) in enumerate((("fitted", "dots", True), ("not fitted", "crosses", False)), start=1):
        points = [Point(number, each.factor or 0.0, _session_told(each)) for number, each in known if each.used == used]
        if points:
            series.append(Series(name, points, look, colour))
    yield Chart(
        "The machine over its calibrations",
        "How long the same steps took in each calibration, as a multiple of the usual, the oldest first.",
        Axis("calibration", log=False, ticks=[(number, each.date[:10]) for number, each in known]),
        Axis("time of the same steps, 1x = usual", "times", log=False, within=(0.9, 1.1)),
        _session_table(sessions),
        series,
        guides=[Guide("y", 1.0, "usual")],
        label="measured",
    )


def _session_told(session: SessionSummary) -> str:
    told = (
        f"{session.date[:16].replace('T', ' ')}: {session.factor:.3g} times the usual time, {session.networks} networks"
    )
    if session.disturbed_share is not None:
        told += f", disturbed for {session.disturbed_share:.0%} of the time"
    return f"{told}, {'fitted' if session.used else 'not fitted'}"


def _session_table(sessions: Sequence[SessionSummary]) -> Table:
    disturbed = ["unknown" if s.disturbed_share is None else f"{s.disturbed_share:.0%}" for s in sessions]
    return Table(
        [
            Column("taken", [session.date[:16].replace("T", " ") for session in sessions]),
            Column("networks", [f"{session.networks}" for session in sessions], right=True),
            Column("time", ["unknown" if s.factor is None else f"{s.factor:.3g}x" for s in sessions], right=True),
            Column("disturbed", disturbed, right=True),
            Column("fitted", ["yes" if session.used else "no" for session in sessions]),
        ]
    )
