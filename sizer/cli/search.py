"""`sizer search`: the cheapest network that reaches a loss on the user's data; `sizer predict`: what it then says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from sizer.base.units import read_whole
from sizer.cli.commands import Command
from sizer.cli.options import DETAILS, DURATION, HTML, JOULES, JSON, THREADS, WHOLE, Read, several

if TYPE_CHECKING:
    from sizer.report.pages.live import LivePage
    from sizer.size_search.request import Request
    from sizer.size_search.result import SearchResult
    from sizer.size_search.settings import SearchOptions


def _share(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


SHARE = Read("share", _share, "no number; expected one such as 0.95 or 95%")


def _number(read: Callable[[str], float], *words: str) -> Callable[[str], float | str]:
    """A reader of numbers that leaves some words as they are."""
    return lambda text: text if text in words else read(text)


RATE = Read("rate", _number(float, "auto"), "no learning rate; expected one such as 0.004, or auto")
MEMBERS = Read(
    "ensemble", _number(read_whole, "auto", "off"), "no number of networks; expected auto, off or one from 2"
)


class NamedValue(click.ParamType):
    """A metric and its value, such as f1=0.9."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Read both."""
        name, equals, number = str(value).partition("=")
        if not equals:
            self.fail(f"{str(value)[:40]!r} is no metric with a value; expected one such as f1=0.9", param, ctx)
        return name.strip(), SHARE.convert(number, param, ctx)


@click.command(cls=Command)
@click.argument("data", metavar="DATA")
@click.option(
    "--target", multiple=True, metavar="COLUMN", help="Column to predict, by name or from the end (-1). Repeatable."
)
@click.option("--loss", type=float, metavar="X", help="Reach this validation loss (mean squared error or nats).")
@click.option("--accuracy", type=SHARE, metavar="X", help="Reach this accuracy, such as 0.95 or 95%.")
@click.option("--r2", type=SHARE, metavar="X", help="Reach this coefficient of determination.")
@click.option(
    "--metric", type=NamedValue(), metavar="NAME=X", help="Reach mse, rmse, mae, error, f1, balanced_accuracy or auc."
)
@click.option("--kind", metavar="KIND", help="regression or classification. [default: from the data]")
@click.option("--decimal", metavar="MARK", help="Decimal mark of numbers in text: . or , [default: from the cells]")
@click.option("--missing", multiple=True, metavar="CELL", help="A cell that means missing, such as -200. Repeatable.")
@click.option("--validation", metavar="DATA", help="Validation data. [default: a share of DATA]")
@click.option("--validation-share", type=SHARE, default="0.2", show_default=True, metavar="X", help="What share.")
@click.option("--depth", type=WHOLE, default=4, show_default=True, metavar="N", help="Layers, the output included.")
@click.option("--shape", default="rectangle", show_default=True, metavar="NAME", help="Shape of the networks.")
@click.option("--batch-size", type=WHOLE, default=256, show_default=True, metavar="N", help="Observations a step.")
@several("--widths", WHOLE, metavar="N,...", help="First widths to try. [default: found by the search]")
@click.option("--optimizer", default="adam", show_default=True, metavar="NAME", help="adam, adamw, sgd, sgd-momentum.")
@click.option("--learning-rate", type=RATE, default="auto", show_default=True, metavar="X", help="Pin its step size.")
@click.option("--device", metavar="NAME", help="Where to train: cpu or cuda:0. [default: the cheaper one]")
@THREADS
@click.option("--seed", type=WHOLE, default=0, show_default=True, metavar="N", help="Of split, weights and order.")
@click.option(
    "--budget",
    "--max-time",
    "max_time",
    type=DURATION,
    metavar="TIME",
    help="Stop after training for so long: 90s, 10m, 2h.",
)
@click.option("--max-energy", type=JOULES, metavar="ENERGY", help="Stop after so much energy: 500, 2kJ, 5Wh.")
@click.option("--max-epochs", type=WHOLE, default=1000, show_default=True, metavar="N", help="Most epochs of one size.")
@click.option(
    "--meter", default="auto", show_default=True, metavar="NAME", help="Energy meter: rapl, nvml, zeus, none."
)
@click.option("--busy-watts", type=float, metavar="W", help="Power while training; joules from it are estimates.")
@click.option("--idle-watts", type=float, metavar="W", help="Power at rest.")
@click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="Where the state is kept.")
@click.option("--fresh", is_flag=True, help="Start anew, not where the same search stopped.")
@click.option("--explore", is_flag=True, help="Go on afterwards and fill in the curve of cost against size.")
@click.option("--grow", is_flag=True, help="Start a larger size from the weights of a smaller one.")
@click.option(
    "--ensemble", type=MEMBERS, default="auto", show_default=True, metavar="N", help="Average N networks, or off."
)
@click.option("--single", is_flag=True, help="Go on to one network where an average met the target first.")
@click.option("--prune", is_flag=True, help="Prune the winner to the next cache level down.")
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="local or ray.")
@click.option("--address", metavar="HOST:PORT", help="The Ray cluster. [default: the one that runs here]")
@click.option(
    "--parallel", type=WHOLE, default=1, metavar="N", help="Sizes trained at a time. [default: what ray has room for]"
)
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write the trained network (.pt2).")
@click.option(
    "--save-best",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The same, and the best one where none is good enough.",
)
@DETAILS
@click.option("--quiet", is_flag=True, help="No progress.")
@JSON
@HTML
def search(data: str, validation: str | None, quiet: bool, as_json: bool, details: bool, **options: Any) -> int:
    """Train the cheapest network that reaches a loss on your data.

    DATA is a CSV or TSV file (also gzipped), Parquet, NPZ, ARFF or LIBSVM, sklearn:NAME or pmlb:NAME. How a text is
    written (delimiter, decimal marks, units, order of dates, words for missing) is found out column by column and
    said; --decimal and --missing settle doubts. Sizes that fill a cache are tried at several learning rates from the
    most promising one, and given up as soon as the learning curve says so. Where networks that were trained anyway
    meet the target as an average, they are the answer. The state is kept: interrupted, the same command goes on where
    it stopped.

    \b
    sizer search data.csv --target price --r2 0.8
    sizer search data.parquet --target species --accuracy 95% --save model.pt2
    sizer search sklearn:digits --loss 0.25 --explore
    sizer search a.csv --validation b.csv --target y --metric f1=0.9
    """
    from sizer.cli.output import page_asked, progress_bar, remark, say_changes, show
    from sizer.size_search.request import search_data

    device, threads = options["device"], options["threads"]
    live = _live_page(page_asked())
    request = _request(options, live)
    say_changes(device, threads, told_elsewhere=True)
    try:
        with progress_bar(quiet) as advance:
            record = search_data(data, validation, request, advance)
    except KeyboardInterrupt:
        if live is not None:
            live.end()
        remark("stopped; what was trained is kept: run the same command again to go on", flush=True)
        raise
    show(record, as_json, details=details)
    if record.reached:
        return 0
    remark(f"sizer: {_shortcoming(record)}")
    return 1


