"""What sizer's commands have in common: options in groups in the help, names that shells complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sizer.base.errors import did_you_mean, one_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Command -> title of a group in its help -> the options in it. What is in none stands at the end. (Libraries for that
#: would save 25 lines here and keep this table; a bare command's help takes 40 ms with click, 66 with cloup 4.0, 105
#: with rich-click 1.9, and sizer's own takes 40.)
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "recommend": {
        "The data and the network": ("target", "kind", "input_dim", "output_dim", "observations", "depth", "shape"),
        "A family of modules": ("widths", "vary", "inputs", "loss", "budget", "rank_by", "now", "verify"),
        "How it trains": ("batch_size", "dtype", "optimizer", "learning_rate", "averaged", "purpose"),
        "What must be reached": ("difficulty", "pilots", "target_loss", "law", "max_bytes", "max_time", "max_energy"),
        "The machine": ("device", "fleet", "levels", "width_multiple", "threads"),
        "What is printed": ("details", "top", "explain", "why_not", "emit", "plot", "output", "html"),
    },
    "search": {
        "The data": ("target", "kind", "validation", "validation_share", "decimal", "missing"),
        "How good is good enough": ("loss", "accuracy", "r2", "metric"),
        "The network and its training": (
            *("depth", "shape", "widths", "batch_size", "optimizer", "learning_rate", "ensemble", "single"),
            *("grow", "prune", "seed"),
        ),
        "How much to spend": ("max_time", "max_energy", "max_epochs", "explore"),
        "The machine": (*("device", "threads", "meter", "busy_watts", "idle_watts", "engine", "address", "parallel"),),
        "What is kept and printed": (*("save", "save_best", "folder", "fresh", "details", "quiet", "as_json", "html"),),
    },
    "tune": {
        "The script": ("module", "steps", "in_place"),
        "How long": ("budget_s",),
        "What is kept and printed": ("save", "details", "quiet", "as_json", "html"),
    },
    "calibrate": {
        "What and how long": ("budget", "quick", "until_quiet", "operators"),
        "The machine": ("device", "threads", "engine"),
        "Sessions that are kept": ("fresh", "forget", "show_kept", "replay", "keep"),
        "Energy": (
            *("meter", "wattmeter_log", "log_time_zone", "log_time_column", "log_watts_column", "log_unit"),
            *("log_decimal", "log_node", "log_period", "log_clock_offset", "busy_watts", "idle_watts"),
        ),
        "What is printed": ("details", "quiet", "as_json", "html"),
    },
}


class Command(click.Command):
    """A command with its options in groups, and with completion of the names that its options and arguments take."""

    def __init__(self, *args: Any, **facts: Any) -> None:
        super().__init__(*args, **facts)
        for param in self.params:
            if isinstance(param.type, click.types.StringParamType) and param.name in VALUES:
                param.type = Name(VALUES[param.name])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups; of an option's names only the first."""
        groups = GROUPS.get(self.name or "", {})
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, names in groups.items():
            ranked = sorted((param for param in options if param.name in names), key=lambda one: names.index(one.name))
            _section(ctx, formatter, title, ranked)
        grouped = {name for names in groups.values() for name in names}
        rest = [param for param in options if param.name not in grouped]
        _section(ctx, formatter, "Other options" if groups else "Options", rest)


