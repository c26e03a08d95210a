"""A comparison of kinds of node as text for a terminal (rich renderables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from sizer.fleet import Fleet, NodeChoice
from sizer.report.layout import cost_text, hanging, plain_table
from sizer.units import format_count, format_widths

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def renderables(record: Fleet, console: Console) -> Iterator[RenderableType]:
    """The cheapest kind of node with its size, then every kind, cheapest first."""
    yield hanging("", _verdict(record), console.width)
    yield Text()
    table = plain_table()
    for title in ("node", "widths"):
        table.add_column(title, overflow="fold")
    for title in ("parameters", f"{record.quantity}/datum", "cost to loss"):
        table.add_column(title, justify="right")
    table.add_column("", overflow="fold")
    for node in record.nodes:
        if node.candidate is not None:
            table.add_row(*map(Text, _cells(node)))
    yield table
    for node in record.nodes:
        if node.refused is not None:
            yield hanging(" -  ", f"{node.name}: {node.refused}", console.width)


def _verdict(record: Fleet) -> str:
    best = record.cheapest.candidate
    assert best is not None  # (the first node has a size)
    where = f"Cheapest: {record.cheapest.name}, {_network(record)}"
    others = [node for node in record.nodes[1:] if node.relative_cost_to_loss is not None]
    if not others:
        return f"{where}."
    return f"{where}; next is {others[0].name} at {others[0].relative_cost_to_loss:.3g} times its cost to a loss."


def _network(record: Fleet) -> str:
    best = record.cheapest.candidate
    assert best is not None
    return (
        f"{best.shape} {format_widths(best.widths)}, batch {best.batch_size} "
        f"({format_count(best.num_free_parameters)} parameters)"
    )


def _cells(node: NodeChoice) -> Iterator[str]:
    candidate = node.candidate
    assert candidate is not None
    assert node.coefficients is not None
    yield node.name
    yield format_widths(candidate.widths)
    yield format_count(candidate.num_free_parameters)
    yield cost_text(candidate.energy_per_datum_j, candidate.time_per_datum_s)
    yield f"{node.relative_cost_to_loss:.3g}x"
    yield node.coefficients.label
