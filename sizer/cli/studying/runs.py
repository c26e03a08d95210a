"""Runs of a study: generate makes some up from the cost model, run trains them on one's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sizer.cli.commands import Command
from sizer.cli.options import DURATION, HERE, HTML, JSON, QUIET, THREADS, WHOLE, Read, option, several
from sizer.cli.studying.analyses import FOLDER


@click.command(cls=Command)
@FOLDER
@option("--runs", type=WHOLE, default="500", metavar="N", help="How many runs, about.")
@option("--noise", type=float, default=0.05, metavar="X", help="Noise of the energies, log.")
@option("--faults", type=float, default=0.016, metavar="X", help="Share of faulty runs.")
@option("--seed", type=WHOLE, default="0", metavar="N", help="Same seed, same files.")
@QUIET
@JSON
@HTML
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


def _exponents(text: str) -> tuple[int, int]:
    first, _, last = text.replace("2^", "").partition("-")
    if not (first.strip().isdecimal() and last.strip().isdecimal() and 2 <= int(first) <= int(last) <= 30):
        raise ValueError(text)
    return int(first), int(last)


#: A range of powers of two such as 2^6-2^21, or 6-21.
SIZES = Read("range", _exponents, "no range of sizes; expected one such as 2^6-2^21")


@click.command(cls=Command)
@option("--budget", "--max-time", "budget", type=DURATION, default="30m", metavar="TIME", help="How long to train.")
@option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("own_study"),
    help="Where the study is kept.",
)
@several("--datasets", metavar="NAME", help="Data sets to train on. [default: three]")
@several("--shape", metavar="NAME", help="Shapes. [default: by the budget]")
@several("--depth", WHOLE, metavar="N", help="Depths. [default: by the budget]")
@option("--sizes", type=SIZES, default="2^6-2^21", help="First and last power of two.")
@HERE
@THREADS
@option("--meter", default="auto", metavar="NAME", help="auto, rapl, nvml, zeus or none.")
@option("--busy-watts", type=float, metavar="W", help="Power while training, for a machine without a meter.")
@option("--idle-watts", type=float, metavar="W", help="Power of the idle machine.")
@option("--fresh", is_flag=True, help="Start anew: forgets the runs in the folder.")
@QUIET
@JSON
@HTML
def run(budget: float, device: str, fresh: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Train a designed grid of networks on this machine, under its energy meter, in the published schema.

    Every run is kept as it ends: after an interruption the same command goes on where it stopped, and a larger budget
    extends the study. Without a meter the quantity is time; stated watts give joules that are labelled estimated.

    \b
    sizer study run --budget 30m
    sizer study run --budget 2h --folder laptop --datasets digits,generated_classes
    sizer study caches own_study
    """
    from sizer.cli.output import progress_bar, say_changes, show
    from sizer.study.own_runs.run import Request, run_study
    from sizer.study.own_runs.training import Settings

    shapes, depths = options.pop("shape"), options.pop("depth")
    watts = options.pop("busy_watts"), options.pop("idle_watts")
    training = Settings(device=device)
    request = Request(budget_s=budget, shapes=shapes, depths=depths, watts=watts, training=training, **options)
    say_changes(device, options.get("threads"))
    with progress_bar(quiet) as advance:
        step = run_study(request, fresh, advance)
    show(step, as_json)
