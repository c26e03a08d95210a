"""`sizer calibrate`: measure this machine, so that predictions hold on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sizer.cli.options import JSON, WHOLE

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


@click.command()
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu or cuda:0.")
@click.option(
    "--budget", type=Duration(), default="60s", show_default=True, metavar="TIME", help="How long to measure."
)
@click.option("--threads", type=WHOLE, metavar="N", help="Threads of PyTorch. [default: PyTorch's]")
@click.option("--meter", default="auto", show_default=True, metavar="NAME", help="auto, rapl, nvml, zeus or none.")
@click.option("--fresh", is_flag=True, help="Start anew, not where an interrupted calibration stopped.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Fit a measurement file again; measures and saves nothing.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@JSON
def calibrate(replay: Path | None, fresh: bool, quiet: bool, as_json: bool, **settings: Any) -> None:
    """Time short trainings and fit what they cost on this machine. Takes about the budget.

    The result is a profile that recommend and inspect use by themselves. Every timing is kept as it is taken: after an
    interruption the same command goes on where it stopped.

    \b
    sizer calibrate
    sizer calibrate --budget 5m --threads 4
    sizer calibrate --replay ~/.local/share/sizer/measurements/cpu.jsonl
    """
    from sizer.calibrating import calibration
    from sizer.cli.output import progress_bar, show

    if replay is not None:
        show(calibration.replay(replay, keep=False), as_json)
        return
    settings["budget_s"] = settings.pop("budget")
    with progress_bar(quiet) as advance:
        record = calibration.calibrate(calibration.Settings(**settings), fresh, advance)
    show(record, as_json)
