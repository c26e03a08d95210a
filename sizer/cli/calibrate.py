"""`sizer calibrate`: measure this machine, so that predictions hold on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.cli.options import DURATION, HERE, JSON, PATH, QUIET, THREADS, option, together

if TYPE_CHECKING:
    from sizer.base.records import Record
    from sizer.meters.choosing import MeterOptions

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


@click.command()
@HERE
@option("--budget", type=DURATION, default="60s", metavar="TIME", help="How long to measure.")
@THREADS
@meter_options
@option("--fresh", is_flag=True, help="Start anew, not where an interrupted calibration stopped.")
@option(
    "--replay",
    type=PATH,
    metavar="FILE",
    help="Fit a measurement file again, with another log or power if they are given; measures nothing.",
)
@option("--keep", is_flag=True, help="With --replay: keep the profile.")
@option("--engine", default="local", metavar="NAME", help="ray: each kind of node of a Ray cluster once.")
@QUIET
@JSON
def calibrate(
    replay: Path | None,
    keep: bool,
    budget: float,
    fresh: bool,
    engine: str,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Time short trainings and fit what they cost on this machine. Takes about the budget.

    The result is a profile that recommend and inspect use by themselves. Every timing is kept as it is taken: after an
    interruption the same command goes on where it stopped.

    \b
    sizer calibrate
    sizer calibrate --budget 5m --threads 4
    sizer calibrate --budget 10m --wattmeter-log power.csv --log-time-zone Europe/Berlin
    sizer calibrate --busy-watts 65 --idle-watts 20
    sizer calibrate --replay ~/.local/share/sizer/measurements/cpu.jsonl --wattmeter-log power.csv --keep
    """
    from sizer.base.errors import UsageError
    from sizer.calibration import calibration
    from sizer.cli.output import progress_bar, show

    options = read_meter_options(settings)
    if replay is not None:
        show(calibration.replay(replay, keep, options), as_json)
        return
    if keep:
        raise UsageError("--keep is for --replay; a calibration is always kept")
    chosen = calibration.Settings(budget_s=budget, meter_options=options, **settings)
    run = _calibrate_on(engine)
    with progress_bar(quiet) as advance:
        record = run(chosen, fresh, advance)
    show(record, as_json)


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
