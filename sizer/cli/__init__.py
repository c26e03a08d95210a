"""The command line. Each command is one short module, imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import click

from sizer._version import __version__
from sizer.base.errors import SizerError
from sizer.base.visible import visible
from sizer.cli.commands import Group, usage_line

#: Command name -> (module, one-line help), so that listing the commands imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "detect": ("sizer.cli.machine", "Show this machine's memory hierarchy."),
    "recommend": ("sizer.cli.recommend", "Recommend network sizes for a machine."),
    "inspect": ("sizer.cli.inspect", "Size and price networks that you name."),
    "run": ("sizer.cli.training_script", "Run a training script and advise on its model once."),
    "tune": ("sizer.cli.tune", "Try what makes a training script cheaper, and prove it."),
    "search": ("sizer.cli.search", "Train the cheapest network that reaches a loss on your data."),
    "predict": ("sizer.cli.search", "Predict new data with a network that a search saved."),
    "calibrate": ("sizer.cli.calibrate", "Measure this machine, so that predictions hold on it."),
    "study": ("sizer.cli.study", "Repeat the published study, on its data or your own."),
    "validate": ("sizer.cli.calibrate", "Time fresh networks and compare with the predictions."),
    "profiles": ("sizer.cli.profiles", "List, show, compare and share hardware profiles."),
    "report": ("sizer.cli.report", "Show saved records on one page of HTML."),
    "doctor": ("sizer.cli.machine", "One page to paste into a bug report."),
    "completion": ("sizer.cli.machine", "Print a shell completion script, or install it."),
    "help": ("sizer.cli.machine", "Show the help of a command: sizer help recommend."),
}


class LazyGroup(Group):
    """A group whose commands are imported when they are called."""

    #: Command name -> (module, one-line help); a subclass has its own.
    lazy_commands: ClassVar[Mapping[str, tuple[str, str]]] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the commands, in the order in which people need them."""
        return list(self.lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name; its module holds a click command of the same name."""
        if cmd_name not in self.lazy_commands:
            return None
        module, _ = self.lazy_commands[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy_commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sizer")
def sizer() -> None:
    """Size networks by the memory hierarchy of the machine that trains them.

    \b
    sizer detect                                  this machine's caches
    sizer recommend --input-dim 784 --depth 6     network sizes worth training on it
    sizer inspect --mlp 784-512-512-10            working sets and cost of one network
    sizer search data.csv --target y --loss 0.25  the cheapest network that reaches a loss
    sizer calibrate                               measure this machine in a minute
    """


def main() -> None:
    """Run the command line and exit: 0 done, 1 could not, 2 wrong usage, 130 interrupted."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by what started this: what is asked for is done all the same
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (open to the end)
    _leave(run(sys.argv[1:]))


def _leave(exit_code: int) -> NoReturn:
    """Exit at once: taking numpy and rich apart module by module costs a tenth of a cold start and frees nothing.

    Where torch is loaded, its own handlers run as usual.
    """
    if "torch" in sys.modules:
        sys.exit(exit_code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)


def run(arguments: list[str]) -> int:
    """Run the command line and return the exit code. Every failure is one line on standard error."""
    odd = next((each for each in arguments if not _may_be_typed(each)), None)
    if odd is not None:
        return _fail(f"{odd[:40]!r} has characters that no command line can hold", 2)
    try:
        result: Any = sizer.main(arguments, prog_name="sizer", standalone_mode=False)
        sys.stdout.flush()
    except SizerError as error:
        return _fail(str(error), error.exit_code)
    except click.UsageError as error:
        return _fail(usage_line(error), 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except SystemExit as left:  # a closed pipe; rich and print_text have dealt with it
        if arguments[:1] == ["run"]:
            raise  # the script's own end: its message, its exit functions
        return left.code if isinstance(left.code, int) else 1
    except UnicodeDecodeError:
        return _fail("standard input is not text in UTF-8; write it out as that", 2)
    except OSError as error:  # (without a name it is a stream that is open already)
        return _fail(f"{error.filename or 'the output'}: {error.strerror or error}", 1)
    return result if isinstance(result, int) else 0


def _may_be_typed(argument: str) -> bool:
    """Whether a shell could hand it over, and a file be named so: a call from Python can say more."""
    try:
        return b"\0" not in os.fsencode(argument)
    except UnicodeEncodeError:
        return False


def _fail(message: str, exit_code: int) -> int:
    line = visible(" ".join(message.split()))
    with suppress(OSError):  # a closed standard error leaves nowhere to complain
        print(f"sizer: {line}", file=sys.stderr)
    return exit_code
