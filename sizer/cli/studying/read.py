"""`sizer study read`: what a folder holds, and its tables filtered."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.studying.options import step_options


@click.command()
@step_options
@click.option("--table", metavar="NAME", help="metadata, power, nodes, summaries, standardized, or a Parquet folder.")
@click.option("--columns", metavar="A,B", help="Columns to read. [default: all but lists]")
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Rows to read: a value, several (a,b), or a range (2..10). Repeatable.",
)
def read(
    folder: Path,
    out: Path | None,
    quiet: bool,
    as_json: bool,
    table: str | None,
    columns: str | None,
    where: tuple[str, ...],
) -> None:
    """Say what a folder holds; with --table, read one table, filter it and write it as Parquet.

    Partitions that cannot match --where are not opened and no other columns are read, so that a table of hundreds of
    GB (BUTTER) can be filtered on a laptop: it is written as it is read.

    \b
    sizer study read butter-e
    sizer study read butter-e --table summaries --where dataset=mnist --where depth=2..5 --out mnist
    sizer study read . --table butter/primary_sweep_summary --columns widths,test_loss_median --where shape=rectangle
    """
    from sizer.cli.output import progress_bar, show
    from sizer.study.selecting import describe, parse_where, select

    with progress_bar(quiet) as advance:
        if table is None:
            if columns or where or out:
                raise click.UsageError("--columns, --where and --out filter one table; name it with --table")
            step = describe(folder)
        else:
            step = select(folder, table, columns.split(",") if columns else None, parse_where(where), out, advance)
    show(step, as_json)