def _request(options: dict[str, Any], live: LivePage | None) -> Request:
    """The request, with every name as Python users know it."""
    from dataclasses import replace

    from sizer.meters.choosing import MeterOptions
    from sizer.size_search.data.reading.rules import ReadingOptions
    from sizer.size_search.request import make_request, one_aim

    aim = one_aim(*(options.pop(name) for name in ("loss", "accuracy", "r2", "metric")))
    power = MeterOptions(busy_w=options.pop("busy_watts"), idle_w=options.pop("idle_watts"))
    reading = ReadingOptions(options.pop("decimal"), options.pop("missing"))
    names = ("target", "kind", "validation_share", "folder", "fresh", "engine", "save")
    given = {name: options.pop(name) for name in names}
    save_best = options.pop("save_best")
    given["save"] = save_best or given["save"]
    options["max_time_s"], options["max_energy_j"] = options.pop("max_time"), options.pop("max_energy")
    address = options.pop("address")
    request = make_request(aim, settings=cast("SearchOptions", options), **given)
    saves_best = save_best is not None
    return replace(request, meter_options=power, address=address, reading=reading, watch=live, save_best=saves_best)


def _live_page(path: Path | None) -> LivePage | None:
    """The page that shows the search while it runs, where one is asked for."""
    if path is None:
        return None
    from sizer.report.pages.live import LivePage

    return LivePage(path)


def _shortcoming(record: SearchResult) -> str:
    """One line on what was reached instead; the reason stands in the report."""
    task = record.task
    best = "nothing" if record.best is None or record.best.best_value is None else f"{record.best.best_value:.4g}"
    return f"{task.metric} {task.target:g} was not reached ({record.status}): the best is {best}"


@click.command(cls=Command)
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.argument("data", metavar="DATA")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the predictions there (CSV).")
@JSON
def predict(model: Path, data: str, output: Path | None, as_json: bool) -> int:
    """Predict new data with a network that `sizer search --save` wrote.

    MODEL is the saved network (.pt2), DATA as for `sizer search`. Cells are read exactly as the search read them:
    decimal marks, units, dates, words for missing; a cell that does not fit is refused by its line. Columns that look
    otherwise than those trained on are named in a warning. Prints a line a row; a class comes with its probability.

    \b
    sizer search data.csv --target price --r2 0.8 --save model.pt2
    sizer predict model.pt2 new.csv
    sizer predict model.pt2 new.csv --output predicted.csv
    """
    import json

    from sizer.base.storage import write_whole
    from sizer.cli.output import print_text, remark
    from sizer.size_search.saved_network import load

    predictions = load(model).predict_source(data)
    for sentence in predictions.remarks:
        remark(sentence)
    if output is not None:
        write_whole(output, predictions.to_csv().encode())
        remark(f"{len(predictions.values):,} predictions written to {output}")
    if as_json:
        print_text(json.dumps(predictions.to_dict(), indent=2, allow_nan=False))
    elif output is None:
        print_text(predictions.to_csv())
    return 0
