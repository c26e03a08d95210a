"""The files of a study: fetch, read, and energy, which joins power samples with runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sizer.cli.commands import Command
from sizer.cli.options import HTML, JSON, QUIET, option
from sizer.cli.studying.analyses import FOLDER, step_options

if TYPE_CHECKING:
    from sizer.study.files.fetch import Wanted


@click.command(cls=Command)
@FOLDER
@option("--file", "names", multiple=True, metavar="NAME", help="A file, or all. Repeatable. [default: for energy]")
@option("--base", metavar="URL", help="Another address of the folder that the files are in (a mirror).")
@option("--sha256", "sums", multiple=True, metavar="NAME=HEX", help="Checksum to hold a file to. Repeatable.")
@option("--yes", is_flag=True, help="Accept licence and size without being asked.")
@QUIET
@JSON
@HTML
def fetch(
    folder: Path, names: tuple[str, ...], base: str | None, sums: tuple[str, ...], yes: bool, quiet: bool, as_json: bool
) -> None:
    """Download the published files into FOLDER: shows licence and sizes first, goes on where it was interrupted.

    The losses by epoch (summary_by_epoch.tar, 1.3 GB) come only by name or with all. Checksums are noted in
    SHA256SUMS; the authors publish none to check against.

    \b
    sizer study fetch butter-e
    sizer study fetch butter-e --file all --yes
    """
    from sizer.base.errors import UsageError
    from sizer.cli.output import progress_bar, show
    from sizer.study.files.fetch import fetch as download
    from sizer.study.files.fetch import wanted

    given = dict(text.split("=", 1) for text in sums if "=" in text)
    if len(given) < len(sums):
        raise UsageError("--sha256 expects NAME=HEX, such as node_sinfo.csv=9f86d081...")
    items = wanted(names, base, given)
    _tell(items)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to accept the licence; add --yes if you do")
        click.confirm("Download these files under that licence?", abort=True, err=True)
    with progress_bar(quiet) as advance:
        step = download(folder, items, advance)
    show(step, as_json)


def _tell(items: Sequence[Wanted]) -> None:
    """Licence, source and sizes, on standard error."""
    from sizer.base.units import format_bytes
    from sizer.cli.output import remark
    from sizer.study.files.fetch import catalogue

    facts = catalogue()
    remark(f"{facts['title']}\n{facts['authors']}\n{facts['page']}, doi {facts['doi']}")
    remark(f"Licence: {facts['licence']} ({facts['licence_url']}): name the authors where you use the data.")
    for item in items:
        remark(f"  {item.name:40} {format_bytes(item.bytes):>10}")
    remark(f"  {'in all':40} {format_bytes(sum(item.bytes or 0 for item in items)):>10}")


@click.command(cls=Command)
@step_options
@option("--table", metavar="NAME", help="metadata, power, nodes, summaries, standardized, or a Parquet folder.")
@option("--columns", metavar="A,B", help="Columns to read. [default: all but lists]")
@option(
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
    from sizer.study.files.partitioned import parse_where
    from sizer.study.files.tables import describe, select

    with progress_bar(quiet) as advance:
        if table is None:
            if columns or where or out:
                raise click.UsageError("--columns, --where and --out filter one table; name it with --table")
            step = describe(folder)
        else:
            step = select(folder, table, columns.split(",") if columns else None, parse_where(where), out, advance)
    show(step, as_json)


@click.command(cls=Command)
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
    from sizer.study.runs.energy import read_energies
    from sizer.study.runs.runs import completed, write_runs

    with progress_bar(quiet) as advance:
        frame, step = read_energies(folder, advance)
        advance("working sets", 0.95)
        found = completed(folder, frame, step.rules)
        files = write_runs(found.frame, out or folder)
    show(replace(step, rows_out=len(found.frame), rules=found.rules).with_files(files), as_json)
