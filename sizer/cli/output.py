"""How commands write: records to standard output as text or JSON, remarks to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sizer.base.records import Record
from sizer.base.visible import visible

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from sizer.report.layout import Block


def console(stderr: bool = False) -> Console:
    """A console for standard output or error: plain without a terminal, never wider than what is there."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


@contextmanager
def busy(what: str, is_long: bool) -> Iterator[None]:
    """A spinner on standard error while something that is long goes on; nothing without a terminal."""
    if not is_long or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(what):
        yield


@contextmanager
def ending_as_by_ctrl_c() -> Iterator[None]:
    """A batch system's SIGTERM and a terminal that closes interrupt the command: nothing of it is left behind.

    What is ignored, as under nohup, stays so.
    """
    import signal

    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ending = [kind for kind in kinds if signal.getsignal(kind) == signal.SIG_DFL]
    for kind in ending:
        signal.signal(kind, signal.default_int_handler)
    try:
        yield
    finally:
        for kind in ending:
            signal.signal(kind, signal.SIG_DFL)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[str, float | None], None]]:
    """A bar on standard error with the time left; the function takes what happens and the share that is done.

    A share of None is not known: the bar only moves. Without a terminal, or when quiet, nothing is drawn.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda what, share: None  # noqa: ARG005
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0)
        yield lambda what, share: progress.update(
            task, description=what, completed=share or 0.0, total=None if share is None else 1.0
        )


def show(record: Record, as_json: bool, extra: Mapping[str, Any] | None = None, details: bool = False) -> None:
    """Print a record, as JSON (with ``extra`` answers beside its fields) or for people, the answer or everything."""
    if as_json:
        import json

        print_text(json.dumps(record.to_dict() | {"answers": extra}, indent=2) if extra else record.to_json())
    else:
        from sizer.report.terminal import remarks, report

        show_blocks(report(record), details=details)
        sys.stdout.flush()
        show_blocks(remarks(record), stderr=True)
    write_page(record, extra)


def page_asked() -> Path | None:
    """The file that the command's ``--html`` names, None without it."""
    import click

    from sizer.cli.options import PAGE

    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(PAGE)


def write_page(record: Record, answers: Mapping[str, Any] | None = None) -> None:
    """Write the page that the command's ``--html`` names, if it does."""
    path = page_asked()
    if path is not None:
        from sizer.report.pages.page import Entry, page
        from sizer.report.pages.writing import write_page as write

        write(path, page([Entry(record, answers=answers or {})]))
        remark(f"wrote {path}")


def show_blocks(blocks: Iterable[Block], stderr: bool = False, details: bool = True) -> None:
    """Print blocks in one go: each call of print costs half a millisecond, and a report has two dozen of them."""
    from rich.console import Group

    from sizer.report.terminal import drawn

    terminal = console(stderr)
    if found := list(drawn(blocks, terminal, details)):
        terminal.print(Group(*found))


def print_text(text: str) -> None:
    """Print text as it is. Ends the process quietly, with exit code 1, when the reader has gone (`... | head -1`)."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # As rich does for tables. What is left in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


def remark(text: str, **style: Any) -> None:
    """One line on standard error, or several."""
    print("\n".join(map(visible, text.split("\n"))), file=sys.stderr, **style)


def say_changes(device: str | None, threads: int | None = None, told_elsewhere: bool = False) -> None:
    """Say what changed on a device since it was calibrated, for commands that train or time anyway: takes 0.3 s."""
    from sizer.calibration.changes import changes_since_calibration

    for change in changes_since_calibration(device, threads, told_elsewhere):
        remark(f"warning: {change}")
