"""`sizer report`: records as one page of HTML."""

from __future__ import annotations

from pathlib import Path

import click

from sizer.cli.options import PATH, option


@click.command()
@click.argument("records", nargs=-1, required=True, type=PATH, metavar="RECORD.json...")
@option("--html", "target", type=PATH, default=Path("report.html"), metavar="FILE", help="The page to write.")
@option("--force", is_flag=True, help="Overwrite FILE even if sizer did not write it.")
@option("--anonymous", is_flag=True, help="Leave out host, user and paths.")
def report(records: tuple[Path, ...], target: Path, force: bool, anonymous: bool) -> None:
    """Show records that were saved as JSON on one page of HTML, with a table of contents.

    A record is what `--json` printed, of this version or an earlier one. The page is a single file that needs no
    network: text, tables, charts with their values, and the records themselves to save again.

    \b
    sizer recommend --input-dim 784 --depth 6 --json > sizes.json
    sizer report sizes.json
    sizer report *.json --html all.html --anonymous
    """
    from sizer.cli.output import remark
    from sizer.report.pages.page import page
    from sizer.report.pages.saved import read_entry
    from sizer.report.pages.writing import check_page, write_page

    check_page(target, force)
    entries = [read_entry(path, anonymous) for path in records]
    write_page(target, page(entries), force)
    remark(f"wrote {target}")