class Group(click.Group):
    """A group that shows its help when nothing is asked of it, and names the nearest command to one that it lacks."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, or show the help where there is nothing (for click's newer releases that is an error)."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion when the name is close to a command's."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError:
            known, asked = self.list_commands(ctx), next(iter(args), "")
            raise click.UsageError(f"no such command {asked!r}; {one_of(asked, known)}", ctx) from None


def usage_line(error: click.UsageError) -> str:
    """What is wrong with a command line, in one line with the nearest option and the help to look into."""
    context = error.ctx
    command = context.command_path if context else "sizer"
    text = error.format_message()
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [name for param in context.command.params for name in param.opts if name.startswith("--")]
        meant = did_you_mean(error.option_name.lstrip("-"), [name.lstrip("-") for name in known])
        text = f"no such option {error.option_name}{'; ' + meant.replace('mean ', 'mean --') if meant else ''}"
    return f"{text.strip()} (see `{command} --help`)"


def _section(ctx: click.Context, formatter: click.HelpFormatter, title: str, options: Iterable[click.Option]) -> None:
    records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
    if records:
        with formatter.section(title):
            formatter.write_dl([(_first_name(names), text) for names, text in records])


def _first_name(names: str) -> str:
    """``--budget TIME`` of ``--budget, --max-time TIME``; short names stay."""
    *others, last = names.split(", ")
    long = [name for name in others if name.startswith("--")]
    _, space, value = last.partition(" ")
    return names if not long else ", ".join([*(name for name in others if name not in long), long[0] + space + value])


class Name(click.ParamType):
    """A text, for which shells are offered known names; what is none is refused where the request is made."""

    name = "text"

    def __init__(self, known: Callable[[click.Context], Iterable[str]]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The names that begin with what is typed, after the last comma where several may stand."""
        from click.shell_completion import CompletionItem

        done, comma, begun = incomplete.rpartition(",")
        return [CompletionItem(f"{done}{comma}{name}") for name in self._known(ctx) if name.startswith(begun)]


def _devices(_: click.Context) -> Iterator[str]:
    from sizer.profiles import names

    yield from ("cpu", "cuda:0")
    yield from names()


def _profiles(_: click.Context) -> Iterable[str]:
    from sizer.profiles import names

    return names()


def _dtypes(_: click.Context) -> Iterable[str]:
    from sizer.method.training_step import DTYPES

    return DTYPES


def _optimizers(_: click.Context) -> Iterable[str]:
    from sizer.method.training_step import OPTIMIZER_MOMENTS

    return OPTIMIZER_MOMENTS


def _shapes(_: click.Context) -> Iterable[str]:
    from sizer.models.shapes import SHAPES

    return (*SHAPES, "all")


def _meters(_: click.Context) -> Iterable[str]:
    from sizer.meters.choosing import METER_NAMES

    return METER_NAMES


def _commands(ctx: click.Context) -> Iterable[str]:
    root = ctx.find_root()
    return root.command.list_commands(root) if isinstance(root.command, click.Group) else ()


def _these(*names: str) -> Callable[[click.Context], Iterable[str]]:
    return lambda ctx: names  # noqa: ARG005


#: Bytes of a text file that its header is in.
_HEADER_BYTES = 65_536


def _columns(ctx: click.Context) -> Iterable[str]:
    """Columns of the file that the command line names; none where it cannot be read at once."""
    # (an option that still lacks its value keeps click from reading the arguments: the shell has the words)
    words = [str(ctx.params.get("data") or ""), *os.environ.get("COMP_WORDS", "").split()[2:]]
    path = next((Path(word) for word in words if word and Path(word).is_file()), Path())
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as parquet

            names: list[str] = parquet.read_schema(path).names
            return names
        import csv
        import gzip

        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            header = stream.read(_HEADER_BYTES).decode("utf-8-sig", "replace").partition("\n")[0].strip()
        mark = max("\t;|,", key=header.count)
        return [name.strip() for name in next(csv.reader([header], delimiter=mark))]
    except (OSError, ValueError, StopIteration):
        return []


#: Parameter of a command -> the names that it takes.
VALUES: dict[str | None, Callable[[click.Context], Iterable[str]]] = {
    "device": _devices,
    "fleet": _profiles,
    "dtype": _dtypes,
    "optimizer": _optimizers,
    "shape": _shapes,
    "levels": _these("L1", "L2", "L3"),
    "purpose": _these("training", "inference"),
    "difficulty": _these("easy", "medium", "hard"),
    "law": _these("curves", "paper"),
    "kind": _these("regression", "classification"),
    "engine": _these("local", "ray"),
    "meter": _meters,
    "target": _columns,
    "names": _commands,
    "quantity": _these("auto", "energy", "time"),
}
