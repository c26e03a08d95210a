"""`sizer study run`: the same study on one's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sizer.cli.calibrate import Duration
from sizer.cli.options import JSON, WHOLE, Listed, flatten
from sizer.cli.studying.analyses import FOLDER, QUIET


@click.command()
@FOLDER
@click.option("--runs", type=WHOLE, default="500", show_default=True, metavar="N", help="How many runs, about.")
@click.option("--noise", type=float, default=0.05, show_default=True, metavar="X", help="Noise of the energies, log.")
@click.option("--faults", type=float, default=0.016, show_default=True, metavar="X", help="Share of faulty runs.")
@click.option("--seed", type=WHOLE, default="0", show_default=True, metavar="N", help="Same seed, same files.")
@QUIET
@JSON
def generate(folder: Path, runs: int, noise: float, faults: float, seed: int, quiet: bool, as_json: bool) -> None:
    """Write files in exactly the published schema, quirks included, made from the cost model.

    They are for trying the analysis on, not for learning from: what is in them was put there.

    \b
    sizer study generate demo
    sizer study generate large --runs 40000
    """
    from sizer.cli.output import progress_bar, show
    from sizer.study.generated.design import Plan
    from sizer.study.generated.generate import generate as write

    with progress_bar(quiet) as advance:
        step = write(folder, Plan(runs=runs, noise=noise, faults=faults, seed=seed), advance)
    show(step, as_json)


class Sizes(click.ParamType):
    """A range of powers of two such as 2^6-2^21, or 6-21."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read both exponents."""
        if isinstance(value, tuple):
            return value
        first, _, last = str(value).replace("2^", "").partition("-")
        if first.strip().isdecimal() and last.strip().isdecimal() and 2 <= int(first) <= int(last) <= 30:
            return int(first), int(last)
        return self.fail(f"{str(value)[:40]!r} is no range of sizes; expected one such as 2^6-2^21", param, ctx)


LISTED = Listed(click.STRING)


@click.command()
@click.option("--budget", type=Duration(), default="30m", show_default=True, metavar="TIME", help="How long to train.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("own_study"),
    show_default=True,
    help="Where the study is kept.",
)
@click.option("--datasets", type=LISTED, multiple=True, metavar="NAME", help="Data sets to train on. [default: three]")
@click.option("--shape", type=LISTED, multiple=True, metavar="NAME", help="Shapes. [default: by the budget]")
@click.option("--depth", type=Listed(WHOLE), multiple=True, metavar="N", help="Depths. [default: by the budget]")
@click.option("--sizes", type=Sizes(), default="2^6-2^21", show_default=True, help="First and last power of two.")
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu or cuda:0.")
@click.option("--threads", type=WHOLE, metavar="N", help="Threads of PyTorch. [default: PyTorch's]")
@click.option("--meter", default="auto", show_default=True, metavar="NAME", help="auto, rapl, nvml, zeus or none.")
@click.option("--busy-watts", type=float, metavar="W", help="Power while training, for a machine without a meter.")
@click.option("--idle-watts", type=float, metavar="W", help="Power of the idle machine.")
@click.option("--fresh", is_flag=True, help="Start anew: forgets the runs in the folder.")
@QUIET
@JSON
def run(
    budget: float,
    datasets: tuple[tuple[str, ...], ...],
    shape: tuple[tuple[str, ...], ...],
    depth: tuple[tuple[int, ...], ...],
    device: str,
    busy_watts: float | None,
    idle_watts: float | None,
    fresh: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a designed grid of networks on this machine, under its energy meter, in the published schema.

    Every run is kept as it ends: after an interruption the same command goes on where it stopped, and a larger budget
    extends the study. Without a meter the quantity is time; stated watts give joules that are labelled estimated.

    \b
    sizer study run --budget 30m
    sizer study run --budget 2h --folder laptop --datasets digits,generated_classes
    sizer study caches own_study
    """
    from sizer.cli.output import progress_bar, show
    from sizer.study.own_runs.run import Request, run_study
    from sizer.study.own_runs.training import Settings

    request = Request(
        budget_s=budget,
        datasets=flatten(datasets),
        shapes=flatten(shape),
        depths=flatten(depth),
        watts=(busy_watts, idle_watts),
        training=Settings(device=device),
        **settings,
    )
    with progress_bar(quiet) as advance:
        step = run_study(request, fresh, advance)
    show(step, as_json)
