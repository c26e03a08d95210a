"""Commands about this machine: `sizer detect`, `sizer doctor`, `sizer completion`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sizer.cli.commands import Command
from sizer.cli.options import HTML, JSON, PATH

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete


@click.command(cls=Command)
@click.option("--sysroot", metavar="DIR", help="Read the proc and sys of another Linux machine beneath DIR instead.")
@click.option("--fresh", is_flag=True, help="Read the hardware again, not the kept result.")
@JSON
@HTML
def detect(sysroot: str | None, fresh: bool, as_json: bool) -> None:
    """Show the memory hierarchy: caches, RAM and GPUs, one instance of each level, and where each value is from.

    Sizes are of one instance; "instances" counts those that the CPUs this process may use touch. The result is kept
    until the hardware, the CPU affinity or the limits of the control group change.

    \b
    sizer detect
    sizer detect --fresh --json
    sizer detect --sysroot captures/dual-epyc
    """
    from sizer.cli.output import show
    from sizer.detection.detect import detect as detect_machine

    show(detect_machine(sysroot, fresh), as_json)


@click.command(cls=Command)
@click.option("--bundle", type=PATH, metavar="FILE", help="Pack what a bug report needs into FILE.zip, anonymised.")
@JSON
@HTML
def doctor(bundle: Path | None, as_json: bool) -> None:
    """Show versions, what was detected and from where, the meters, the profile in use, and every warning.

    With --bundle a file for a bug report is written and its contents are listed: this page, your profiles and
    measurements, and what the kernel says of the processor, without names of the machine, of people and of folders.
    It is sent nowhere.

    \b
    sizer doctor
    sizer doctor --bundle report.zip
    sizer doctor --json > report.json
    """
    from sizer.cli.output import show, show_blocks, write_page
    from sizer.diagnosis import diagnose

    if bundle is None:
        show(diagnose(), as_json)
        return
    from sizer.report.bundle import bundle_report, check_bundle, write_bundle

    check_bundle(bundle)
    record = diagnose()
    packed = write_bundle(bundle, record)
    if as_json:
        show(record, as_json, {"bundle": [f"{one.name}: {one.what}" for one in packed]})
    else:
        show_blocks(bundle_report(bundle, packed))
        write_page(record)


SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.option("--install", is_flag=True, help="Write it into your own files, so that every new shell completes.")
def completion(shell: str | None, install: bool) -> None:
    """Print the completion script of a shell, by default the one you use; with --install, set it up for good.

    \b
    sizer completion --install
    bash:  eval "$(sizer completion bash)"       in ~/.bashrc
    zsh:   eval "$(sizer completion zsh)"        in ~/.zshrc
    fish:  sizer completion fish > ~/.config/fish/completions/sizer.fish
    """
    from sizer.cli.output import print_text

    shell = shell or _own_shell()
    if install:
        print_text(_install(shell))
    else:
        print_text(_completing(shell).source())


def _own_shell() -> str:
    """The shell that the user has. Raises UsageError for one without completion."""
    import os

    from sizer.base.errors import UsageError

    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise UsageError(f"which shell? it is not in $SHELL; name one of {', '.join(SHELLS)}")
    return shell


def _completing(shell: str) -> ShellComplete:
    from click.shell_completion import get_completion_class

    from sizer.cli import sizer

    completion_class = get_completion_class(shell)
    assert completion_class is not None  # (click knows them all)
    return completion_class(sizer, {}, "sizer", "_SIZER_COMPLETE")


def _install(shell: str) -> str:
    """Write the script beside the user's other files, and one line into the shell's start file, once; says what."""
    from sizer.base.storage import config_folder, write_whole

    script = _completing(shell).source()
    if shell == "fish":
        path = config_folder().parent / "fish" / "completions" / "sizer.fish"
        write_whole(path, script)
        return f"wrote {path}; new shells complete sizer"
    path, start = config_folder() / f"completion.{shell}", Path.home() / f".{shell}rc"
    write_whole(path, script)
    line = f"[ -f '{path}' ] && . '{path}'  # sizer's completion"
    before = start.read_text(encoding="utf-8") if start.exists() else ""
    if line in before:
        return f"wrote {path}; {start} reads it already"
    write_whole(start.resolve(), f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")
    return f"wrote {path} and one line into {start}; new shells complete sizer (this one: . '{path}')"


@click.command("help", cls=Command)
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
def show_help(names: tuple[str, ...]) -> None:
    """Show the help of sizer, or of a command.

    \b
    sizer help recommend
    sizer help profiles compare
    """
    from sizer.cli import sizer

    context = click.Context(sizer, info_name="sizer", help_option_names=["-h", "--help"])
    command: click.Command = sizer
    for name in names:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{context.command_path} has no commands of its own", context)
        _, found, _ = command.resolve_command(context, [name])
        assert found is not None  # (an unknown one raises)
        command = found
        context = click.Context(command, info_name=name, parent=context)
    click.echo(command.get_help(context))


help = show_help  # noqa: A001 (the command's name, by which it is found)
