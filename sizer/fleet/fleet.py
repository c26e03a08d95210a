"""One request on several kinds of node: which of them, and which size on it, reaches a loss at the least cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sizer.base.errors import UnreachableError, UsageError
from sizer.base.records import Record, plain
from sizer.method.advisor import recommend
from sizer.method.coefficients import Coefficients
from sizer.method.cost_to_loss import not_told
from sizer.method.hardware import Device, device_to_dict
from sizer.method.recommendation import Candidate, flat_row
from sizer.method.request import Request

FLEET_FORMAT = "sizer.fleet/1"
#: What costs may be compared in, the first that every node has.
QUANTITIES = ("energy", "time")


class Node(NamedTuple):
    """A kind of node: its profile's name, its device, and the coefficients known of it, by quantity."""

    name: str
    device: Device
    by_quantity: Mapping[str, Coefficients]


@dataclass(frozen=True)
class NodeChoice:
    """The cheapest size on one kind of node.

    ``relative_cost_to_loss`` is 1 for the cheapest node of all. ``refused`` says why a node has no size, None where it
    has one.
    """

    name: str
    device: Device
    coefficients: Coefficients | None
    candidate: Candidate | None
    relative_cost_to_loss: float | None
    refused: str | None


@dataclass(frozen=True)
class Fleet(Record):
    """Kinds of node in order of predicted cost to a loss, those that are refused at the end.

    ``quantity`` is what the costs are of: energy where every node's is known, else time.
    """

    request: Request
    quantity: str
    nodes: tuple[NodeChoice, ...]
    notes: tuple[str, ...]

    main = "nodes"

    def in_short(self) -> str:
        """The cheapest kind of node."""
        return f"cheapest {self.cheapest.name} of {len(self)}"

    @property
    def cheapest(self) -> NodeChoice:
        """The kind of node on which reaching a loss costs least."""
        return self.nodes[0]

    def to_dict(self) -> dict[str, Any]:
        """The record as the JSON data ``sizer.fleet/1``."""
        return {
            "format": FLEET_FORMAT,
            "request": self.request.to_dict(),
            "quantity": self.quantity,
            "nodes": [{**plain(node), "device": device_to_dict(node.device)} for node in self.nodes],
            "cheapest": self.cheapest.name,
            "notes": list(self.notes),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a kind of node: its name, its cost, and the candidate's columns."""
        return [
            {"node": node.name, "relative_cost": node.relative_cost_to_loss, "refused": node.refused}
            | ({} if node.candidate is None else flat_row(node.candidate))
            for node in self.nodes
        ]

    def remarks(self) -> tuple[str, ...]:
        """The notes."""
        return self.notes


def recommend_fleet(request: Request, nodes: Sequence[Node]) -> Fleet:
    """Compare kinds of node for a request, whose ``device`` is left out of account.

    On each node the size is the optimum of all sizes within the limits. Raises UsageError for no node, or one whose
    costs are not known, UnreachableError when no network fits any node.
    """
    quantity = _common_quantity(nodes)
    choices = sorted((_choice(request, node, quantity) for node in nodes), key=lambda choice: choice[0])
    best = choices[0][0]
    if best == math.inf:
        reasons = "; ".join(f"{choice.name}: {choice.refused}" for _, choice in choices)
        raise UnreachableError(f"no node of the fleet can train any network of this request ({reasons})")
    relative = [
        choice if cost == math.inf else replace(choice, relative_cost_to_loss=cost / best) for cost, choice in choices
    ]
    return Fleet(replace(request, device=None), quantity, tuple(relative), tuple(_notes(request, quantity, relative)))


def _common_quantity(nodes: Sequence[Node]) -> str:
    """Energy where it is known of every node, else time. Raises UsageError when neither is."""
    if not nodes:
        raise UsageError("the fleet has no node; name profiles, or calibrate some (`sizer calibrate --engine ray`)")
    for quantity in QUANTITIES:
        if all(quantity in node.by_quantity for node in nodes):
            return quantity
    lacking = {quantity: [n.name for n in nodes if quantity not in n.by_quantity] for quantity in QUANTITIES}
    raise UsageError(
        f"these nodes cannot be compared: the energy is not known of {', '.join(lacking['energy'])}, nor the time of "
        f"{', '.join(lacking['time'])}; calibrate them, or leave them out"
    )


def _choice(request: Request, node: Node, quantity: str) -> tuple[float, NodeChoice]:
    """A node's cost to a loss, infinite where no size fits; and its size."""
    choice = NodeChoice(node.name, node.device, node.by_quantity[quantity], None, None, None)
    try:
        found = recommend(replace(request, device=node.name), node.device, node.by_quantity[quantity])
    except UnreachableError as error:
        return math.inf, replace(choice, refused=str(error))
    assert found.least_cost_to_loss is not None  # (a new record has it)
    return found.least_cost_to_loss, replace(choice, candidate=found.optimum)


def _notes(request: Request, quantity: str, choices: Sequence[NodeChoice]) -> list[str]:
    notes = list(not_told(request))
    if quantity == "time":
        notes.insert(0, "cheapest means the least time here: the energy is not known of every node")
    estimated = [c.name for c in choices if c.coefficients is not None and c.coefficients.label == "estimated"]
    if estimated:
        notes.append(
            f"costs of {', '.join(estimated)} are estimates, not measured there; `sizer calibrate` on such a node (or "
            f"`sizer calibrate --engine ray` on its cluster) measures it"
        )
    return notes
