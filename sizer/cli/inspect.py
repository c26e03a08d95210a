"""`sizer inspect`: the working sets and the cost of networks that the user names."""

from __future__ import annotations

from typing import Any

import click

from sizer.cli.options import DEVICE, JSON, WHOLE, training_options


@click.command()
@click.option(
    "--mlp", multiple=True, required=True, metavar="WIDTHS", help="784-512-512-10; repeatable; `-` reads one a line."
)
@click.option("--batch-size", type=WHOLE, default=256, show_default=True, metavar="N", help="Observations in a step.")
@training_options
@DEVICE
@JSON
def inspect(mlp: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Size and price networks: working sets, the level each lives on, operations, time or energy of a step.

    \b
    sizer inspect --mlp 784-512-512-10
    sizer inspect --mlp 784-512x2-10 --mlp 784-100-10 --device nvidia-a100-80gb
    generate-widths | sizer inspect --mlp - --json
    """
    import sizer
    from sizer.cli.output import show

    show(sizer.inspect(list(_networks(mlp)), **options), as_json)


def _networks(arguments: tuple[str, ...]) -> Any:
    """The networks named on the command line; `-` stands for the lines of standard input."""
    from sizer.errors import UsageError
    from sizer.inspection import parse_mlp

    count = 0
    for argument in arguments:
        lines = click.get_text_stream("stdin") if argument == "-" else [argument]
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield parse_mlp(line)
            except UsageError as error:
                where = f"line {number} of standard input: " if argument == "-" else ""
                raise UsageError(f"{where}{error}") from None
            count += 1
    if not count:
        raise UsageError("no network given; expected widths from input to output such as 784-512-512-10")
