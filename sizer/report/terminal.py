"""Which function reports which record, and how its blocks are drawn in a terminal."""

from __future__ import annotations

import importlib
import itertools
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich import table as rich_table
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from sizer.report.layout import Block, Curve, Detail, Fitted, Line, Paragraph, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sizer.base.records import Record

#: Class of a record -> function of its report, imported when one is shown: a cold start pays for one report only.
REPORTS = {
    "Machine": "sizer.report.machine:machine_report",
    "Diagnosis": "sizer.report.machine:diagnosis_report",
    "Recommendation": "sizer.report.recommendation:recommendation_report",
    "Fleet": "sizer.report.comparison:fleet_report",
    "Comparison": "sizer.report.comparison:comparison_report",
    "Inspection": "sizer.report.inspection:networks_report",
    "ModuleInspection": "sizer.report.inspection:module_report",
    "Calibration": "sizer.report.calibration:calibration_report",
    "KeptSessions": "sizer.report.calibration:sessions_report",
    "ClusterCalibration": "sizer.report.calibration:cluster_report",
    "Validation": "sizer.report.calibration:validation_report",
    "SearchResult": "sizer.report.search:search_report",
    "StudyStep": "sizer.report.study:step_report",
}
#: Every table of six columns has needed less than 80; measuring one costs as much as drawing it.
_USUAL_WIDTH, _USUAL_COLUMNS = 80, 6
#: Widest curve: more columns show nothing new.
_CURVE_WIDTH = 100


def report(record: Record) -> Iterator[Block]:
    """The blocks of a record, for any medium. Raises KeyError for a record that has no report."""
    module, _, function = REPORTS[type(record).__name__].partition(":")
    blocks: Iterator[Block] = getattr(importlib.import_module(module), function)(record)
    return blocks


def remarks(record: Record) -> Iterator[Block]:
    """The record's remarks, a paragraph each."""
    return (Paragraph(remark, " !  ") for remark in record.remarks())


def show(record: Record, console: Console) -> Iterator[RenderableType]:
    """What a terminal shows of a record and its remarks."""
    yield from drawn(report(record), console)
    yield from drawn(remarks(record), console)


def drawn(blocks: Iterable[Block], console: Console) -> Iterator[RenderableType]:
    """Blocks as rich draws them."""
    for block in blocks:
        if isinstance(block, Line):
            yield Text(block.text, style="bold" if block.strong else "")
        elif isinstance(block, Paragraph):
            yield _paragraph(block, console.width)
        elif isinstance(block, Detail):
            yield Padding(Text(block.text, overflow="fold"), (0, 0, 0, 4), expand=False)
        elif isinstance(block, Table):
            yield _table(block)
        elif isinstance(block, Fitted):
            yield from _fitted(block, console)
        else:
            yield from _curve(block, console)


def _paragraph(block: Paragraph, width: int) -> Text:
    indent = len(block.head)
    lines = textwrap.wrap(block.text, max(width - indent, 10), break_on_hyphens=False) or [""]
    return Text(block.head + f"\n{' ' * indent}".join(lines), overflow="fold")


def _table(block: Table, gap: int = 2) -> rich_table.Table:
    titled = any(column.title for column in block.columns)
    table = rich_table.Table(
        box=None, padding=(0, gap, 0, 0), header_style="bold", show_header=titled, pad_edge=not block.firm
    )
    for column in block.columns:
        table.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            overflow="fold" if column.folds else "ellipsis",
            no_wrap=column.whole,
            min_width=len(column.title) if block.firm else None,
        )
    rows = list(itertools.zip_longest(*(column.cells for column in block.columns), fillvalue=""))
    for number, row in enumerate(rows, start=1):
        # Text, not str: no cell holds markup, and looking for it takes rich as long as drawing the table.
        table.add_row(*map(Text, row), style="bold" if block.ends_in_total and number == len(rows) else None)
    return table


def _fitted(block: Fitted, console: Console) -> Iterator[RenderableType]:
    """The table where it needs no folding, with its columns closer together where that is enough."""
    table = _table(block.table)
    columns = len(table.columns)
    needed = block.width
    if needed is None and not (console.width >= _USUAL_WIDTH and columns <= _USUAL_COLUMNS):
        needed = console.measure(table, options=console.options.update_width(1000)).maximum
    closer = block.width is None and (needed or 0) > console.width
    if (needed or 0) - closer * (columns - 1) <= console.width:
        yield _table(block.table, gap=1) if closer else table
        yield from drawn(block.below, console)
    else:
        yield from drawn(block.narrow, console)


def _curve(block: Curve, console: Console) -> Iterator[RenderableType]:
    from sizer.report.text_chart import FAINT, chart

    unicode = (console.encoding or "").lower().startswith("utf")
    lines = list(chart(block.points, block.marks, min(console.width, _CURVE_WIDTH), unicode))
    if lines:
        yield from drawn([block.title], console)
        drawing = Text("\n".join(lines), no_wrap=True, overflow="crop")
        drawing.highlight_words([FAINT[unicode]], style="dim")
        yield drawing
