"""`sizer study`: the published study's data and analysis, on its files or on one's own measurements."""

from __future__ import annotations

import click

from sizer.cli import LazyGroup

#: Sub-command -> (module, one-line help). Each module holds a click command of the sub-command's name.
STEPS: dict[str, tuple[str, str]] = {
    "fetch": ("sizer.cli.studying.files", "Download the published files."),
    "generate": ("sizer.cli.studying.runs", "Write small files in the published schema, from the cost model."),
    "read": ("sizer.cli.studying.files", "See what a folder holds, and filter its tables."),
    "energy": ("sizer.cli.studying.files", "From power samples to each run's standardised energy."),
    "run": ("sizer.cli.studying.runs", "Train a designed grid of networks on this machine."),
    "trends": ("sizer.cli.studying.analyses", "Cost a datum against parameters, operations, depth and data."),
    "caches": ("sizer.cli.studying.analyses", "Cost against the size of each working set, with cache edges."),
    "fit": ("sizer.cli.studying.analyses", "Coefficients for the measurements, with their errors."),
    "isoloss": ("sizer.cli.studying.analyses", "Cost to reach a loss: the cheapest sizes and the cache edges."),
}


class StudyGroup(LazyGroup):
    """A group whose steps are imported when they are called."""

    lazy_commands = STEPS


@click.group(cls=StudyGroup)
def study() -> None:
    """Repeat the published study, on its data or on your own measurements.

    A step reads FOLDER and writes its tables to --out (FOLDER itself by default), where the next one finds them.

    \b
    sizer study generate demo --runs 500          files to try the analysis on
    sizer study read demo                         what is there, what is missing
    sizer study energy demo                       joules of each run, rule by rule
    """
