"""`sizer recommend`: which network sizes are worth training on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.base.units import read_whole
from sizer.cli.commands import Command
from sizer.cli.options import (
    BYTES,
    DETAILS,
    DEVICE,
    DURATION,
    HTML,
    JOULES,
    THREADS,
    WHOLE,
    Read,
    option,
    several,
    training_options,
)

if TYPE_CHECKING:
    from sizer.method.recommendation import Recommendation
    from sizer.method.request import Request
    from sizer.size_search.data.prepare import Prepared

#: From how many sweeps on an answer takes more than a second.
_LONG = 40
FORMATS = ("table", "json", "csv", "markdown")


def _width_multiple(text: str) -> int | str:
    return text if text in ("auto", "device") else read_whole(text)


#: The values of a size: 96, or 128,4 where two parameters vary.
SIZE = Read(
    "width", lambda text: tuple(map(read_whole, text.split(","))), "no width; expected one such as 96, or 128,4"
)
#: A whole number, or ``auto`` for the machine's vector width.
WIDTH_MULTIPLE = Read("integer|auto", _width_multiple, "not a whole number; expected one such as 16, or auto")


@click.command(cls=Command)
@click.argument("data", required=False, metavar="[DATA]")
@option("--target", multiple=True, metavar="COLUMN", help="DATA's column to predict, by name or from the end (-1).")
@option("--kind", metavar="KIND", help="regression or classification. [default: from the data; else either]")
@option("--input-dim", type=WHOLE, metavar="N", help="Features of one observation, without DATA.")
@option("--output-dim", type=WHOLE, metavar="N", help="Width of the last layer. [default: 1]")
@option(
    "--depth",
    multiple=True,
    default=("4",),
    metavar="N",
    help="Layers, the output layer included: 6, 2-8. Repeatable.",
)
@several("--batch-size", WHOLE, default=("256",), metavar="N,...", help="[default: 256] Repeatable.")
@several("--shape", default=("rectangle",), metavar="NAME,...", help="[default: rectangle] Repeatable, or `all`.")
@training_options
@DEVICE
@several("--levels", metavar="L1,...", help="Caches that may be anchors. [default: all]")
@option(
    "--width-multiple",
    type=WIDTH_MULTIPLE,
    default="device",
    metavar="N",
    help="Round widths to multiples of this; `auto`: the vector width; `device`: that on a GPU, 1 on a CPU.",
)
@option("--top", type=WHOLE, default=10, metavar="N", help="How many candidates to list.")
@option("--for", "purpose", default="training", metavar="PURPOSE", help="training or inference.")
@option("--max-bytes", type=BYTES, metavar="BYTES", help="Largest network whose step needs at most this memory.")
@option("--max-time", type=DURATION, metavar="TIME", help="Largest network whose step takes at most this time.")
@option("--max-energy", type=JOULES, metavar="ENERGY", help="Largest network whose step takes at most this energy.")
@option(
    "--learning-rate", type=float, metavar="RATE", help="Train at this rate, with raw weights. [default: suggested]"
)
@click.option(
    "--averaged/--raw",
    default=None,
    help="Average the weights or not. [default: where it pays]",
)
@option(
    "--law",
    metavar="NAME",
    help="What sizes are compared by: `curves`, recorded learning curves, or `paper`, equation 10 alone. [default: "
    "curves; for inference, paper]",
)
@option("--difficulty", metavar="HOW", help="easy, medium or hard: rank sizes for such a target. [default: any]")
@option(
    "--pilot",
    "pilots",
    multiple=True,
    metavar="SIZE=LOSS[@EPOCHS]",
    help="Best validation loss of a network with SIZE parameters, cut short after EPOCHS or not; of two sizes or more, "
    "instead of --difficulty.",
)
@option("--target-loss", type=float, metavar="LOSS", help="With --pilot: the validation loss to reach.")
@option(
    "--fleet",
    is_flag=False,
    flag_value="all",
    metavar="NAME,...",
    help="Compare kinds of node by their profiles, instead of --device. Without names: every calibrated one.",
)
@option(
    "--width", "widths", multiple=True, metavar="RANGE", help="Widths of a family: 32-1024, 32-1024:32 or 32,64,96."
)
@option(
    "--vary", multiple=True, metavar="NAME", help="The parameter of make that is the width; `layers=2-8` for a second."
)
@option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    help="64,3,32,32 or 8,128:int64; one for each input of a family.",
)
@option("--loss", metavar="NAME", help="A family's loss: mse or cross_entropy. [default: from the output]")
@option("--budget", type=DURATION, default="30s", metavar="TIME", help="How long sizes of a family are timed.")
@option("--rank-by", default="loss", metavar="WHAT", help="Order a family by loss (equation 10) or time.")
@option(
    "--now", type=SIZE, metavar="WIDTH", help="The size that you train now, to be advised on. [default: make's own]"
)
@option("--verify", type=DURATION, metavar="TIME", help="Time it and the size advised in turn, so long.")
@THREADS
@option("--explain", is_flag=True, help="Work out each set with the numbers put in.")
@option("--why-not", type=WHOLE, metavar="WIDTH", help="Say why this first width is not on the list.")
@option("--emit", type=click.Choice(["torch"]), help="Print the best network with its optimizer, as code that runs.")
@option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the cost curve (.svg or .png).",
)
@option("--format", "output", type=click.Choice(FORMATS), default="table", help="How to print the answer.")
@DETAILS
@click.option("--json", "output", flag_value="json", help="The same as --format json.")
@HTML
@click.pass_context
def recommend(ctx: click.Context, /, depth: tuple[str, ...], output: str, details: bool, **options: Any) -> None:
    """Recommend network sizes: those whose working sets fill a cache once to twice.

    DATA is a function that builds modules, package.module:make or file.py:make, of whose sizes a few are timed; or a
    file (or sklearn:NAME, pmlb:NAME) as for `sizer search`: rows, inputs once encoded and outputs are read
    from it. Sizes are ordered by the expected cost of reaching a loss: of training a size to it at a learning rate that
    suits it, or of seeing it fail and going on to the next. Beside the list stands the optimum of all sizes.

    \b
    sizer recommend house.csv --target price
    sizer recommend --input-dim 784 --output-dim 10 --depth 6
    sizer recommend --input-dim 64 --depth 2-8 --shape all --device nvidia-h200
    sizer recommend --input-dim 784 --depth 4 --batch-size 64,128,256 --json
    sizer recommend --input-dim 784 --depth 6 --max-time 0.001
    sizer recommend --input-dim 784 --depth 6 --explain --why-not 300
    sizer recommend --input-dim 64 --output-dim 10 --depth 4 --observations 4000 --difficulty hard
    sizer recommend --input-dim 64 --output-dim 10 --depth 4 --pilot 1000=0.31 --pilot 4000=0.22 --target-loss 0.15
    sizer recommend --input-dim 784 --depth 6 --learning-rate 0.001
    sizer recommend --input-dim 784 --depth 6 --emit torch > network.py
    sizer recommend package.module:make --width 32-1024 --input 64,3,32,32
    sizer recommend net.py:make --vary d_model --width 64-512 --vary layers=2-8 --input 8,128:int64 --budget 60s
    sizer recommend --input-dim 784 --depth 6 --fleet nvidia-h200,nvidia-t4
    """
    import sizer
    from sizer.cli.family import OWN
    from sizer.cli.output import busy, show
    from sizer.method.request import parse_depths, parse_shapes

    if _is_family(ctx, options):
        _recommend_family(ctx, options, output, details)
        return
    for name in OWN:
        del options[name]
    reports = {name: options.pop(name) for name in ("explain", "why_not", "emit", "plot")}
    for name in ("batch_size", "shape", "levels"):
        options[name] = options[name] or None
    options["depth"] = parse_depths(depth)
    if options["output_dim"] is None:
        del options["output_dim"]
    if options["observations"] is None:
        del options["observations"]
    if (fleet := options.pop("fleet")) is not None:
        _check_fleet(options.pop("device"), reports, output)
        names = [name.strip() for name in fleet.split(",") if name.strip()]
        show(sizer.recommend_fleet(names, **options), output == "json", details=details)
        return
    shapes = parse_shapes(options["shape"] or ())
    sweeps = len(options["depth"]) * len(shapes) * len(options["batch_size"] or (256,))
    with busy(f"sweeping {sweeps} combinations of depth, shape and batch size", sweeps > _LONG):
        record = sizer.recommend(**options)
    _print(record, output, reports, details, options["data"])


def _given(ctx: click.Context) -> list[str]:
    """The options that stand on the command line."""
    default = (click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP)
    return [name for name in ctx.params if ctx.get_parameter_source(name) not in default]


def _is_family(ctx: click.Context, options: dict[str, Any]) -> bool:
    from sizer.cli.family import check_options, is_family

    given = _given(ctx)
    if is_family(options["data"], given):
        return True
    check_options(given)
    return False


def _recommend_family(ctx: click.Context, options: dict[str, Any], output: str, details: bool) -> None:
    """Sizes of what a function builds, shown as those of networks are."""
    from sizer.cli.family import recommend_target
    from sizer.cli.output import print_text, remark, show, write_page

    record = recommend_target(options["data"], _given(ctx), options)
    if options["plot"] is not None:
        record.plot(options["plot"])
        remark(f"wrote {options['plot']}")
    if output not in ("csv", "markdown"):
        show(record, output == "json", details=details)
        return
    from sizer.report.family import family_csv, family_markdown

    print_text(family_csv(record) if output == "csv" else family_markdown(record))
    write_page(record)


def _check_fleet(device: str | None, reports: dict[str, Any], output: str) -> None:
    """Raise UsageError for what a fleet has no answer to."""
    from sizer.base.errors import UsageError

    if device is not None:
        raise UsageError("give either --device or --fleet; a fleet names its devices by their profiles")
    if output not in ("table", "json") or any(value not in (None, False) for value in reports.values()):
        raise UsageError("--fleet prints a table or JSON; leave out --explain, --why-not, --emit, --plot and --format")


def _print(record: Recommendation, output: str, reports: dict[str, Any], details: bool, data: str | None) -> None:
    """The picture into its file, and the answer as code, for a program, or for people; ``data`` is what was read."""
    from sizer.cli.output import print_text, remark, show, write_page

    if reports["plot"] is not None:
        record.plot(reports["plot"])
        remark(f"wrote {reports['plot']}")
    if reports["emit"] is not None:
        from sizer.report.torch_code import torch_code

        print_text(torch_code(record, None if data is None else _prepared(data, record.request)))
        write_page(record)
        return
    if output in ("csv", "markdown"):
        from sizer.report.export import as_csv, as_markdown

        print_text(as_csv(record) if output == "csv" else as_markdown(record))
        write_page(record)
        return
    answers = dict(_answers(record, reports))
    show(record, as_json=output == "json", extra=answers, details=details)
    if output == "table":
        for title, lines in answers.items():
            print_text("\n".join(["", f"{title}:", *(f"  {line}" for line in lines)]))


def _prepared(data: str, request: Request) -> Prepared:
    """The data that sizes were read from, as a search prepares it."""
    from sizer.size_search.data.described import prepared_of

    return prepared_of(data, request.target, request.kind)


def _answers(record: Recommendation, reports: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """What --explain and --why-not add, by title."""
    from sizer.base.units import format_widths
    from sizer.method.explanation import explain, why_not

    if reports["explain"]:
        for candidate in record.candidates or (record.optimum,):
            title = f"explain {candidate.rank or 'optimum'} {format_widths(candidate.widths)}"
            yield title, list(explain(record, candidate))
    if reports["why_not"] is not None:
        yield f"why not {reports['why_not']}", list(why_not(record, reports["why_not"]))
