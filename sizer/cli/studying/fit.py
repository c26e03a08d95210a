"""`sizer study fit`: coefficients for the measurements, with their errors."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.studying.analysing import QUANTITY, answer, load
from sizer.cli.studying.options import step_options


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
    from sizer.study.cost_fitting import fit_costs
    from sizer.study.figures_fit import save_fit
    from sizer.study.quantity import quantity_of
    from sizer.study.tables import save_csv

    with progress_bar(quiet) as advance:
        loaded = load(folder, advance)
        advance("fitting", 0.6)
        terms, ratios, step = fit_costs(loaded.runs, loaded.origin.levels, form, quantity)
        target = out or folder
        tables = [save_csv(terms, target, f"fit_{form}_coefficients"), save_csv(ratios, target, f"fit_{form}_ratios")]
        advance("figures", 0.9)
        files = [*tables, *save_fit(ratios, quantity_of(loaded.runs, quantity).unit, target, form)]
    answer(step, loaded, files, as_json)
