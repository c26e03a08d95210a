"""`sizer study fetch`: download the published files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sizer.cli.options import JSON
from sizer.cli.studying.options import FOLDER, QUIET

if TYPE_CHECKING:
    from sizer.study.fetching import Wanted


@click.command()
@FOLDER
@click.option(
    "--file", "names", multiple=True, metavar="NAME", help="A file, or all. Repeatable. [default: for energy]"
)
@click.option("--base", metavar="URL", help="Another address of the folder that the files are in (a mirror).")
@click.option("--sha256", "sums", multiple=True, metavar="NAME=HEX", help="Checksum to hold a file to. Repeatable.")
@click.option("--yes", is_flag=True, help="Accept licence and size without being asked.")
@QUIET
@JSON
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
    from sizer.cli.output import progress_bar, show
    from sizer.errors import UsageError
    from sizer.study.fetching import fetch as download
    from sizer.study.fetching import wanted

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
    from sizer.cli.output import remark
    from sizer.study.fetching import catalogue
    from sizer.units import format_bytes

    facts = catalogue()
    remark(f"{facts['title']}\n{facts['authors']}\n{facts['page']}, doi {facts['doi']}")
    remark(f"Licence: {facts['licence']} ({facts['licence_url']}): name the authors where you use the data.")
    for item in items:
        remark(f"  {item.name:40} {format_bytes(item.bytes):>10}")
    remark(f"  {'in all':40} {format_bytes(sum(item.bytes or 0 for item in items)):>10}")
