"""A fully connected network and those near it, priced together: a width changed, a smaller batch. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sizer.inspection.advice_unpredicted import level_name, pushes, smaller_batches
from sizer.inspection.module_record import Advice
from sizer.inspection.networks import WAITS_FOR_LAUNCHES, check_countable, free_widths
from sizer.method.coefficients import Coefficients
from sizer.method.cost import Networks, analyse, predict, priced_row
from sizer.method.placement import NOWHERE, FloatArray, Hierarchy, Placements, place_all
from sizer.method.sweep import MAX_WORK
from sizer.method.training_step import SET_NAMES, Training
from sizer.method.working_sets import IntArray, WorkingSet, WorkingSets, count_parameters
from sizer.models.shapes import residual_additions
from sizer.models.topology import MAX_WIDTH, Topology

#: Least saving that is worth a line, and how often it must exceed the share of parameters given up.
MIN_SAVING = 0.03
MIN_GAIN = 1.5
#: A step that costs at most this much more "costs nothing more"; a growth of at least `MIN_GROWTH` is worth a line.
FREE = 0.02
MIN_GROWTH = 0.10


def advise_dense(near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """Advice for a fully connected network: rewritten widths, a batch size, the layer that pushes, free room.

    ``coefficients`` give the interval; their terms are those that the networks were priced with.
    """
    variants = list(near.variants())
    launches = list(_waiting_for_launches(near))
    yield from launches
    for changed in variants:
        yield from _narrower(changed, near, coefficients)
    yield from _smaller_batch(near, coefficients)
    layers = [f"layer {index + 1}" for index in range(near.topology.depth)]
    yield from pushes(near.own_sets, near.hierarchy, layers, None)
    for changed in () if launches else variants:
        yield from _free_room(changed, near, coefficients)


def _waiting_for_launches(near: Neighbours) -> Iterator[Advice]:
    """On a GPU, where a step waits for the program: how wide the network may be before the GPU's own work counts."""
    widths = free_widths(near.topology, near.networks.training, near.hierarchy, near.coefficients)
    if widths is not None:
        yield Advice("launch", f"size is free up to width {max(widths[:-1])}", WAITS_FOR_LAUNCHES, widths=widths)


def _interval(effect: float, coefficients: Coefficients) -> tuple[float, float] | None:
    """The 90 % interval of a relative effect: the difference is off by the factors that predictions are off by."""
    if coefficients.interval is None:
        return None
    low, high = sorted(max(-1.0, effect * factor) for factor in coefficients.interval)
    return low, high


def _at_worst(effect: FloatArray | float, coefficients: Coefficients) -> FloatArray:
    """The end of each effect's interval that speaks against a change: the smaller gain, the larger loss."""
    low, high = coefficients.interval or (1.0, 1.0)
    return np.maximum(np.multiply(effect, low), np.multiply(effect, high))


