"""A recommendation for other programs: CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from sizer.base.units import format_cost, format_count, format_times, format_widths
from sizer.method.recommendation import Candidate, Recommendation, flat_row
from sizer.report.recommendation import chances_text, fill_text, rate_text


def as_csv(record: Recommendation) -> str:
    """The candidates, one a row, with every field; widths are written as everywhere, 512x5-10. Not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(flat_row(record.optimum)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in record.rows())
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return format_widths(value) if isinstance(value, tuple) else value


def as_markdown(record: Recommendation) -> str:
    """The candidates as a Markdown table with their reasons."""
    cost = f"{record.coefficients.quantity} per datum ({record.coefficients.label})"
    lines = [
        f"| # | shape | depth | batch | widths | parameters | fills | {cost} | rate | reached | cost to loss | why |",
        "|--:|---|--:|--:|---|--:|---|--:|--:|--:|--:|---|",
        *(f"| {' | '.join(_markdown_cells(candidate))} |" for candidate in record.candidates),
    ]
    return "\n".join(lines)


def _markdown_cells(candidate: Candidate) -> Iterator[str]:
    yield from (f"{candidate.rank}", candidate.shape, f"{candidate.depth}", f"{candidate.batch_size}")
    yield format_widths(candidate.widths)
    yield format_count(candidate.num_free_parameters)
    yield fill_text(candidate.anchor)
    yield format_cost(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    yield rate_text(candidate)
    yield chances_text(candidate)
    yield format_times(candidate.relative_cost_to_loss)
    yield candidate.why
