"""A recommendation as CSV or Markdown."""

from __future__ import annotations

import csv
import io
from typing import Any

from sizer.recommendation import Recommendation, flat_row
from sizer.units import format_count, format_quantity, format_widths


def as_csv(record: Recommendation) -> str:
    """The candidates, one a row, with every field; lists are joined with dashes or semicolons. Not known is empty."""
    rows = record.rows()
    columns = list(flat_row(record.optimum))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def as_markdown(record: Recommendation) -> str:
    """The candidates as a Markdown table with their reasons."""
    quantity = record.coefficients.quantity
    lines = [
        f"| # | shape | depth | batch | widths | parameters | fills "
        f"| {quantity} per datum ({record.coefficients.label}) | cost to loss | why |",
        "|--:|---|--:|--:|---|--:|---|--:|--:|---|",
    ]
    for candidate in record.candidates:
        anchor = candidate.anchor
        fills = f"{anchor.working_set} {anchor.level} {anchor.fill:.2f}x" if anchor else ""
        cost = (
            format_quantity(candidate.energy_per_datum_j, "J")
            if candidate.energy_per_datum_j is not None
            else format_quantity(candidate.time_per_datum_s, "s")
        )
        relative = "" if candidate.relative_cost_to_loss is None else f"{candidate.relative_cost_to_loss:.3g}x"
        lines.append(
            f"| {candidate.rank} | {candidate.shape} | {candidate.depth} | {candidate.batch_size} "
            f"| {format_widths(candidate.widths)} | {format_count(candidate.num_free_parameters)} | {fills} | {cost} "
            f"| {relative} | {candidate.why} |"
        )
    return "\n".join(lines)
