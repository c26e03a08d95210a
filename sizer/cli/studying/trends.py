"""`sizer study trends`: cost a datum against parameters, operations, depth and training-set size."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.studying.analysing import QUANTITY, answer, load
from sizer.cli.studying.options import step_options


@click.command()
@step_options
@QUANTITY
def trends(folder: Path, out: Path | None, quantity: str, quiet: bool, as_json: bool) -> None:
    """Medians, quartiles and slopes of cost a datum against parameters, operations, depth and training-set size.

    Writes trends.csv (the points of the study's figure 3), slopes.csv and a figure of each hardware.

    \b
    sizer study trends butter-e
    sizer study trends own_study --quantity time --out results
    """
    from sizer.cli.output import progress_bar
    from sizer.study.figures_trends import save_trends
    from sizer.study.tables import save_csv
    from sizer.study.trends import trends as analyse

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("medians", 0.7)
        points, slopes, step = analyse(loaded.runs, quantity)
        target = out or folder
        tables = [save_csv(points, target, "trends"), save_csv(slopes, target, "slopes")]
        advance("figures", 0.9)
        files = [*tables, *save_trends(points, target)]
    answer(step, loaded, files, as_json)
