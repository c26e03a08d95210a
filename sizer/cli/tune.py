"""`sizer tune`: what makes a training script cheaper, measured on the script itself."""

from __future__ import annotations

import click

from sizer.cli.commands import Command
from sizer.cli.options import DETAILS, DURATION, HTML, JSON, PATH, QUIET, WHOLE, option


@click.command(cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module's name, as for python -m.")
@option("--budget", "budget_s", type=DURATION, default="3m", metavar="TIME", help="How long to try.")
@option("--steps", type=WHOLE, metavar="N", help="Steps of the optimizer a run. [default: a second or more of them]")
@option("--in-place", is_flag=True, help="Let the script run in this folder, not in a copy of it.")
@option("--save", type=PATH, metavar="FILE", help="Write the record, for sizer run --with FILE.")
@DETAILS
@QUIET
@JSON
@HTML
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def tune(
    module: bool,
    budget_s: float,
    steps: int | None,
    in_place: bool,
    save: object,
    details: bool,
    quiet: bool,
    as_json: bool,
    script: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a training script again and again, each time for some steps, and say which changes make it cheaper.

    The script itself is not edited: threads, the allocator, the optimizer's form, the data loader, memory formats,
    precision, compilation are changed from outside, in processes of their own. A change is recommended when runs that
    had no say in choosing it gain 3 % or more. The script's output stands on standard error, that of the first run.

    \b
    sizer tune train.py --epochs 10
    sizer tune --budget 10m --save tuned.json -m package.train
    sizer run --with tuned.json train.py --epochs 10
    """
    from pathlib import Path

    from sizer.cli.output import ending_as_by_ctrl_c, progress_bar, remark, say_changes, show
    from sizer.tuning.tuning import tune_script

    if not quiet:
        say_changes(None, told_elsewhere=True)
    with ending_as_by_ctrl_c(), progress_bar(quiet) as progress:
        record = tune_script(
            *(script, arguments),
            module=module,
            steps=steps,
            budget_s=budget_s,
            in_place=in_place,
            progress=progress,
            say=lambda text: None if quiet else remark(text),
        )
    if isinstance(save, Path):
        record.save(save)
        remark(f"wrote {save}: sizer run --with {save} {'-m ' if module else ''}{' '.join((script, *arguments))}")
    show(record, as_json, details=details)
    if not record.complete:
        raise SystemExit(130)
