"""How options are read, and those that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sizer.base.units import read_bytes, read_joules, read_number, read_seconds, read_separate, read_whole

Command = TypeVar("Command", bound=Callable[..., Any])


class Read(click.ParamType):
    """A value that a function reads from text; where it raises ValueError, one line says what is expected.

    Ranges are checked where the request is made, so that Python users get the same message.
    """

    def __init__(self, name: str, read: Callable[[str], Any], expected: str) -> None:
        self.name = name
        self._read = read
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read text; what is no text has been read before, or is a default."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value.strip())
        except ValueError:
            self.fail(f"{value.strip()[:40]!r} is {self._expected}", param, ctx)


WHOLE = Read("integer", read_whole, "not a whole number; expected one such as 784, 20,000, 20k or 2^20")
NUMBER = Read("number", read_number, "no number; expected one such as 0.25, 1e-3 or 20,000")
#: ``60``, ``60s``, ``2m``, ``1h30m`` or ``1ms``, in s.
DURATION = Read("duration", read_seconds, "no time; expected one such as 60s, 2m, 1h30m or 5ms")
BYTES = Read("bytes", read_bytes, "no amount of memory; expected one such as 10MiB or 1048576")
#: An energy in J.
JOULES = Read("energy", read_joules, "no energy; expected one such as 500, 2kJ or 5Wh")
PATH = click.Path(path_type=Path)


def option(*names: str, **facts: Any) -> Callable[[Command], Command]:
    """An option of click's whose default, where it is given one, stands in the help."""
    return click.option(*names, show_default="default" in facts, **facts)


def several(name: str, of: click.ParamType = click.STRING, **facts: Any) -> Callable[[Command], Command]:
    """A repeatable option of values with commas between them; they arrive in one tuple, each once."""

    def read(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[Any, ...]:
        parts = (part for text in texts for part in read_separate(text))
        return tuple(dict.fromkeys(of.convert(part, param, ctx) for part in parts))

    return click.option(name, multiple=True, callback=read, **facts)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in this order in the help."""

    def decorate(command: Command) -> Command:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate


DETAILS = option("--details", is_flag=True, help="Show everything: what the answer rests on.")
JSON = option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
#: Where a context keeps the page that `HTML` asks for: a command only shows its record, and its page is written then.
PAGE = "sizer.page"


def _note_page(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:  # noqa: ARG001
    if path is not None:  # (found out before the work, not after it)
        from sizer.report.pages.writing import check_page

        check_page(path)
    ctx.meta[PAGE] = path


HTML = option(
    "--html",
    type=PATH,
    metavar="FILE",
    expose_value=False,
    callback=_note_page,
    help="Also write a page with charts that needs nothing else.",
)
QUIET = option("--quiet", is_flag=True, help="No progress bar.")
BATCH_SIZE = option("--batch-size", type=WHOLE, default=256, metavar="N", help="Observations in a step.")
THREADS = option("--threads", type=WHOLE, metavar="N", help="Threads of PyTorch. [default: PyTorch's]")
#: A device of this machine, to measure on.
HERE = option("--device", default="cpu", metavar="NAME", help="cpu or cuda:0.")
#: Any device, to plan for.
DEVICE = option(
    "--device",
    metavar="NAME",
    help="cpu, cuda:0, or the name or file of a profile, for a machine you do not have. [default: the cheaper one]",
)


def training_options(command: Command) -> Command:
    """The settings of a training step that working sets depend on."""
    from sizer.method.training_step import DTYPES, OPTIMIZER_MOMENTS

    dtype = option("--dtype", default="float32", metavar="NAME", help=f"{', '.join(DTYPES)}.")
    optimizer = option("--optimizer", default="adam", metavar="NAME", help=f"{', '.join(OPTIMIZER_MOMENTS)}.")
    rows = option("--observations", type=WHOLE, metavar="N", help="Rows of the data set. [default: data set left out]")
    return together(dtype, optimizer, rows)(command)
