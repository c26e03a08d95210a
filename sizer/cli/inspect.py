"""`sizer inspect`: the working sets and the cost of networks that the user names."""

from __future__ import annotations

import sys
from typing import Any

import click

from sizer.cli.commands import Command
from sizer.cli.options import BATCH_SIZE, DETAILS, DEVICE, DURATION, HTML, JSON, WHOLE, option, training_options


@click.command(cls=Command)
@click.argument("target", required=False)
@option("--mlp", multiple=True, metavar="WIDTHS", help="784-512-512-10; repeatable; `-` reads one a line.")
@option("--input", "inputs", multiple=True, metavar="SHAPE", help="256,784 or 8,128:int64; one for each input.")
@BATCH_SIZE
@option("--threads", type=WHOLE, metavar="N", help="Threads that PyTorch will have. [default: PyTorch's]")
@training_options
@DEVICE
@option(
    "--measure-missing",
    "measure_missing_s",
    type=DURATION,
    metavar="TIME",
    help="Time the module's operators that were never timed, so long at most.",
)
@DETAILS
@JSON
@HTML
@click.pass_context
def inspect(
    ctx: click.Context,
    /,
    target: str | None,
    mlp: tuple[str, ...],
    inputs: tuple[str, ...],
    as_json: bool,
    details: bool,
    **options: Any,
) -> None:
    """Size and price networks: working sets, the level each lives on, operations, time or energy of a step.

    TARGET is the function that builds a PyTorch module, a file with one such function or class in it, or an exported
    program. Its code is imported; the module is neither run nor allocated. A module is priced by its operators, which
    `sizer calibrate --operators` times.

    \b
    sizer inspect --mlp 784-512-512-10
    sizer inspect --mlp 784-512x2-10 --mlp 784-100-10 --device nvidia-a100-80gb
    generate-widths | sizer inspect --mlp - --json
    sizer inspect package.module:factory --input 256,3,32,32
    sizer inspect net.py --input 256,3,32,32
    sizer inspect net.py --input 256,3,32,32 --measure-missing 10s
    sizer inspect model.pt2
    """
    import sizer
    from sizer.base.errors import UsageError
    from sizer.cli.output import show

    if target is None:
        if options.pop("measure_missing_s") is not None:
            raise UsageError(
                "--measure-missing times a module's operators; name one: sizer inspect package.module:make"
            )
        show(sizer.inspect(list(_networks(mlp)), **options), as_json, details=details)
    elif mlp:
        raise UsageError("give either a module to inspect or --mlp, not both")
    else:
        if ctx.get_parameter_source("batch_size") is click.core.ParameterSource.DEFAULT and inputs:
            options["batch_size"] = None  # the example has its own
        show(_inspect_module(target, inputs, **options), as_json, details=details)


def _inspect_module(target: str, inputs: tuple[str, ...], **options: Any) -> Any:
    """Inspect what the target names; float32, the option's default, stands for the module's own type."""
    import sizer
    from sizer.inspection.loading import load_target
    from sizer.models.topology import check_whole

    module, example = load_target(target, inputs)
    options["dtype"] = "mixed" if options["dtype"] == "mixed" else None
    threads = options.pop("threads")
    if threads is not None:
        import torch

        torch.set_num_threads(check_whole("threads", threads, 1, 65_536))
    return sizer.inspect(module, example, **options)


def _networks(arguments: tuple[str, ...]) -> Any:
    """The networks named on the command line; `-` stands for the lines of standard input."""
    from sizer.base.errors import UsageError
    from sizer.inspection.networks import parse_mlp

    count = 0
    for argument in arguments:
        lines = sys.stdin if argument == "-" else [argument]
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
