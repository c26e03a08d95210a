"""`sizer study isoloss`: cost to reach a loss, and where it is least against the cache edges."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.studying.analysing import QUANTITY, answer, load
from sizer.cli.studying.options import step_options


@click.command()
@step_options
@QUANTITY
def isoloss(folder: Path, out: Path | None, quantity: str, quiet: bool, as_json: bool) -> None:
    """Cost to reach a loss against size, by data set, shape and depth: where it is least, and the cache edges near it.

    Writes isoloss_curves.parquet, isoloss_minima.csv, isoloss_edges.csv, isoloss_histogram.csv, data_efficiency.csv and
    the figures of the study's section 8: curves, FLOPs beside cost, minima, the law of epochs.

    \b
    sizer study isoloss butter-e
    sizer study isoloss own_study --out results
    """
    from sizer.cli.output import progress_bar
    from sizer.study.efficiency_law import fit_laws
    from sizer.study.figures_isoloss import save_iso_loss
    from sizer.study.iso_loss import iso_loss, read_losses
    from sizer.study.tables import save_csv, save_parquet

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("losses by epoch", 0.4)
        summaries = read_losses(folder)
        advance("curves", 0.5)
        found, step = iso_loss(loaded.runs, summaries, loaded.origin.levels, quantity)
        advance("law of epochs", 0.7)
        networks, laws = fit_laws(summaries, found.curves)
        target = out or folder
        tables = [
            save_parquet(found.curves, target, "isoloss_curves"),
            save_csv(found.minima, target, "isoloss_minima"),
            save_csv(found.edges, target, "isoloss_edges"),
            save_csv(found.histogram, target, "isoloss_histogram"),
            save_csv(laws, target, "data_efficiency"),
        ]
        advance("figures", 0.8)
        files = [*tables, *save_iso_loss(found, networks, laws, target)]
    answer(step, loaded, files, as_json)