def _narrower(variants: Variants, near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """The widest narrower hidden width at which a set moves to a nearer level, if that pays."""
    saves = _at_worst(variants.effect, coefficients) <= -MIN_SAVING
    pays = (variants.tried < variants.width) & saves & (variants.effect <= MIN_GAIN * variants.growth)
    nearer = {name: np.flatnonzero(pays & (variants.levels[name] < near.own_levels[name])) for name in SETS}
    name = max(SETS, key=lambda each: nearer[each].max(initial=-1))  # of equal ones the first
    if len(nearer[name]):
        index = int(nearer[name][-1])
        reason = _keeps(name, int(variants.levels[name][index]), near)
        yield _rewritten("narrower", reason, variants, index, coefficients)


def _rewritten(kind: str, reason: str, variants: Variants, index: int, coefficients: Coefficients) -> Advice:
    effect, widths = float(variants.effect[index]), tuple(variants.widths[:, index].tolist())
    change = f"hidden {variants.width} -> {variants.tried[index]}"
    return Advice(kind, change, reason, None, effect, _interval(effect, coefficients), widths)


def _keeps(name: str, level: int, near: Neighbours) -> str:
    after, before = (level_name(near.hierarchy, index) for index in (level, near.own_levels[name]))
    return f"keeps {SET_NAMES[name]} inside {after} (now in {before})"


def _smaller_batch(near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """The largest smaller batch at which a set moves nearer and a datum gets cheaper."""
    for batch_size, name, level in near.nearer_batches():
        effect = near.effect_of_batch(batch_size)
        if _at_worst(effect, coefficients) <= -MIN_SAVING:
            change = f"batch {near.networks.training.batch_size} -> {batch_size}"
            reason = f"{_keeps(name, level, near)}; per datum"
            yield Advice("batch", change, reason, None, effect, _interval(effect, coefficients), batch_size=batch_size)
            return


def _free_room(variants: Variants, near: Neighbours, coefficients: Coefficients) -> Iterator[Advice]:
    """The widest hidden width up to twice the present one that costs (almost) nothing more."""
    own = near.own_levels
    stays = np.logical_and.reduce([variants.levels[name] == own[name] for name in SETS])
    free = stays & (variants.tried > variants.width) & (_at_worst(variants.effect, coefficients) <= FREE)
    found = np.flatnonzero(free & (variants.growth >= MIN_GROWTH))
    if len(found):
        index = int(found[-1])
        reason = f"free room: {variants.growth[index]:.0%} more parameters cost nothing more (at most {FREE:.0%})"
        yield _rewritten("free room", reason, variants, index, coefficients)


#: How many distinct widths are varied, and how many values of each are tried on either side.
_WIDTHS = 3
_TRIED = 64

#: The working sets whose levels are compared, in the order in which a change is explained.
SETS = ("b", "o", "f", "t_max")


class Variants(NamedTuple):
    """N networks in which one hidden width is another, narrowest first.

    ``growth`` in parameters and ``effect`` on the cost of a step are relative to the network varied; ``levels`` are
    level indices of each set. Arrays have shape (N,), ``widths`` (layers, N).
    """

    width: int
    tried: IntArray
    widths: IntArray
    growth: FloatArray
    effect: FloatArray
    levels: dict[str, IntArray]


class Neighbours(NamedTuple):
    """A network in column 0 and, after it, those with one width changed.

    ``cost`` is that of a step, shape (N,); ``levels`` the level index of each set, shape (N,); ``varied`` holds each
    width that is changed, the values it gets instead and their columns.
    """

    topology: Topology
    networks: Networks
    coefficients: Coefficients
    cost: FloatArray
    varied: tuple[tuple[int, IntArray, slice], ...]
    levels: dict[str, IntArray]

    @property
    def hierarchy(self) -> Hierarchy:
        """The levels that they are placed on."""
        return self.networks.hierarchy

    @property
    def own_levels(self) -> dict[str, int]:
        """Level index of each set of the network itself."""
        return {name: int(level[0]) for name, level in self.levels.items()}

    @property
    def own_sets(self) -> WorkingSets:
        """The sets of the network itself."""
        return _converted(self.networks.sets, lambda part: part[..., :1])

    def variants(self) -> Iterator[Variants]:
        """The networks with one width changed, a group for each width."""
        full, parameters = self.networks.full, self.networks.num_free_parameters
        for width, tried, part in self.varied:
            growth, effect = parameters[part] / parameters[0] - 1, self.cost[part] / self.cost[0] - 1
            levels = {name: level[part] for name, level in self.levels.items()}
            yield Variants(width, tried, full[1:, part], growth, effect, levels)

    def nearer_batches(self) -> Iterator[tuple[int, str, int]]:
        """Smaller batches worth pricing, largest first, each with a set that lives nearer then, and its level.

        With the levels as they are a datum costs least at the largest batch, so that one of each kind is enough.
        """
        sizes = smaller_batches(self.networks.training.batch_size)
        if not sizes:
            return
        placements = place_all(self._sets_at(sizes), self.hierarchy)
        levels, own = _levels(placements, self.hierarchy), self.own_levels
        changes = np.vstack([placements.t_level, *levels.values()])
        others = np.flatnonzero(np.any(changes[:, 1:] != changes[:, :-1], axis=0)) + 1
        for index in (0, *others.tolist()):
            name = next((name for name in SETS if levels[name][index] < own[name]), None)
            if name is not None:
                yield sizes[index], name, int(levels[name][index])

    def _sets_at(self, sizes: list[int]) -> WorkingSets:
        """The network's sets at other batch sizes: what is distributed of t and b is in proportion to them."""
        batch_size, own = self.networks.training.batch_size, self.own_sets
        share = np.array(sizes)
        every = _converted(own, lambda part: np.repeat(part, len(sizes), axis=-1))
        t, b = (part.distributed // batch_size * share for part in (own.t, own.b))
        return every._replace(t=every.t._replace(distributed=t), b=every.b._replace(distributed=b))

    def effect_of_batch(self, batch_size: int) -> float:
        """Relative effect of a batch size on the cost of a datum."""
        own, parameters = self.networks.full[:, :1], self.networks.num_free_parameters[:1]
        training = self.networks.training._replace(batch_size=batch_size)
        networks = analyse(own, parameters, training, self.hierarchy, self.networks.additions[:1])
        cost = predict(priced_row(networks, self.coefficients), self.coefficients)
        return float(cost[0] / batch_size / (self.cost[0] / self.networks.training.batch_size) - 1)


def price_neighbours(
    topology: Topology, training: Training, hierarchy: Hierarchy, coefficients: Coefficients
) -> Neighbours:
    """Price a network together with those in which one width is another. Raises UsageError for one beyond counting."""
    check_countable(topology, training)
    widths = sorted(set(topology.widths[:-1]), reverse=True)[:_WIDTHS]
    own = full = np.array([topology.full], dtype=np.int64).T
    varied = []
    for width in widths:
        tried, start = _tried_around(width, topology, training), full.shape[1]
        full = np.hstack([full, np.where(own == width, tried, own)])
        full[[0, -1], start:] = own[[0, -1]]
        varied.append((width, tried, slice(start, full.shape[1])))
    additions = residual_additions(topology.shape or "", topology.depth)
    networks = analyse(full, count_parameters(full), training, hierarchy, additions)
    cost = predict(priced_row(networks, coefficients), coefficients)
    return Neighbours(topology, networks, coefficients, cost, tuple(varied), _levels(networks.placements, hierarchy))


def _tried_around(width: int, topology: Topology, training: Training) -> IntArray:
    """Widths from half of a width to twice it, as far as what they do can be counted."""
    countable = 4 * topology.num_free_parameters * training.batch_size <= MAX_WORK
    most = min(2 * width, MAX_WIDTH) if countable else width
    sides = (max(1, width // 2), width - 1), (width + 1, most)
    tried = [np.linspace(low, high, min(_TRIED, max(0, high - low + 1))).round() for low, high in sides]
    return np.concatenate(tried).astype(np.int64)


def _levels(placements: Placements, hierarchy: Hierarchy) -> dict[str, IntArray]:
    """Level indices of the sets; what fits nowhere is beyond the last level."""
    found = {name: getattr(placements, name).level.astype(np.int64) for name in SETS}
    return {name: np.where(level == NOWHERE, len(hierarchy.names), level) for name, level in found.items()}


def _converted(sets: WorkingSets, convert: Callable[[IntArray], IntArray]) -> WorkingSets:
    return WorkingSets(*(found and WorkingSet(*map(convert, found)) for found in sets))  # type: ignore[arg-type]
