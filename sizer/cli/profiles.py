"""`sizer profiles`: the machines one can plan for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.cli.commands import Group
from sizer.cli.options import BATCH_SIZE, DETAILS, HTML, JSON, PATH, WHOLE, option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from sizer.profiles.filing import Transfer


class ProfileName(click.ParamType):
    """The name of a profile; shells complete it, with files beside the names where those are taken too."""

    name = "profile"

    def __init__(self, files: bool = False) -> None:
        self._files = files

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The names that begin with what is typed."""
        from click.shell_completion import CompletionItem

        from sizer.profiles import names

        found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return [*found, CompletionItem(incomplete, type="file")] if self._files else found


@click.group(cls=Group)
def profiles() -> None:
    """List, show, compare and share hardware profiles.

    A profile plans for a machine that you do not have: `sizer recommend --device NAME`.

    \b
    sizer profiles list
    sizer profiles show nvidia-h200
    sizer profiles compare nvidia-h200 nvidia-t4
    """


@profiles.command("list")
@JSON
def list_profiles(as_json: bool) -> None:
    """List the profiles: shipped ones and your own.

    \b
    sizer profiles list
    """
    from sizer.cli.output import print_text, remark, show_blocks
    from sizer.profiles import all_profiles
    from sizer.report.profiles import profiles_json, profiles_table

    catalogue = all_profiles()
    if as_json:
        print_text(profiles_json(catalogue.profiles))
    else:
        show_blocks([profiles_table(catalogue.profiles)])
    for warning in catalogue.warnings:
        remark(f"warning: {warning}")


@profiles.command("show")
@click.argument("name", type=ProfileName(files=True))
@JSON
def show_profile(name: str, as_json: bool) -> None:
    """Show a profile: levels, rates, coefficients, each with its source.

    \b
    sizer profiles show nvidia-h200
    sizer profiles show ./my-node.json
    """
    from sizer.cli.output import print_text, show_blocks
    from sizer.profiles import load
    from sizer.report.profiles import profile_report, profiles_json

    profile = load(name)
    if as_json:
        print_text(profiles_json([profile]))
    else:
        show_blocks(profile_report(profile))


@profiles.command("compare")
@click.argument("first", type=ProfileName(files=True))
@click.argument("second", type=ProfileName(files=True))
@option("--input-dim", type=WHOLE, default=784, metavar="N", help="Features of an observation.")
@option("--depth", type=WHOLE, default=6, metavar="N", help="Layers, output layer included.")
@option("--output-dim", type=WHOLE, default=10, metavar="N", help="Width of the last layer.")
@BATCH_SIZE
@option("--quantity", type=click.Choice(["time", "energy"]), help="What to compare. [default: what both know]")
@DETAILS
@JSON
@HTML
def compare_profiles(first: str, second: str, quantity: str | None, as_json: bool, details: bool, **asked: Any) -> None:
    """Compare two machines: levels, coefficients, and the sizes at which the cheaper one changes.

    FIRST and SECOND are names or files of profiles, or cpu and cuda:0 for this machine.

    \b
    sizer profiles compare nvidia-h200 nvidia-t4
    sizer profiles compare cpu laptop.json --batch-size 32
    """
    from sizer.cli.output import show
    from sizer.fleet.comparison import Asked
    from sizer.fleet.nodes import compare_named

    show(compare_named(first, second, Asked(**asked), quantity), as_json, details=details)


@profiles.command("export")
@click.argument("name", type=ProfileName())
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@JSON
def export_profile(name: str, file: Path, as_json: bool) -> None:
    """Write a profile into FILE, for another machine; - is standard output.

    \b
    sizer profiles export calibrated-cpu laptop.json
    """
    from sizer.cli.output import print_text
    from sizer.profiles import filing

    if str(file) == "-":
        print_text(filing.exported_text(name))
    else:
        _say(filing.export_profile(name, file), as_json)


@profiles.command("import")
@click.argument("file", type=PATH)
@option("--as", "name", metavar="NAME", help="Under this name. [default: the name in the file]")
@option("--force", is_flag=True, help="In place of one of the same name.")
@JSON
def import_profile(file: Path, name: str | None, force: bool, as_json: bool) -> None:
    """Take the profile in FILE into yours, so that --device NAME plans for its machine.

    \b
    sizer profiles import laptop.json --as old-laptop
    """
    from sizer.profiles import filing

    _say(filing.import_profile(file, name, force), as_json)


@profiles.command("remove")
@click.argument("name", type=ProfileName())
@option("--yes", is_flag=True, help="Do not ask.")
@JSON
def remove_profile(name: str, yes: bool, as_json: bool) -> int:
    """Remove a profile of yours; shipped ones stay.

    \b
    sizer profiles remove old-laptop
    """
    from sizer.base.errors import UsageError
    from sizer.cli.output import remark
    from sizer.profiles import filing

    path = filing.removable(name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"removing {path} asks first, and nobody can answer; give --yes")
        if not click.confirm(f"Remove {path}?", err=True):
            remark("nothing was removed")
            return 1
    _say(filing.remove_profile(name), as_json)
    return 0


def _say(done: Transfer, as_json: bool) -> None:
    """What was done, and what to know about others of the name."""
    from sizer.cli.output import print_text, remark

    again = " in place of the one that was there" if done.replaced else ""
    where = {"exported": "to", "imported": "into", "removed": "from"}[done.action]
    print_text(done.to_json() if as_json else f"{done.action} {done.name} {where} {done.path}{again}")
    if done.remark is not None:
        remark(f" !  {done.remark}")
