"""The analyses of a study: trends, caches, fit and isoloss, each from the runs of a folder to tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.cli.commands import Command
from sizer.cli.options import HTML, JSON, PATH, QUIET, option, together

if TYPE_CHECKING:
    import pandas as pd

    from sizer.study.step import Advance, StudyStep

FOLDER = click.argument("folder", type=PATH)
#: FOLDER, --out, --quiet and --json, which every step has.
step_options = together(
    FOLDER,
    option("--out", type=PATH, metavar="FOLDER", help="Where to write. [default: FOLDER itself]"),
    QUIET,
    JSON,
    HTML,
)
QUANTITY = option(
    "--quantity", default="auto", metavar="NAME", help="energy, time, or auto: energy where joules are known."
)


class Analysis:
    """An analysis at work: the runs of a folder, where its tables and figures go, and the step that it ends in."""

    step: StudyStep

    def __init__(self, folder: Path, target: Path, advance: Advance) -> None:
        from sizer.study.own_runs.log import origin_of
        from sizer.study.runs.runs import load_runs

        self.runs, self._rules = load_runs(folder, advance)
        self._origin = origin_of(folder)
        self.levels = self._origin.levels
        self.target, self.advance = target, advance
        self.files: list[str] = []

    def save(self, **tables: pd.DataFrame) -> None:
        """Write tables as CSV, each under its name."""
        from sizer.study.step import save_csv

        self.files += [save_csv(table, self.target, name) for name, table in tables.items()]

    def answer(self) -> StudyStep:
        """The step with the rules and remarks of the runs that it is of, and with the files written."""
        rules = (*(rule for rule in self._rules if rule.count), *self.step.rules)
        warnings = (*self._origin.remarks, *self.step.warnings)
        return replace(self.step, rules=rules, warnings=warnings, files=tuple(self.files))


@contextmanager
def analysing(folder: Path, out: Path | None, quiet: bool, as_json: bool) -> Iterator[Analysis]:
    """An analysis of the folder's runs under a progress bar; its step is shown when the body has set it."""
    from sizer.cli.output import progress_bar, show

    with progress_bar(quiet) as advance:
        analysis = Analysis(folder, out or folder, advance)
        yield analysis
    show(analysis.answer(), as_json)


@click.command(cls=Command)
@step_options
@QUANTITY
def trends(quantity: str, **where: Any) -> None:
    """Medians, quartiles and slopes of cost a datum against parameters, operations, depth and training-set size.

    Writes trends.csv (the points of the study's figure 3), slopes.csv and a figure of each hardware.

    \b
    sizer study trends butter-e
    sizer study trends own_study --quantity time --out results
    """
    from sizer.study.analysis.trends import trends as find_trends
    from sizer.study.figures.figures import save_trends

    with analysing(**where) as work:
        work.advance("medians", 0.7)
        points, slopes, work.step = find_trends(work.runs, quantity)
        work.save(trends=points, slopes=slopes)
        work.advance("figures", 0.9)
        work.files += save_trends(points, work.target)


@click.command(cls=Command)
@step_options
@QUANTITY
def caches(quantity: str, **where: Any) -> None:
    """Cost against the size of each working set: medians of a sliding window, and where sets leave each cache.

    Writes caches.csv, cache_edges.csv and a figure of each hardware (the study's figure 4).

    \b
    sizer study caches butter-e
    sizer study caches own_study --json
    """
    from sizer.study.analysis.cache_edges import cache_edges
    from sizer.study.figures.figures import save_caches

    with analysing(**where) as work:
        work.advance("windows", 0.7)
        windows, edges, work.step = cache_edges(work.runs, work.levels, quantity)
        work.save(caches=windows, cache_edges=edges)
        work.advance("figures", 0.9)
        work.files += save_caches(windows, edges, work.target)


@click.command(cls=Command)
@step_options
@QUANTITY
@option(
    "--form",
    type=click.Choice(["published", "extended"]),
    default="published",
    help="The paper's terms, or sizer's own as well.",
)
def fit(quantity: str, form: str, **where: Any) -> None:
    """Fit the cost of whole trainings: each coefficient with its standard error, and the errors of the fit.

    A coefficient is identified when design and noise pin it down to 2 % (three standard errors), rough when they show
    that it is not 0. Writes fit_FORM_coefficients.csv, fit_FORM_ratios.csv and the figure fit_FORM (the study's figure
    5).

    \b
    sizer study fit butter-e
    sizer study fit own_study --form extended --quantity time
    """
    from sizer.study.analysis.cost_fit import fit_costs
    from sizer.study.analysis.quantity import quantity_of
    from sizer.study.figures.figures import save_fit

    with analysing(**where) as work:
        work.advance("fitting", 0.6)
        terms, ratios, work.step = fit_costs(work.runs, work.levels, form, quantity)
        work.save(**{f"fit_{form}_coefficients": terms, f"fit_{form}_ratios": ratios})
        work.advance("figures", 0.9)
        work.files += save_fit(ratios, quantity_of(work.runs, quantity).unit, work.target, form)


@click.command(cls=Command)
@step_options
@QUANTITY
def isoloss(folder: Path, quantity: str, **where: Any) -> None:
    """Cost to reach a loss against size, by data set, shape and depth: where it is least, and the cache edges near it.

    Writes isoloss_curves.parquet, isoloss_minima.csv, isoloss_edges.csv, isoloss_histogram.csv, data_efficiency.csv and
    the figures of the study's section 8: curves, FLOPs beside cost, minima, the law of epochs.

    \b
    sizer study isoloss butter-e
    sizer study isoloss own_study --out results
    """
    from sizer.study.analysis.iso_loss import iso_loss, read_losses
    from sizer.study.analysis.loss_curves import fit_laws
    from sizer.study.figures.figures import save_iso_loss
    from sizer.study.step import save_parquet

    with analysing(folder, **where) as work:
        work.advance("losses by epoch", 0.4)
        summaries = read_losses(folder)
        work.advance("curves", 0.5)
        found, work.step = iso_loss(work.runs, summaries, work.levels, quantity)
        work.advance("law of epochs", 0.7)
        networks, laws = fit_laws(summaries, found.curves)
        work.files.append(save_parquet(found.curves, work.target, "isoloss_curves"))
        work.save(isoloss_minima=found.minima, isoloss_edges=found.edges, isoloss_histogram=found.histogram)
        work.save(data_efficiency=laws)
        work.advance("figures", 0.8)
        work.files += save_iso_loss(found, networks, laws, work.target)
