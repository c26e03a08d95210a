"""A recommendation as CSV or Markdown."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

from sizer.base.units import format_count, format_quantity, format_widths
from sizer.method.recommendation import Recommendation, flat_row

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
    full = (best.input_dim, *best.widths)
    residual = best.shape == "rectangle_residual"
    lines = []
    for index, (w_in, w_out) in enumerate(itertools.pairwise(full[:-1])):
        is_residual = residual and index > 0
        lines.append(
            f"    ResidualLayer({w_out})," if is_residual else f"    nn.Linear({w_in}, {w_out}),\n    nn.ReLU(),"
        )
    lines.append(f"    nn.Linear({full[-2]}, {full[-1]}),")
    comment = "\n".join(
        f"# {line}" for line in _wrapped(f"{format_count(best.num_free_parameters)} parameters; {best.why}")
    )
    return (
        f"{comment}\n"
        f"{'import torch' + chr(10) if residual else ''}from torch import nn\n"
        f"{_RESIDUAL if residual else ''}\n"
        "model = nn.Sequential(\n" + "\n".join(lines) + "\n)\n"
        f"assert sum(p.numel() for p in model.parameters()) == {best.num_free_parameters}\n"
    )


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100)


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
