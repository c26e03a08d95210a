"""`sizer completion`: the script that makes a shell complete sizer's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


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
