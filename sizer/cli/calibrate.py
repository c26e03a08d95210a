"""`sizer calibrate`: measure this machine, so that predictions hold on it; `sizer validate`: whether they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.cli.commands import Command
from sizer.cli.options import DETAILS, DURATION, HERE, HTML, JSON, PATH, QUIET, THREADS, WHOLE, option, together

if TYPE_CHECKING:
    from sizer.base.records import Record
    from sizer.calibration.session import Settings
    from sizer.meters.choosing import MeterOptions


@click.command(cls=Command)
@HERE
@option("--budget", "--max-time", "budget", type=DURATION, default="30s", metavar="TIME", help="How long to measure.")
@option(
    "--networks",
    type=WHOLE,
    metavar="N",
    help="Time so many, however long it takes. [default: what the budget pays for]",
)
@option("--seed", type=WHOLE, default=0, metavar="N", help="Other networks for another seed.")
@THREADS
@QUIET
@DETAILS
@JSON
@HTML
def validate(budget: float, networks: int | None, quiet: bool, as_json: bool, details: bool, **settings: Any) -> None:
    """Time fresh random networks and compare with what the calibration predicts. Takes about the budget.

    All eight shapes, depths 2 to 20, 2^6 to 2^21.5 parameters, batches of 32 to 1024. Every timing is kept as it is
    taken: after an interruption the same command goes on where it stopped.

    \b
    sizer validate
    sizer validate --networks 200 --seed 3
    sizer validate --device cuda:0 --json
    """
    from sizer.calibration import validation
    from sizer.calibration.session import Settings
    from sizer.cli.output import progress_bar, say_changes, show

    say_changes(settings["device"], settings["threads"], told_elsewhere=True)
    with progress_bar(quiet) as advance:
        record = validation.validate(Settings(budget_s=budget, **settings), networks, advance)
    show(record, as_json, details=details)


#: What meters must be told.
meter_options = together(
    option(
        "--meter", default="auto", metavar="NAME", help="auto, rapl, nvml, zeus, wattmeter-log, power-model or none."
    ),
    option(
        "--wattmeter-log",
        type=PATH,
        metavar="FILE",
        help="A wattmeter's log of time and watts, being written meanwhile.",
    ),
    option("--log-time-zone", metavar="NAME", help="Time zone of the log: US/Mountain, +02:00. [default: as written]"),
    option("--log-time-column", metavar="NAME", help="The log's column of times. [default: by its name]"),
    option("--log-watts-column", metavar="NAME", help="The log's column of power. [default: by its name]"),
    option("--log-unit", metavar="UNIT", help="Unit of the power: W, kW, mW. [default: as written]"),
    option("--log-decimal", metavar="MARK", help="Decimal mark, . or , [default: the one that fits every number]"),
    option("--log-node", metavar="NAME", help="This machine (or entity, sensor), in a log of several."),
    option("--log-period", type=DURATION, metavar="TIME", help="Step of the log. [default: its median]"),
    click.option("--log-clock-offset", type=DURATION, default="0", metavar="TIME", help="Added to the log's times."),
    option("--busy-watts", type=float, metavar="W", help="Power while training; joules from it are estimates."),
    option("--idle-watts", type=float, metavar="W", help="Power at rest."),
)


def read_meter_options(given: dict[str, Any]) -> MeterOptions:
    """Take the options of `meter_options` but the meter's name out of a command's."""
    from sizer.meters.choosing import MeterOptions
    from sizer.meters.wattmeter_csv import LogFormat

    layout = LogFormat(
        time_zone=given.pop("log_time_zone"),
        time_column=given.pop("log_time_column"),
        watts_column=given.pop("log_watts_column"),
        node=given.pop("log_node"),
        period_s=given.pop("log_period"),
        clock_offset_s=given.pop("log_clock_offset"),
        unit=given.pop("log_unit"),
        decimal=given.pop("log_decimal"),
    )
    watts = {"busy_w": given.pop("busy_watts"), "idle_w": given.pop("idle_watts")}
    return MeterOptions(log_path=given.pop("wattmeter_log"), log_format=layout, **watts)


#: Processor time that writing the answer and leaving take (with 0.3 s, ten quick calibrations took 7.7 to 8.5 s, see
#: docs/benchmarks.md), and the most that an interpreter takes to start, in s.
_WRITING_S, _MOST_STARTED_S = 0.6, 2.0


@click.command(cls=Command)
@HERE
@option("--budget", "--max-time", "budget", type=DURATION, default="60s", metavar="TIME", help="How long to measure.")
@THREADS
@meter_options
@option(
    "--until-quiet",
    type=DURATION,
    metavar="TIME",
    help="In place of --budget: until the values have settled, so long at most.",
)
@option("--quick", is_flag=True, help="In 8 seconds, a first idea: errors are about twice as large.")
@option(
    "--operators",
    is_flag=True,
    help="Time operators, from which `sizer inspect` prices any module. [budget: 120s]",
)
@option("--fresh", is_flag=True, help="Start this session anew, not where an interrupted one stopped.")
@option("--forget", is_flag=True, help="Remove the earlier sessions, after naming them.")
@option("--show", "show_kept", is_flag=True, help="List the sessions that are kept; measures nothing.")
@option(
    "--replay",
    type=PATH,
    metavar="FILE...",
    help="Fit measurement files of one machine again, with another log or power if given; measures nothing.",
)
@click.argument("more_files", nargs=-1, type=PATH, metavar="")
@option("--keep", is_flag=True, help="With --replay: keep the profile.")
@option("--engine", default="local", metavar="NAME", help="ray: each kind of node of a Ray cluster once.")
@QUIET
@DETAILS
@JSON
@HTML
@click.pass_context
def calibrate(
    ctx: click.Context,
    /,
    replay: Path | None,
    more_files: tuple[Path, ...],
    keep: bool,
    budget: float,
    until_quiet: float | None,
    quick: bool,
    operators: bool,
    fresh: bool,
    forget: bool,
    show_kept: bool,
    engine: str,
    quiet: bool,
    as_json: bool,
    details: bool,
    **settings: Any,
) -> None:
    """Time short trainings and fit what they cost on this machine. Takes about the budget.

    The result is a profile that recommend and inspect use by themselves. Every timing is kept as it is taken: after an
    interruption the same command goes on where it stopped.

    With --operators, calls of PyTorch's operators are timed instead (convolutions, attention, normalisation and so on),
    near and far from a cache: `sizer inspect` adds them up for any module. Each further call adds to what is known.

    \b
    sizer calibrate
    sizer calibrate --budget 5m --threads 4
    sizer calibrate --quick
    sizer calibrate --until-quiet 10m
    sizer calibrate --operators --budget 5m
    sizer calibrate --budget 10m --wattmeter-log power.csv --log-time-zone Europe/Berlin
    sizer calibrate --busy-watts 65 --idle-watts 20
    sizer calibrate --replay ~/.local/share/sizer/measurements/cpu.jsonl --wattmeter-log power.csv --keep
    """
    import time

    began, used_s = time.perf_counter(), time.process_time()
    if operators:
        _calibrate_operators(ctx, quiet, as_json, details, {"fresh": fresh, "budget_s": budget, **settings})
        return
    _check_together(ctx)
    from sizer.calibration import calibration
    from sizer.calibration.kept_sessions import show_sessions
    from sizer.cli.output import progress_bar, show

    options = read_meter_options(settings)
    if replay is not None:
        replayed = calibration.replay(replay, *more_files, keep=keep, options=options)
        show(replayed, as_json, details=details)
        _check_kept(replayed, keep)
        return
    _check_no_replay(more_files, keep)
    if quick:
        imports_s, importing_s = time.perf_counter() - began, time.process_time() - used_s
        around_s = _around_s(used_s, imports_s, importing_s, calibration.QUICK_FIT_S)
        budget, settings["meter"] = max(calibration.QUICK_S - imports_s - around_s, calibration.MIN_QUICK_S), "none"
    settings |= {"budget_s": budget, "until_quiet_s": until_quiet, "quick": quick}
    chosen = calibration.Settings(meter_options=options, **settings)
    if show_kept:
        show(show_sessions(*_of_device(chosen)), as_json)
        return
    if forget:
        _forget(*_of_device(chosen))
    run = _calibrate_on(engine)
    with progress_bar(quiet) as advance:
        record = run(chosen, fresh, advance)
    show(record, as_json, details=details)
    _check_kept(record)


def _around_s(used_s: float, imports_s: float, importing_s: float, fit_s: float) -> float:
    """What starting the interpreter took, writing will, and the fit beyond its ``fit_s``, stretched as imports were.

    On a machine that is busy, or reads its files for the first time, all of them take as many times as long.
    """
    stretched = max(imports_s / max(importing_s, 0.01), 1.0)
    return (min(used_s, _MOST_STARTED_S) + _WRITING_S) * stretched + fit_s * (stretched - 1)


def _check_kept(record: Record, asked: bool = True) -> None:
    """Raise MeasurementError for a calibration of which a profile was asked for and none was made."""
    from sizer.base.errors import MeasurementError

    if asked and not getattr(record, "usable", True):
        raise MeasurementError(getattr(record, "why_not_usable", ""))


#: Options that say otherwise than another one, and what the first of them means.
_NOT_TOGETHER = {
    "quick": (("budget", "until_quiet", "meter"), "--quick takes 8 s and measures times alone"),
    "until_quiet": (("budget",), "--until-quiet takes the place of --budget"),
    "show_kept": (("forget", "fresh", "quick", "replay"), "--show measures nothing and removes nothing"),
}


def _given(ctx: click.Context) -> list[click.Parameter]:
    """The options that were given."""
    default = click.core.ParameterSource.DEFAULT
    return [each for each in ctx.command.params if ctx.get_parameter_source(each.name or "") is not default]


def _check_together(ctx: click.Context) -> None:
    """Raise UsageError for options of which one would be passed over in silence."""
    from sizer.base.errors import UsageError

    said = [each for each in _given(ctx) if ctx.params[each.name or ""] != "none"]  # (--quick has no meter anyway)
    names = {each.name: each.opts[0] for each in said}
    for name, (others, meaning) in _NOT_TOGETHER.items():
        other = next((names[each] for each in others if each in names), None)
        if name in names and other is not None:
            raise UsageError(f"{meaning}: leave out {other}")


#: Options that --operators understands, beside those of every command.
_OF_OPERATORS = {"operators", "budget", "fresh", "threads", "device", "quiet", "as_json", "details", "html"}


def _calibrate_operators(
    ctx: click.Context, quiet: bool, as_json: bool, details: bool, settings: dict[str, Any]
) -> None:
    """Time operators; only a budget, threads and --fresh may be given with it."""
    from sizer.base.errors import UsageError
    from sizer.cli.output import progress_bar, show

    other = next((each for each in _given(ctx) if each.name not in _OF_OPERATORS), None)
    if other is not None:
        raise UsageError(f"{other.opts[0]} is not for --operators, which takes --budget, --threads and --fresh")
    if settings["device"] != "cpu":
        raise UsageError(f"--operators times those of this machine's CPU, and the device is {settings['device']}")
    from sizer.inspection.operator_calibration import BUDGET_S, calibrate_operators

    given = {each.name for each in _given(ctx)}
    budget_s = settings["budget_s"] if "budget" in given else BUDGET_S
    with progress_bar(quiet) as advance:
        record = calibrate_operators(budget_s, settings["threads"], settings["fresh"], advance)
    show(record, as_json, details=details)


def _check_no_replay(files: tuple[Path, ...], keep: bool) -> None:
    from sizer.base.errors import UsageError

    if files:
        raise UsageError(f"{files[0]} is no option; files are for --replay")
    if keep:
        raise UsageError("--keep is for --replay; a calibration is always kept")


def _of_device(settings: Settings) -> tuple[str, Path]:
    """A device of this machine by the name that its measurements have, and their file."""
    from sizer.calibration.calibration import measurement_path
    from sizer.detection.detect import detected

    device = detected(settings.device).id
    return device, measurement_path(settings._replace(device=device))


def _forget(device: str, path: Path) -> None:
    """Name the sessions that are kept of a device, and remove them."""
    from sizer.calibration import kept_sessions
    from sizer.calibration.session import only_one

    with only_one():
        kept = kept_sessions.kept_sessions(path)
        for each in kept:
            click.echo(f"forgetting {device}, {each.measurements.settings['date']}: {each.path}", err=True)
        kept_sessions.forget(kept)


def _calibrate_on(engine: str) -> Callable[..., Record]:
    """What calibrates this machine, or the nodes of a cluster."""
    from sizer.base.errors import UsageError
    from sizer.calibration.calibration import calibrate as calibrate_here

    if engine == "local":
        return calibrate_here
    if engine == "ray":
        from sizer.calibration.cluster import calibrate_cluster

        return calibrate_cluster
    raise UsageError(f"unknown engine {engine!r}; expected local or ray")
