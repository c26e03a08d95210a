"""`sizer study energy`: from power samples to each run's standardised energy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from sizer.cli.studying.options import step_options


@click.command()
@step_options
def energy(folder: Path, out: Path | None, quiet: bool, as_json: bool) -> None:
    """Join power samples with runs, reject, filter, standardise and subtract the overhead, rule by rule.

    Writes runs_with_standardized_energy.csv.zip, as published, and runs.parquet with working sets, levels and joules a
    datum beside it, which the other steps read.

    \b
    sizer study energy butter-e
    sizer study energy butter-e --out results --json
    """
    from sizer.cli.output import progress_bar, show
    from sizer.study.energy import read_energies
    from sizer.study.runs import completed, write_runs

    with progress_bar(quiet) as advance:
        frame, step = read_energies(folder, advance)
        advance("working sets", 0.95)
        found = completed(folder, frame, step.rules)
        files = write_runs(found.frame, out or folder)
    show(replace(step, rows_out=len(found.frame), rules=found.rules).with_files(files), as_json)
