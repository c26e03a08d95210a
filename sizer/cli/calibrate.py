"""`sizer calibrate`: measure this machine, so that predictions hold on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sizer.cli.options import JSON, WHOLE

if TYPE_CHECKING:
    from sizer.base.records import Record
    from sizer.meters.choosing import MeterOptions

Command = TypeVar("Command", bound=Callable[..., Any])

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType):
    """A time such as 60, 60s or 2m, in s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number and its unit."""
        text = str(value).strip()
        factor = _SECONDS.get(text[-1:])
        try:
            return float(text if factor is None else text[:-1]) * (factor or 1.0)
        except ValueError:
            self.fail(f"{text[:40]!r} is no time; expected one such as 60s or 2m", param, ctx)


def meter_options(command: Command) -> Command:
    """What meters must be told."""
    options = (
        click.option(
            "--meter",
            default="auto",
            show_default=True,
            metavar="NAME",
            help="auto, rapl, nvml, zeus, wattmeter-log, power-model or none.",
        ),
        click.option(
            "--wattmeter-log",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A wattmeter's log of time and watts, being written meanwhile.",
        ),
        click.option(
            "--log-time-zone", metavar="NAME", help="Time zone of the log, such as US/Mountain. [default: as written]"
        ),
        click.option("--log-time-column", metavar="NAME", help="The log's column of times. [default: by its name]"),
        click.option("--log-watts-column", metavar="NAME", help="The log's column of watts. [default: by its name]"),
        click.option("--log-node", metavar="NAME", help="This machine, in a log of several."),
        click.option("--log-period", type=Duration(), metavar="TIME", help="Step of the log. [default: its median]"),
        click.option(
            "--log-clock-offset", type=Duration(), default="0", metavar="TIME", help="Added to the log's times."
        ),
        click.option(
            "--busy-watts", type=float, metavar="W", help="Power while training; joules from it are estimates."
        ),
        click.option("--idle-watts", type=float, metavar="W", help="Power at rest."),
    )
    for option in reversed(options):
        command = option(command)
    return command


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
    )
    return MeterOptions(
        busy_w=given.pop("busy_watts"),
        idle_w=given.pop("idle_watts"),
        log_path=given.pop("wattmeter_log"),
        log_format=layout,
    )


@click.command()
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu or cuda:0.")
@click.option(
    "--budget", type=Duration(), default="60s", show_default=True, metavar="TIME", help="How long to measure."
)
@click.option("--threads", type=WHOLE, metavar="N", help="Threads of PyTorch. [default: PyTorch's]")
@meter_options
@click.option("--fresh", is_flag=True, help="Start anew, not where an interrupted calibration stopped.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Fit a measurement file again, with another log or power if they are given; measures nothing.",
)
@click.option("--keep", is_flag=True, help="With --replay: keep the profile.")
@click.option(
    "--engine", default="local", show_default=True, metavar="NAME", help="ray: each kind of node of a Ray cluster once."
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@JSON
def calibrate(
    replay: Path | None,
    keep: bool,
    fresh: bool,
    engine: str,
    quiet: bool,
    as_json: bool,
    budget: float,
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
