"""`sizer profiles`: the machines one can plan for."""

from __future__ import annotations

import click

from sizer.cli.options import JSON


@click.group()
def profiles() -> None:
    """List and show hardware profiles.

    A profile plans for a machine that you do not have: `sizer recommend --device NAME`.

    \b
    sizer profiles list
    sizer profiles show nvidia-h200
    """


@profiles.command("list")
@JSON
def list_profiles(as_json: bool) -> None:
    """List the profiles: shipped ones and your own.

    \b
    sizer profiles list
    """
    from sizer.cli.output import console, print_text, remark
    from sizer.profiles import all_profiles
    from sizer.report.profiles import profiles_json, profiles_table

    catalogue = all_profiles()
    if as_json:
        print_text(profiles_json(catalogue.profiles))
    else:
        console().print(profiles_table(catalogue.profiles))
    for warning in catalogue.warnings:
        remark(f"warning: {warning}")


@profiles.command("show")
@click.argument("name")
@JSON
def show_profile(name: str, as_json: bool) -> None:
    """Show a profile: levels, rates, coefficients, each with its source.

    \b
    sizer profiles show nvidia-h200
    sizer profiles show ./my-node.json
    """
    from sizer.cli.output import console, print_text
    from sizer.profiles import load
    from sizer.report.profiles import profile_renderables, profiles_json

    profile = load(name)
    if as_json:
        print_text(profiles_json([profile]))
    else:
        terminal = console()
        for renderable in profile_renderables(profile, terminal):
            terminal.print(renderable)
