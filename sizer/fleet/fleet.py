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
from sizer.method.cost import step_costs
from sizer.method.cost_to_loss import not_told
from sizer.method.hardware import Device, device_to_dict
from sizer.method.placement import Hierarchy
from sizer.method.recommendation import Candidate, flat_row, rows_note
from sizer.method.request import Request
from sizer.method.working_sets import stack

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

    ``equal_size_per_datum`` is what a datum costs there with the fleet's `Fleet.equal_size`, in its quantity.
    ``relative_cost_to_loss`` is 1 for the cheapest node of all. ``refused`` says why a node has no size, None where it
    has one.
    """

    name: str
    device: Device
    coefficients: Coefficients | None
    candidate: Candidate | None
    relative_cost_to_loss: float | None
    refused: str | None
    equal_size_per_datum: float | None = None


@dataclass(frozen=True)
class Fleet(Record):
    """Kinds of node in order of predicted cost to a loss, those that are refused at the end.

    ``quantity`` is what the costs are of: energy where every node's is known, else time. ``equal_size`` is one size to
    compare all nodes at, the smallest of those that are each one's best; None where there is but one node.
    """

    request: Request
    quantity: str
    nodes: tuple[NodeChoice, ...]
    notes: tuple[str, ...]
    equal_size: Candidate | None = None

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
            "equal_size": plain(self.equal_size),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a kind of node: its name, its cost, and the candidate's columns."""
        return [
            {"node": node.name, "relative_cost": node.relative_cost_to_loss, "refused": node.refused}
            | ({} if node.candidate is None else flat_row(node.candidate))
            for node in self.nodes
        ]

    def remarks(self) -> tuple[str, ...]:
        """The notes, and how many parameters come on a row of data where they are many."""
        best = self.cheapest.candidate
        return (*self.notes, *(() if best is None else rows_note(best, self.request.observations)))


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
    asked = replace(request, device=None, width_multiple=request.width_multiple or None)
    notes = tuple(_notes(request, quantity, relative))
    equal = _equal_size(relative, request)
    compared = tuple(relative) if equal is None else tuple(_at(equal, choice, request) for choice in relative)
    return Fleet(asked, quantity, compared, notes, equal)


def _equal_size(choices: Sequence[NodeChoice], request: Request) -> Candidate | None:
    """The smallest of the nodes' own sizes; None for a single node, or where no training is asked about."""
    sizes = [choice.candidate for choice in choices if choice.candidate is not None]
    if len(sizes) < 2 or request.purpose != "training":
        return None
    return min(sizes, key=lambda size: size.num_free_parameters)


def _at(size: Candidate, choice: NodeChoice, request: Request) -> NodeChoice:
    """A node's choice with what a datum of a given size costs there."""
    if choice.candidate is None or choice.coefficients is None:
        return choice
    training, hierarchy = request.training(size.batch_size), Hierarchy.of(choice.device)
    step = float(step_costs(stack([size.topology.full]), training, hierarchy, choice.coefficients)[0])
    return replace(choice, equal_size_per_datum=step / size.batch_size)


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
