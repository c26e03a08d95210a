"""What reports are made of, whatever shows them: lines, paragraphs, tables, curves; and sentences that several share.

A report is a function from a record to blocks. `sizer.report.terminal` draws blocks as text, and is the one place that
does; another medium draws the same blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sizer.base.units import format_bytes, format_ratio
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device, is_detected

if TYPE_CHECKING:
    from sizer.method.recommendation import CurvePoint

#: How the parts of a step's time are called (`sizer.script_runs.measuring.PARTS`).
STEP_PARTS = {
    "waiting": "waiting for data",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "others": "other optimizers",
    "rest": "the rest of the script",
}


class Line(NamedTuple):
    """Text of its own line."""

    text: str
    strong: bool = False


class Paragraph(NamedTuple):
    """Text with a head in front; its further lines are indented by the head's width."""

    text: str
    head: str = ""
    strong: bool = False


class Detail(NamedTuple):
    """Text that belongs to the line above."""

    text: str


class Column(NamedTuple):
    """A column of a table: its title and its cells, from the top.

    Numbers stand at the right. Where a table is too wide its columns with ``leave_out`` go first, the highest first,
    then cells that may fold do so at dashes, slashes and spaces; those kept ``whole`` never do. ``told`` is how a
    narrow medium says a cell in a sentence, with the punctuation in front: ``, {} parameters``.
    """

    title: str
    cells: Sequence[str]
    right: bool = False
    folds: bool = False
    whole: bool = False
    told: str = ""
    leave_out: int = 0


class Table(NamedTuple):
    """Columns side by side, without lines. Titles are shown where a column has one, and broken unless ``firm``."""

    columns: Sequence[Column]
    ends_in_total: bool = False
    firm: bool = False


class Fitted(NamedTuple):
    """A table and what follows it, or, in a medium narrower than ``width`` columns, other blocks.

    A width of None is what the table needs.
    """

    table: Table
    below: Sequence[Block]
    narrow: Sequence[Block]
    width: int | None = None


class Curve(NamedTuple):
    """Cost of reaching a loss against size, cache edges below it; ``marks`` maps parameters to the sign drawn there."""

    title: Line | Paragraph
    points: Sequence[CurvePoint]
    marks: Mapping[int, str]


class More(NamedTuple):
    """What stands behind the answer, for those who ask for details; ``what`` names it in a few words."""

    blocks: Sequence[Block]
    what: str


def everything(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks with those behind the answer among them, for a medium that has room."""
    for block in blocks:
        if isinstance(block, More):
            yield from everything(block.blocks)
        else:
            yield block


Block: TypeAlias = "Line | Paragraph | Detail | Table | Fitted | Curve | More"
BLANK = Line("")


def reasoned(table: Table, reasons: Sequence[str]) -> Fitted:
    """A table with a reason for each row below it; without room for the table, its cells stand before each reason."""
    heads = [f"{cell:>2}  " for cell in table.columns[0].cells]
    below = [Paragraph(reason, head) for reason, head in zip(reasons, heads, strict=True)]
    told = ["".join(_told(table, row)) for row in range(len(reasons))]
    narrow = [Paragraph(f"{cells}; {one.text}", one.head) for cells, one in zip(told, below, strict=True)]
    return Fitted(table, [BLANK, *below], narrow)


def _told(table: Table, row: int) -> list[str]:
    return [column.told.format(column.cells[row]) for column in table.columns if column.cells[row]]


def device_lines(device: Device) -> tuple[Line, Line]:
    """The device's name and its hierarchy."""
    return Line(f"{device.name or device.id} ({device.id})", strong=True), Line(levels_text(device))


def levels_text(device: Device) -> str:
    """A device's hierarchy on one line, one instance of each level: ``L1 32 KiB x2, L2 1 MiB x2, RAM 23.5 GiB``."""
    parts = []
    for level in device.sizing_levels():
        count = f" x{level.instances}" if (level.instances or 1) > 1 else ""
        effective = "" if level.effective_bytes is None else " effective"
        parts.append(f"{level.name} {format_bytes(level.sizing_bytes)}{effective}{count}")
    return ", ".join(parts)


def short_label(device: Device, coefficients: Coefficients) -> str:
    """Where an estimate is from, in a sentence with the remedy; empty where the prediction was measured."""
    if coefficients.source == "none":
        return "No costs are known here; `sizer calibrate --quick` measures this machine in 8 s."
    if coefficients.label != "estimated":
        return ""
    remedy = "; `sizer calibrate` measures this machine in a minute" if is_detected(device) else ""
    return f"Costs are estimates: {coefficients.basis.partition(' (')[0]}{remedy}."


def answer(first: str, *others: str) -> Iterator[Block]:
    """The first lines of a report: what was found, and what to know of it and to do next."""
    yield Paragraph(first, strong=True)
    for text in filter(None, others):
        yield Paragraph(text, "  ")


def label_text(device: Device, coefficients: Coefficients) -> str:
    """What the numbers are and how sure: the label, where the coefficients are from, the 90 % interval."""
    remedy = (
        " `sizer calibrate` measures this machine in a minute, `sizer calibrate --quick` in 8 s."
        if is_detected(device)
        else ""
    )
    if coefficients.source == "none":
        return f"No cost coefficients: ordered by operations alone.{remedy}"
    line = f"{coefficients.quantity.capitalize()}: {coefficients.label}, {coefficients.basis}."
    if coefficients.interval is not None:
        low, high = coefficients.interval
        line += f" 90 % interval: {format_ratio(low, 2)} to {format_ratio(high, 2)} times the value."
    return line + (remedy if coefficients.label == "estimated" else "")
