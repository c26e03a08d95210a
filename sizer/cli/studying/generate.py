"""`sizer study generate`: small files in the published schema, from the cost model."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.options import JSON, WHOLE
from sizer.cli.studying.options import FOLDER, QUIET


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
    from sizer.study.generated_design import Plan
    from sizer.study.generating import generate as write

    with progress_bar(quiet) as advance:
        step = write(folder, Plan(runs=runs, noise=noise, faults=faults, seed=seed), advance)
    show(step, as_json)
