"""`sizer doctor`: one page to paste into a bug report."""

from __future__ import annotations

import click

from sizer.cli.options import JSON


@click.command()
@JSON
def doctor(as_json: bool) -> None:
    """Show versions, what was detected and from where, the meters, the profile in use, and every warning.

    \b
    sizer doctor
    sizer doctor --json > report.json
    """
    from sizer.cli.output import show
    from sizer.diagnosis import diagnose

    show(diagnose(), as_json)
