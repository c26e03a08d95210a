"""`sizer run`: a training script as it is, with one report when its first step has shown what it trains."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

#: Steps that --measure times: enough for a quiet value, few enough to be over soon.
MEASURED_STEPS = 30


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module's name, as for python -m.")
@click.option("--measure", is_flag=True, help=f"Time {MEASURED_STEPS} steps first, and show where they go.")
@click.option("--json-file", type=click.Path(dir_okay=False), metavar="FILE", help="Write the record as JSON.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False), metavar="FILE", help="Write a page with charts.")
@click.option("--quiet", is_flag=True, help="Print no report.")
@click.option(
    "--with", "tuned", type=click.Path(dir_okay=False), metavar="FILE", help="Apply what a tuning recommends."
)
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    module: bool,
    measure: bool,
    json_file: str | None,
    html_file: str | None,
    quiet: bool,
    tuned: str | None,
    script: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a training script and advise on its model once, on standard error. The training itself is not changed.

    Only --with changes it: by the levers that sizer tune --save wrote down, for the same script, torch and machine.
    Output, exit code and interrupts are the script's. SIZER=off in the environment turns the advice off.

    \b
    sizer run train.py --epochs 10
    sizer run --measure --json-file advice.json -m package.train
    sizer run --with tuned.json train.py --epochs 10
    torchrun --nproc-per-node 2 -m sizer run train.py
    """
    from sizer.hook.watching import Watch, is_first_rank, is_off
    from sizer.script_runs.script import load_module, load_script, run_program, when_torch_is_imported

    if html_file is not None:  # (found out before the training, not after it)
        from sizer.report.pages.writing import check_page

        check_page(Path(html_file))
    if tuned is not None:
        _apply(tuned, script, module)
    program = load_module(script) if module else load_script(script)
    steps = MEASURED_STEPS if measure else 0
    watch = Watch(json_file=json_file, quiet=quiet, measure=steps, html_file=html_file)

    def begin() -> None:
        if measure and not quiet and is_first_rank():
            _say_changes()
        watch.start(look=False)

    if not is_off():
        when_torch_is_imported(begin)
    try:
        run_program(program, list(arguments))
    except SystemExit as leaving:
        watch.stop()
        if leaving.code in (None, 0):
            watch.say_if_nothing_trained()
        raise
    finally:
        watch.stop()


def _apply(file: str, script: str, module: bool) -> None:
    """Put in place what a tuning recommends; the process starts anew where that needs another environment."""
    from sizer.base.errors import UsageError
    from sizer.report.pages.saved import read_json, record_of
    from sizer.tuning import applying
    from sizer.tuning.record import Tuning

    record = record_of(read_json(Path(file)), file)
    if not isinstance(record, Tuning):
        raise UsageError(f"{file} is no tuning; expected what sizer tune --save FILE wrote")
    applying.check(record, file, script, module)
    applying.begin_anew(record)
    applying.put(record)


def _say_changes() -> None:
    """Say whether this machine is at the speed that is predicted. Nothing that goes wrong here reaches the script."""
    with contextlib.suppress(Exception):
        from sizer.calibration.changes import changes_by_a_child
        from sizer.report.hook import wrapped

        for change in changes_by_a_child():
            print("\n".join(wrapped(f"warning: {change}")), file=sys.stderr)
