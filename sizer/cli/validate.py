"""`sizer validate`: predicted against measured, on networks that the calibration never saw."""

from __future__ import annotations

from typing import Any

import click

from sizer.cli.options import DURATION, HERE, JSON, QUIET, THREADS, WHOLE, option


@click.command()
@HERE
@option("--budget", type=DURATION, default="30s", metavar="TIME", help="How long to measure.")
@option(
    "--networks",
    type=WHOLE,
    metavar="N",
    help="Time so many, however long it takes. [default: what the budget pays for]",
)
@option("--seed", type=WHOLE, default=0, metavar="N", help="Other networks for another seed.")
@THREADS
@QUIET
@JSON
def validate(budget: float, networks: int | None, quiet: bool, as_json: bool, **settings: Any) -> None:
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

    say_changes(settings["device"], settings["threads"])
    with progress_bar(quiet) as advance:
        record = validation.validate(Settings(budget_s=budget, **settings), networks, advance)
    show(record, as_json)
