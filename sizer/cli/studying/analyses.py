"""`sizer study isoloss`: cost to reach a loss, and where it is least against the cache edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from sizer.cli.options import JSON

if TYPE_CHECKING:
    import pandas as pd

    from sizer.study.own_runs.log import Origin
    from sizer.study.step import Rule, StudyStep


Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
OUT = click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to write. [default: FOLDER itself]"
)
QUIET = click.option("--quiet", is_flag=True, help="No progress bar.")


def step_options(command: Command) -> Command:
    """FOLDER, --out, --quiet and --json, which every step has."""
    for option in (JSON, QUIET, OUT, FOLDER):
        command = option(command)
    return command


QUANTITY = click.option(
    "--quantity",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="energy, time, or auto: energy where joules are known.",
)


class Loaded(NamedTuple):
    """The runs frame of a folder, the rules by which runs were left out of it, and where it is from."""

    runs: pd.DataFrame
    rules: tuple[Rule, ...]
    origin: Origin


def load(folder: Path, advance: Callable[[str, float], None]) -> Loaded:
    """The runs of a folder; what takes long tells ``advance``."""
    from sizer.study.own_runs.log import origin_of
    from sizer.study.runs.runs import load_runs

    frame, rules = load_runs(folder, advance)
    return Loaded(frame, rules, origin_of(folder))


def answer(step: StudyStep, loaded: Loaded, files: Sequence[str], as_json: bool) -> None:
    """Show a step with the rules and remarks of the runs that it is of, and with the files written."""
    from sizer.cli.output import show

    rules = (*(rule for rule in loaded.rules if rule.count), *step.rules)
    warnings = (*loaded.origin.remarks, *step.warnings)
    show(replace(step, rules=rules, warnings=warnings, files=tuple(files)), as_json)


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
    from sizer.study.analysis.trends import trends as analyse
    from sizer.study.figures.figures import save_trends
    from sizer.study.step import save_csv

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("medians", 0.7)
        points, slopes, step = analyse(loaded.runs, quantity)
        target = out or folder
        tables = [save_csv(points, target, "trends"), save_csv(slopes, target, "slopes")]
        advance("figures", 0.9)
        files = [*tables, *save_trends(points, target)]
    answer(step, loaded, files, as_json)


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
    from sizer.study.analysis.cache_edges import cache_edges
    from sizer.study.figures.figures import save_caches
    from sizer.study.step import save_csv

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("windows", 0.7)
        windows, edges, step = cache_edges(loaded.runs, loaded.origin.levels, quantity)
        target = out or folder
        tables = [save_csv(windows, target, "caches"), save_csv(edges, target, "cache_edges")]
        advance("figures", 0.9)
        files = [*tables, *save_caches(windows, edges, target)]
    answer(step, loaded, files, as_json)


@click.command()
@step_options
@QUANTITY
@click.option(
    "--form",
    type=click.Choice(["published", "extended"]),
    default="published",
    show_default=True,
    help="The paper's terms, or sizer's own as well.",
)
def fit(folder: Path, out: Path | None, quantity: str, form: str, quiet: bool, as_json: bool) -> None:
    """Fit the cost of whole trainings: each coefficient with its standard error, and the errors of the fit.

    A coefficient is identified when design and noise pin it down to 2 % (three standard errors), rough when they show
    that it is not 0. Writes fit_FORM_coefficients.csv, fit_FORM_ratios.csv and the figure fit_FORM (the study's figure
    5).

    \b
    sizer study fit butter-e
    sizer study fit own_study --form extended --quantity time
    """
    from sizer.cli.output import progress_bar
    from sizer.study.analysis.cost_fit import fit_costs
    from sizer.study.analysis.quantity import quantity_of
    from sizer.study.figures.figures import save_fit
    from sizer.study.step import save_csv

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("fitting", 0.6)
        terms, ratios, step = fit_costs(loaded.runs, loaded.origin.levels, form, quantity)
        target = out or folder
        tables = [save_csv(terms, target, f"fit_{form}_coefficients"), save_csv(ratios, target, f"fit_{form}_ratios")]
        advance("figures", 0.9)
        files = [*tables, *save_fit(ratios, quantity_of(loaded.runs, quantity).unit, target, form)]
    answer(step, loaded, files, as_json)


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
    from sizer.study.analysis.iso_loss import iso_loss, read_losses
    from sizer.study.analysis.loss_curves import fit_laws
    from sizer.study.figures.figures import save_iso_loss
    from sizer.study.step import save_csv, save_parquet

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
