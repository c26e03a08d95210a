"""What the steps of `sizer study` share: the folder they read, where they write, how they answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sizer.cli.options import JSON

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
OUT = click.option(
    "--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to write. [default: FOLDER itself]"
)
QUIET = click.option("--quiet", is_flag=True, help="No progress bar.")


def step_options(command: Command) -> Command:
    """FOLDER, --out, --quiet and --json, which every step has."""
    for option in (JSON, QUIET, OUT, FOLDER):
        command = option(command)
    return command
