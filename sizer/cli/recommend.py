"""`sizer recommend`: which network sizes are worth training on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.cli.options import DEVICE, WHOLE, Listed, flatten, training_options

if TYPE_CHECKING:
    from sizer.method.recommendation import Recommendation

#: From how many sweeps on an answer takes more than a second.
_LONG = 40
FORMATS = ("table", "json", "csv", "markdown")


class WidthMultiple(click.ParamType):
    """A whole number, or ``auto`` for the machine's vector width."""

    name = "integer|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """None stands for auto."""
        return None if value in (None, "auto") else WHOLE.convert(value, param, ctx)


@click.command()
@click.option("--input-dim", type=WHOLE, required=True, metavar="N", help="Features of one observation.")
@click.option("--output-dim", type=WHOLE, default=1, show_default=True, metavar="N", help="Width of the last layer.")
@click.option(
    "--depth", multiple=True, required=True, metavar="N", help="Layers, the output layer included: 6, 2-8. Repeatable."
)
@click.option(
    "--batch-size",
    type=Listed(WHOLE),
    multiple=True,
    default=("256",),
    metavar="N,...",
    help="[default: 256] Repeatable.",
)
@click.option(
    "--shape",
    type=Listed(click.STRING),
    multiple=True,
    default=("rectangle",),
    metavar="NAME,...",
    help="[default: rectangle] Repeatable, or `all`.",
)
@training_options
@DEVICE
@click.option(
    "--levels",
    type=Listed(click.STRING),
    multiple=True,
    metavar="L1,...",
    help="Caches that may be anchors. [default: all]",
)
@click.option(
    "--width-multiple",
    type=WidthMultiple(),
    default="1",
    show_default=True,
    help="Round widths to multiples of this; `auto`: the vector width.",
)
@click.option("--top", type=WHOLE, default=10, show_default=True, metavar="N", help="How many candidates to list.")
@click.option(
    "--for", "purpose", default="training", show_default=True, metavar="PURPOSE", help="training or inference."
)
@click.option("--max-bytes", type=WHOLE, metavar="B", help="Largest network whose step needs at most this memory.")
@click.option("--max-time", type=float, metavar="S", help="Largest network whose step takes at most this time.")
@click.option("--max-energy", type=float, metavar="J", help="Largest network whose step takes at most this energy.")
@click.option(
    "--difficulty",
    metavar="HOW",
    help="easy, medium or hard: also place one size for such a target, without training.",
)
@click.option(
    "--pilot",
    "pilots",
    multiple=True,
    metavar="SIZE=LOSS",
    help="Best validation loss of a network with SIZE parameters; of two sizes or more, instead of --difficulty.",
)
@click.option("--target-loss", type=float, metavar="LOSS", help="With --pilot: the validation loss to reach.")
@click.option(
    "--fleet",
    is_flag=False,
    flag_value="all",
    metavar="NAME,...",
    help="Compare kinds of node by their profiles, instead of --device. Without names: every calibrated one.",
)
@click.option("--explain", is_flag=True, help="Work out each set with the numbers put in.")
@click.option("--why-not", type=WHOLE, metavar="WIDTH", help="Say why this first width is not on the list.")
@click.option("--emit", type=click.Choice(["torch"]), help="Print the best network as code that runs.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the cost curve (.svg or .png).",
)
@click.option(
    "--format",
    "output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.option("--json", "output", flag_value="json", help="The same as --format json.")
def recommend(depth: tuple[str, ...], width_multiple: int | None, output: str, **options: Any) -> None:
    """Recommend network sizes: those whose working sets fill a cache once to twice.

    They are ordered by the predicted cost of reaching a loss. Beside the list stands the optimum of all sizes.

    \b
    sizer recommend --input-dim 784 --output-dim 10 --depth 6
    sizer recommend --input-dim 64 --depth 2-8 --shape all --device nvidia-h200
    sizer recommend --input-dim 784 --depth 4 --batch-size 64,128,256 --json
    sizer recommend --input-dim 784 --depth 6 --max-time 0.001
    sizer recommend --input-dim 784 --depth 6 --explain --why-not 300
    sizer recommend --input-dim 64 --output-dim 10 --depth 4 --observations 4000 --difficulty hard
    sizer recommend --input-dim 64 --output-dim 10 --depth 4 --pilot 1000=0.31 --pilot 4000=0.22 --target-loss 0.15
    sizer recommend --input-dim 784 --depth 6 --fleet nvidia-h200,nvidia-t4
    """
    import sizer
    from sizer.cli.output import busy
    from sizer.method.request import parse_depths, parse_shapes

    reports = {name: options.pop(name) for name in ("explain", "why_not", "emit", "plot")}
    for name in ("batch_size", "shape", "levels"):
        options[name] = flatten(options[name]) or None
    depths = parse_depths(depth)
    sweeps = len(depths) * len(parse_shapes(options["shape"] or ())) * len(options["batch_size"] or (256,))
    if options["fleet"] is not None:
        _compare_fleet(options, reports, output, depth=depths, width_multiple=width_multiple)
        return
    del options["fleet"]
    with busy(f"sweeping {sweeps} combinations of depth, shape and batch size", sweeps > _LONG):
        record = sizer.recommend(depth=depths, width_multiple=width_multiple, **options)
    if reports["plot"] is not None:
        _plot(record, reports["plot"])
    _print(record, output, reports)


def _compare_fleet(options: dict[str, Any], reports: dict[str, Any], output: str, **given: Any) -> None:
    """Print which kind of node, and which size on it, costs least."""
    import sizer
    from sizer.base.errors import UsageError
    from sizer.cli.output import show

    if options.pop("device") is not None:
        raise UsageError("give either --device or --fleet; a fleet names its devices by their profiles")
    if output not in ("table", "json") or any(value not in (None, False) for value in reports.values()):
        raise UsageError("--fleet prints a table or JSON; leave out --explain, --why-not, --emit, --plot and --format")
    names = [name.strip() for name in options.pop("fleet").split(",") if name.strip()]
    show(sizer.recommend_fleet(names, **given, **options), output == "json")


def _plot(record: Recommendation, path: Path) -> None:
    from sizer.cli.output import remark
    from sizer.report.plot import save_plot

    save_plot(record, path)
    remark(f"wrote {path}")


def _print(record: Recommendation, output: str, reports: dict[str, Any]) -> None:
    from sizer.cli.output import print_text, show

    if reports["emit"] is not None:
        from sizer.report.export import torch_code

        print_text(torch_code(record))
    elif output in ("csv", "markdown"):
        from sizer.report.export import as_csv, as_markdown

        print_text(as_csv(record) if output == "csv" else as_markdown(record))
    else:
        answers = dict(_answers(record, reports))
        show(record, as_json=output == "json", extra=answers)
        if output == "table":
            for title, lines in answers.items():
                print_text("\n".join(["", f"{title}:", *(f"  {line}" for line in lines)]))


def _answers(record: Recommendation, reports: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """What --explain and --why-not add, by title."""
    from sizer.base.units import format_widths
    from sizer.method.explanation import explain, why_not

    if reports["explain"]:
        for candidate in record.candidates or (record.optimum,):
            yield (
                f"explain {candidate.rank or 'optimum'} {format_widths(candidate.widths)}",
                list(explain(record, candidate)),
            )
    if reports["why_not"] is not None:
        yield f"why not {reports['why_not']}", list(why_not(record, reports["why_not"]))
