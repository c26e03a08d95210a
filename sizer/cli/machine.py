"""Commands about this machine: `sizer detect`, `sizer doctor`, `sizer completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sizer.cli.options import HTML, JSON


@click.command()
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


@click.command()
@JSON
@HTML
def doctor(as_json: bool) -> None:
    """Show versions, what was detected and from where, the meters, the profile in use, and every warning.

    \b
    sizer doctor
    sizer doctor --json > report.json
    """
    from sizer.cli.output import show
    from sizer.diagnosis import diagnose

    show(diagnose(), as_json)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(sizer completion bash)"       in ~/.bashrc
    zsh:   eval "$(sizer completion zsh)"        in ~/.zshrc
    fish:  sizer completion fish > ~/.config/fish/completions/sizer.fish
    """
    from sizer.cli import sizer

    completion_class = get_completion_class(shell)
    assert completion_class is not None  # (click.Choice lists only known shells)
    click.echo(completion_class(sizer, {}, "sizer", "_SIZER_COMPLETE").source())
