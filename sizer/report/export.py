"""A recommendation for other programs: CSV, Markdown, and code that builds its best network."""

from __future__ import annotations

import csv
import io
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from sizer.base.units import format_cost, format_count, format_times, format_widths
from sizer.method.recommendation import Candidate, Recommendation, flat_row
from sizer.report.recommendation import fill_text


def as_csv(record: Recommendation) -> str:
    """The candidates, one a row, with every field; lists are joined with dashes or semicolons. Not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(flat_row(record.optimum)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in record.rows())
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return "-".join(map(str, value)) if isinstance(value, tuple) else value


def as_markdown(record: Recommendation) -> str:
    """The candidates as a Markdown table with their reasons."""
    cost = f"{record.coefficients.quantity} per datum ({record.coefficients.label})"
    lines = [
        f"| # | shape | depth | batch | widths | parameters | fills | {cost} | cost to loss | why |",
        "|--:|---|--:|--:|---|--:|---|--:|--:|---|",
        *(f"| {' | '.join(_markdown_cells(candidate))} |" for candidate in record.candidates),
    ]
    return "\n".join(lines)


def _markdown_cells(candidate: Candidate) -> Iterator[str]:
    yield from (f"{candidate.rank}", candidate.shape, f"{candidate.depth}", f"{candidate.batch_size}")
    yield format_widths(candidate.widths)
    yield format_count(candidate.num_free_parameters)
    yield fill_text(candidate.anchor)
    yield format_cost(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    yield format_times(candidate.relative_cost_to_loss)
    yield candidate.why


_RESIDUAL = '''
class ResidualLayer(nn.Module):
    """x + relu(W x + b)."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.linear(x))

'''


def torch_code(record: Recommendation) -> str:
    """A script that builds the best network and checks its number of parameters."""
    best = record.best
    residual = best.shape == "rectangle_residual"
    *hidden, last = itertools.pairwise((best.input_dim, *best.widths))
    layers = [
        f"    ResidualLayer({w_out})," if residual and index > 0 else f"    nn.Linear({w_in}, {w_out}),\n    nn.ReLU(),"
        for index, (w_in, w_out) in enumerate(hidden)
    ]
    why = textwrap.wrap(f"{format_count(best.num_free_parameters)} parameters; {best.why}", 100)
    lines = (
        *(f"# {line}" for line in why),
        *(("import torch",) if residual else ()),
        "from torch import nn",
        _RESIDUAL if residual else "",
        "model = nn.Sequential(",
        *layers,
        f"    nn.Linear({last[0]}, {last[1]}),",
        ")",
        f"assert sum(p.numel() for p in model.parameters()) == {best.num_free_parameters}\n",
    )
    return "\n".join(lines)
