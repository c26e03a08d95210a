"""Which function reports which record, and how its blocks are drawn in a terminal."""

from __future__ import annotations

import importlib
import io
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from sizer.base.visible import visible
from sizer.report.layout import Block, Curve, Detail, Fitted, Line, More, Paragraph, Table
from sizer.report.table_text import columns_within, needed, table_text

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from sizer.base.records import Record

#: Class of a record -> function of its report, imported when one is shown: a cold start pays for one report only.
REPORTS = {
    "Machine": "sizer.report.machine:machine_report",
    "Diagnosis": "sizer.report.machine:diagnosis_report",
    "Recommendation": "sizer.report.recommendation:recommendation_report",
    "FamilyRecommendation": "sizer.report.family:family_report",
    "Fleet": "sizer.report.comparison:fleet_report",
    "Comparison": "sizer.report.comparison:comparison_report",
    "Inspection": "sizer.report.inspection:networks_report",
    "ModuleInspection": "sizer.report.inspection:module_report",
    "Calibration": "sizer.report.calibration:calibration_report",
    "OperatorCalibration": "sizer.report.calibration:operators_report",
    "KeptSessions": "sizer.report.calibration:sessions_report",
    "ClusterCalibration": "sizer.report.calibration:cluster_report",
    "Validation": "sizer.report.calibration:validation_report",
    "SearchResult": "sizer.report.search:search_report",
    "Tuning": "sizer.report.tuning:tuning_report",
    "StudyStep": "sizer.report.study:step_report",
}
#: The space between a number and its unit.
_QUANTITY = re.compile(r"(?<=\d) (?=%|[munkM]?[sJ]\b|[KMGT]?i?B\b)")
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


def show(record: Record, console: Console, details: bool = True) -> Iterator[RenderableType]:
    """What a terminal shows of a record and its remarks."""
    yield from drawn(report(record), console, details)
    yield from drawn(remarks(record), console)


def as_text(record: Record) -> str:
    """What a terminal prints of a record without being asked for details, remarks included."""
    stream = io.StringIO()
    width = shutil.get_terminal_size().columns
    console = Console(file=stream, width=width, highlight=False, force_jupyter=False, color_system=None)
    console.print(Group(*show(record, console, details=False)))
    return stream.getvalue().rstrip("\n")


def plot(record: Record, path: str | os.PathLike[str] | None) -> Figure:
    """The picture of a record that has one. Raises UsageError for another, or an ending other than .svg and .png."""
    from sizer.report.pictures import picture

    return picture(record, None if path is None else Path(path))


def drawn(blocks: Iterable[Block], console: Console, details: bool = True) -> Iterator[RenderableType]:
    """Blocks as rich draws them; without details a line at the end says what they would show."""
    left_out: list[str] = []
    for block in blocks:
        if isinstance(block, Line):
            yield Text(visible(block.text), style="bold" if block.strong else "")
        elif isinstance(block, Paragraph):
            yield _paragraph(block, console.width)
        elif isinstance(block, Detail):
            yield Padding(Text(visible(block.text), overflow="fold"), (0, 0, 0, 4), expand=False)
        elif isinstance(block, Table):
            yield _table(block, console.width)
        elif isinstance(block, Fitted):
            yield from _fitted(block, console, details)
        elif isinstance(block, More):
            left_out += [] if details else [block.what]
            yield from drawn(block.blocks, console) if details else ()
        else:
            yield from _curve(block, console)
    if left_out:
        yield _paragraph(Paragraph(f"--details: {', '.join(left_out)}"), console.width)


def _paragraph(block: Paragraph, width: int) -> Text:
    head = visible(block.head)
    indent, kept = len(head), _QUANTITY.sub("\u00a0", visible(block.text))  # (a number stays with its unit)
    lines = textwrap.wrap(kept, max(width - indent, 10), break_on_hyphens=False) or [""]
    lines = [line.replace("\u00a0", " ") for line in lines]
    return Text(head + f"\n{' ' * indent}".join(lines), style="bold" if block.strong else "", overflow="fold")


def _table(block: Table, width: int) -> Text:
    titles, rows = table_text(_visible_table(block), width)
    plain, total = (rows[:-1], rows[-1:]) if block.ends_in_total else (rows, [])
    text = Text(overflow="fold")
    for lines, style in ((titles, "bold"), *((row, "") for row in plain), *((row, "bold") for row in total)):
        for line in lines:
            text.append(f"{line}\n", style)
    return text[:-1] if text else text


def _visible_table(block: Table) -> Table:
    """The table with the cells that hold names of others shown as they are."""
    return block._replace(columns=[one._replace(cells=[visible(cell) for cell in one.cells]) for one in block.columns])


def _fitted(block: Fitted, console: Console, details: bool) -> Iterator[RenderableType]:
    """The table where it needs no folding."""
    width = block.width or needed(columns_within(_visible_table(block.table), console.width))
    if width <= console.width:
        yield _table(block.table, console.width)
        yield from drawn(block.below, console, details)
    else:
        yield from drawn(block.narrow, console, details)


def _curve(block: Curve, console: Console) -> Iterator[RenderableType]:
    from sizer.report.text_chart import FAINT, chart

    unicode = (console.encoding or "").lower().startswith("utf")
    lines = list(chart(block.points, block.marks, min(console.width, _CURVE_WIDTH), unicode))
    if lines:
        yield from drawn([block.title], console)
        drawing = Text("\n".join(lines), no_wrap=True, overflow="crop")
        drawing.highlight_words([FAINT[unicode]], style="dim")
        yield drawing
