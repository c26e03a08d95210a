"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class WholeNumber(click.ParamType):
    """A whole number; the range is checked where the request is made, so that Python users get the same message."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read ``784``, ``1_000`` or ``2^20``."""
        text = str(value).strip()
        base, caret, exponent = text.partition("^")
        try:
            return int(base) ** _small(exponent) if caret else int(text)
        except ValueError:
            self.fail(f"{text[:40]!r} is not a whole number; expected one such as 784 or 2^20", param, ctx)


def _small(exponent: str) -> int:
    if not 0 <= int(exponent) <= 64:
        raise ValueError(exponent)
    return int(exponent)


class Listed(click.ParamType):
    """One value or several with commas between them, each read by another type."""

    def __init__(self, of: click.ParamType) -> None:
        self.of = of
        self.name = f"{of.name}[,...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Split at commas and read each part."""
        if isinstance(value, tuple):
            return value
        return tuple(self.of.convert(part, param, ctx) for part in str(value).split(",") if part.strip())


WHOLE = WholeNumber()
JSON = click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
DEVICE = click.option(
    "--device",
    metavar="NAME",
    help="cpu, cuda:0, or the name or file of a profile, for a machine you do not have. [default: the GPU if any]",
)


def training_options(command: Command) -> Command:
    """The settings of a training step that working sets depend on."""
    from sizer.method.training_step import DTYPES, OPTIMIZER_MOMENTS

    options = (
        click.option("--dtype", default="float32", show_default=True, metavar="NAME", help=f"{', '.join(DTYPES)}."),
        click.option(
            "--optimizer", default="adam", show_default=True, metavar="NAME", help=f"{', '.join(OPTIMIZER_MOMENTS)}."
        ),
        click.option(
            "--observations", type=WHOLE, metavar="N", help="Rows of the data set. [default: data set left out]"
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def flatten(groups: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """The values of a repeated, comma-separated option in one tuple, each once."""
    return tuple(dict.fromkeys(value for group in groups for value in group))
