"""`sizer study caches`: cost against the size of each working set, with cache edges."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.studying.analysing import QUANTITY, answer, load
from sizer.cli.studying.options import step_options


@click.command()
@step_options
@QUANTITY
def caches(folder: Path, out: Path | None, quantity: str, quiet: bool, as_json: bool) -> None:
    """Cost against the size of each working set: medians of a sliding window, and where sets leave each cache.

    Writes caches.csv, cache_edges.csv and a figure of each hardware (the study's figure 4).

    \b
    sizer study caches butter-e
    sizer study caches own_study --json
    """
    from sizer.cli.output import progress_bar
    from sizer.study.cache_edges import cache_edges
    from sizer.study.figures_caches import save_caches
    from sizer.study.tables import save_csv

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("windows", 0.7)
        windows, edges, step = cache_edges(loaded.runs, loaded.origin.levels, quantity)
        target = out or folder
        tables = [save_csv(windows, target, "caches"), save_csv(edges, target, "cache_edges")]
        advance("figures", 0.9)
        files = [*tables, *save_caches(windows, edges, target)]
    answer(step, loaded, files, as_json)
