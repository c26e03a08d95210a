"""The arms of a search: sizes that fill a cache, the predicted optimum, sizes in between; each at some rates. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sizer.devices import Chosen
from sizer.method.advisor import recommend
from sizer.method.cost import (
    Networks,
    analyse,
    backward_flops,
    backward_operations,
    forward_flops,
    forward_operations,
    training_cost,
)
from sizer.method.placement import FloatArray, Hierarchy
from sizer.method.recommendation import Candidate, CurvePoint, Recommendation
from sizer.method.working_sets import count_parameters, stack
from sizer.models.shapes import residual_additions
from sizer.models.topology import Topology
from sizer.size_search.arms import SearchCandidate
from sizer.size_search.forecasts import law_epochs
from sizer.size_search.priors import chance_of_reach
from sizer.size_search.settings import SearchSettings

#: How many observations are trained on, and validated on.
Rows = tuple[int, int]

#: Sizes whose predicted cost to a loss is further above the optimum's are left out, but for large ones up to `LARGE`,
#: which hard targets need: of 117 recorded targets (benchmarks/search.py) the cheapest size was at most 3.0 times as
#: dear as predicted for the optimum, and for 3 of them it had 2^20 parameters.
MAX_RELATIVE_COST = 16.0
LARGE = 2**20
#: Neighbouring candidates differ by about this factor in parameters at most, and by `_NEAREST` at least: trying two
#: that are nearer says nothing new. (The recorded sweeps, in which every target is met, are by a factor of 2.)
SPACING = 2.0
_NEAREST = 1.3
#: More than the candidates that a recommendation has.
_ALL = 10_000


def candidate_sizes(
    input_dim: int, output_dim: int, rows: Rows, settings: SearchSettings, chosen: Chosen
) -> tuple[SearchCandidate, ...]:
    """Arms in order of size, then of rate. Raises UnreachableError when no network of the family fits the device."""
    if settings.widths:
        return price_arms(_pinned(input_dim, output_dim, settings), rows, settings, chosen)
    request = settings.request(input_dim, output_dim, _ALL)
    recommendation = recommend(request, chosen.device, chosen.coefficients)
    picks = {pick.widths: pick for pick in (*recommendation.candidates, recommendation.optimum)}
    anchors = {widths: pick.anchor for widths, pick in picks.items() if pick.anchor is not None}
    topologies = [Topology(settings.shape, input_dim, w) for w in _spaced([*picks.values()], recommendation)]
    priced = price_arms(topologies, rows, settings, chosen)
    return tuple(replace(arm, anchor=anchors.get(arm.topology.widths)) for arm in priced)


def _pinned(input_dim: int, output_dim: int, settings: SearchSettings) -> list[Topology]:
    """The networks whose first layer has one of the given widths."""
    family = settings.depth, input_dim, output_dim
    return [Topology.of_first_width(settings.shape, width, *family) for width in sorted(set(settings.widths))]


def _spaced(picks: list[Candidate], recommendation: Recommendation) -> list[tuple[int, ...]]:
    """Widths of the picks, cheapest first where two are too near, and of sizes that fill the gaps, in order of size."""
    offered = [point for point in recommendation.curve if _worth(point)]
    parameters = np.array([point.num_free_parameters for point in offered], dtype=np.float64)
    kept: dict[float, tuple[int, ...]] = {}
    for pick in sorted(picks, key=lambda pick: pick.relative_cost_to_loss or math.inf):
        if parameters[0] <= pick.num_free_parameters <= parameters[-1] and _apart(pick.num_free_parameters, kept):
            kept[pick.num_free_parameters] = pick.widths
    for wanted in _between([parameters[0], *sorted(kept), parameters[-1]]):
        nearest = offered[int(np.argmin(np.abs(np.log(parameters / wanted))))]
        if _apart(nearest.num_free_parameters, kept):
            kept[nearest.num_free_parameters] = nearest.widths
    return [kept[size] for size in sorted(kept)]


def _worth(point: CurvePoint) -> bool:
    """Whether a size may be offered at all."""
    cost = point.relative_cost_to_loss
    return cost is not None and (cost <= MAX_RELATIVE_COST or 2**14 < point.num_free_parameters <= LARGE)


def _apart(size: float, kept: dict[float, tuple[int, ...]]) -> bool:
    return all(max(size / other, other / size) >= _NEAREST for other in kept)


def _between(sizes: Sequence[float]) -> list[float]:
    """The two ends, and sizes that divide each gap evenly into steps of at most `SPACING`."""
    found = [sizes[0], sizes[-1]]
    for low, high in itertools.pairwise(sizes):
        steps = max(1, round(math.log(high / low) / math.log(SPACING)))
        found += [low * (high / low) ** (step / steps) for step in range(1, steps)]
    return found


def price_arms(
    topologies: Sequence[Topology], rows: Rows, settings: SearchSettings, chosen: Chosen
) -> tuple[SearchCandidate, ...]:
    """Arms of given topologies, in their order, without anchors: what an epoch of each is predicted to cost."""
    costs, flops = _of_epochs(topologies, rows, settings, chosen)
    arms = [
        SearchCandidate(
            f"{topology.num_free_parameters}x{topology.widths[0]}" + ("" if settings.pinned_rate else f"@{rate:g}"),
            topology,
            cost,
            flop,
            learning_rate=rate,
            multiple=multiple,
        )
        for topology, cost, flop in zip(topologies, costs, flops, strict=True)
        for multiple, rate in settings.rates.items()
    ]
    cheapest = min(_to_loss(arm) for arm in arms)
    return tuple(replace(arm, relative_cost=_to_loss(arm) / cheapest) for arm in arms)


def _to_loss(arm: SearchCandidate) -> float:
    """Predicted cost to a loss within reach, up to a factor."""
    return arm.epoch_cost * law_epochs(arm.place)


def _of_epochs(
    topologies: Sequence[Topology], rows: Rows, settings: SearchSettings, chosen: Chosen
) -> tuple[list[float], list[float]]:
    """What an epoch of each topology costs, and its FLOPs. Two sets of weights are validated on half of the rows."""
    batches, tests = (-(-count // settings.batch_size) for count in (rows[0], rows[1] * 3 // 2))
    coefficients = chosen.coefficients
    full = stack([topology.full for topology in topologies])
    parameters = count_parameters(full)
    additions = residual_additions(settings.shape, settings.depth)
    networks = analyse(full, parameters, settings.training, Hierarchy.of(chosen.device, anchored=True), additions)
    if coefficients.source == "none":
        costs = operations_per_epoch(networks, batches, tests)
    else:
        costs = training_cost(networks, coefficients, 1, batches, tests) - coefficients.terms.get("experiment", 0.0)
    flops = batches * (forward_flops(full, settings.batch_size) + backward_flops(full, settings.batch_size))
    return costs.tolist(), flops.tolist()


def operations_per_epoch(networks: Networks, batches: int, tests: int) -> FloatArray:
    """Operations of an epoch, the stand-in for its cost where nothing is known of the machine."""
    batch_size = networks.training.batch_size
    forward = forward_operations(networks.full, batch_size)
    backward = backward_operations(networks.full, networks.num_free_parameters, batch_size)
    return np.asarray((batches + tests) * forward + batches * backward, dtype=np.float64)


def first_arm(arms: Sequence[SearchCandidate]) -> SearchCandidate:
    """Where a search begins: the arm whose cost to a target of which nothing is known is predicted to be least.

    At one rate that is the cheapest size to a loss within reach, which is what a recommendation names.
    """
    if len({arm.multiple for arm in arms}) == 1:
        return min(arms, key=lambda arm: arm.relative_cost)
    return min(arms, key=lambda arm: arm.relative_cost / chance_of_reach(*arm.place))
