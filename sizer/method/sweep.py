"""All sizes of one shape, depth and batch size: from the smallest network to one that is past every cache.

The first width runs over every whole number up to 256 and 64 values an octave beyond, plus the two widths on either
side of each point where a working set fills a cache once or twice: those edges are exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sizer.base.errors import UnreachableError, UsageError
from sizer.method.coefficients import LAUNCH_TERMS, Coefficients
from sizer.method.cost import Networks, Row, analyse, launch_and_work, predict, priced_row
from sizer.method.cost_to_loss import Law
from sizer.method.placement import NOWHERE, FloatArray, Hierarchy, fill
from sizer.method.request import Request
from sizer.method.training_step import Training
from sizer.method.working_sets import BoolArray, IntArray, count_parameters, working_sets
from sizer.models.shapes import layer_widths, residual_additions
from sizer.models.topology import MAX_PARAMETERS

#: Sets that may be anchors, in the order in which they are named when one network fills several caches.
ANCHOR_SETS = {"training": ("b", "o", "f", "t_max"), "inference": ("f", "t_max")}

#: A cache is filled once to twice: the paper's rule for the most efficient sizes.
WINDOW = (1.0, 2.0)

#: Neighbours on the grid differ by 1.1 % in width; the edges of windows are exact.
POINTS_PER_OCTAVE = 64
EVERY_WIDTH_TO = 256
#: Widths end at 2^30, as BUTTER's do.
_OCTAVES = 30
#: Enough for one round of narrowing where the grid has gaps of up to 32 widths.
_BRACKET_POINTS = 34
#: Operation counts grow with batch size times parameters and must stay inside 64-bit integers.
MAX_WORK = 2**58


class Family(NamedTuple):
    """What stays the same along a sweep."""

    shape: str
    depth: int
    input_dim: int
    output_dim: int
    training: Training
    purpose: str
    width_multiple: int

    @property
    def key(self) -> tuple[str, int, int]:
        """What differs between the families of one request: shape, depth and batch size."""
        return self.shape, self.depth, self.training.batch_size


class Sweep(NamedTuple):
    """Networks of one family in order of first width, analysed on one hierarchy."""

    family: Family
    first_widths: IntArray
    networks: Networks

    @property
    def num_free_parameters(self) -> IntArray:
        """Number of trainable parameters, shape (N,)."""
        return self.networks.num_free_parameters

    @property
    def set_names(self) -> tuple[str, ...]:
        """The working sets that count: those that may be anchors, and the data set where there is one."""
        return (*ANCHOR_SETS[self.family.purpose], *(() if self.networks.sets.d is None else ("d",)))

    def fill(self, name: str, level: int) -> FloatArray:
        """How often a set fills a level, shape (N,)."""
        return fill(self.networks.working_set(name), self.networks.hierarchy, level)

    def fits(self) -> BoolArray:
        """Which networks have a level for every working set."""
        return np.asarray(
            np.logical_and.reduce([self.networks.placement(name).level != NOWHERE for name in self.set_names])
        )

    def level_names(self, name: str) -> list[str | None]:
        """The level on which a set of each network lives, None for nowhere."""
        by_index = [*self.networks.hierarchy.names, None]  # `NOWHERE`, -1, is the last
        return [by_index[level] for level in self.networks.placement(name).level.tolist()]


class Window(NamedTuple):
    """One working set on one cache along a sweep: how often it fills the cache, and where that makes it an anchor."""

    fill: FloatArray
    inside: BoolArray


def windows(swept: Sweep) -> dict[tuple[str, str], Window]:
    """The window of every (working set, cache), nearest cache first.

    A network is inside where the set fills the cache once to twice and does not live nearer than that cache.
    """
    found = {}
    for level, level_name in swept.networks.hierarchy.caches():
        for name in ANCHOR_SETS[swept.family.purpose]:
            filled = swept.fill(name, level)
            lives = swept.networks.placement(name).level
            inside = (filled >= WINDOW[0]) & (filled <= WINDOW[1]) & ((lives >= level) | (lives == NOWHERE))
            found[name, level_name] = Window(filled, inside)
    return found


def sweep(family: Family, hierarchy: Hierarchy, aligned_to: int = 1) -> Sweep:
    """Analyse the family's sizes on a machine; with ``aligned_to`` above 1, also multiples of it next to wide ones.

    Raises UnreachableError when not even the smallest network can be counted or placed.
    """
    grid = _grid(family, hierarchy)
    if aligned_to > family.width_multiple:
        wide = grid[grid > EVERY_WIDTH_TO]
        grid = _distinct(np.concatenate([grid, wide // aligned_to * aligned_to]))
    edges = _edges(at_widths(family, hierarchy, grid))
    return at_widths(family, hierarchy, _distinct(np.concatenate([grid, edges])))


def at_widths(family: Family, hierarchy: Hierarchy, first_widths: IntArray) -> Sweep:
    """A sweep of the networks with the given first widths, shape (N,)."""
    full = _full(family, first_widths)
    additions = residual_additions(family.shape, family.depth)
    networks = analyse(full, count_parameters(full), family.training, hierarchy, additions)
    return Sweep(family, first_widths, networks)


def _full(family: Family, first_widths: IntArray) -> IntArray:
    widths = layer_widths(family.shape, first_widths, family.depth, family.output_dim, family.width_multiple)
    return np.concatenate([np.full((1, len(first_widths)), family.input_dim), widths])


def countable(family: Family, first_widths: IntArray) -> BoolArray:
    """Which networks' parameters and operations stay inside 64-bit integers, shape (N,)."""
    full = _full(family, first_widths).astype(np.float64)
    parameters = ((full[:-1] + 1) * full[1:]).sum(axis=0)
    return np.asarray((parameters <= MAX_PARAMETERS) & (parameters * family.training.batch_size <= MAX_WORK))


def aligned(swept: Sweep, unit: int) -> BoolArray:
    """Which networks have hidden widths that are all multiples of a unit, shape (N,)."""
    return np.asarray((swept.networks.full[1:-1] % unit == 0).all(axis=0))


def _grid(family: Family, hierarchy: Hierarchy) -> IntArray:
    """First widths from one multiple up to the first power of two at which every set is past every cache."""
    multiple = family.width_multiple
    powers = multiple * 2 ** np.arange(_OCTAVES - max(0, multiple.bit_length() - 1))
    counted = countable(family, powers)
    if not counted[0]:
        raise UnreachableError(
            f"even the narrowest {family.shape} of depth {family.depth} from {family.input_dim} to {family.output_dim} "
            f"is beyond what can be counted; reduce input_dim, output_dim or batch_size"
        )
    coarse = at_widths(family, hierarchy, powers[counted])
    stop = np.flatnonzero(~coarse.fits() | _past_every_cache(coarse))
    octaves = int(stop[0]) if len(stop) else len(coarse.first_widths) - 1
    steps = np.rint(2 ** (np.arange(octaves * POINTS_PER_OCTAVE + 1) / POINTS_PER_OCTAVE)).astype(np.int64)
    every = np.arange(1, min(EVERY_WIDTH_TO, steps[-1]) + 1)
    return np.asarray(multiple * _distinct(np.concatenate([every, steps])))


def _past_every_cache(sweep_: Sweep) -> BoolArray:
    """Where each set fills every cache more than twice, but for t_max, which grows too slowly to wait for."""
    names = [name for name in ANCHOR_SETS[sweep_.family.purpose] if name != "t_max"]
    caches = sweep_.networks.hierarchy.caches()
    past = [sweep_.fill(name, level) > WINDOW[1] for name in names for level, _ in caches]
    return np.asarray(np.logical_and.reduce(past)) if past else np.zeros(len(sweep_.first_widths), dtype=np.bool_)


def _edges(coarse: Sweep) -> IntArray:
    """The two neighbouring first widths at every crossing of a window's limit; all brackets are narrowed at once."""
    crossings = _crossings(coarse)
    if not crossings:
        return np.empty(0, dtype=np.int64)
    family, hierarchy = coarse.family, coarse.networks.hierarchy
    multiple = family.width_multiple
    brackets = [(coarse.first_widths[i] // multiple, coarse.first_widths[i + 1] // multiple) for *_, i in crossings]
    while any(high - low > 1 for low, high in brackets):
        inner = [_distinct(np.linspace(low, high, _BRACKET_POINTS).astype(np.int64)) for low, high in brackets]
        full = _full(family, multiple * np.concatenate(inner))
        sets = working_sets(full, count_parameters(full), family.training)
        ends = np.cumsum([len(widths) for widths in inner])
        brackets = [
            _narrow(fill(getattr(sets, name), hierarchy, level)[end - len(widths) : end], widths, limit)
            for (name, level, limit, _), widths, end in zip(crossings, inner, ends, strict=True)
        ]
    return np.asarray(multiple * np.array(brackets, dtype=np.int64).ravel())


def _crossings(coarse: Sweep) -> list[tuple[str, int, float, int]]:
    """Every (set, level, limit, index) where the set's fill of a cache first passes the limit after that index."""
    found = []
    for level, _ in coarse.networks.hierarchy.caches():
        for name in ANCHOR_SETS[coarse.family.purpose]:
            filled = coarse.fill(name, level)
            for limit in WINDOW:
                above = np.flatnonzero(_passed(filled, limit))
                if len(above) and above[0] > 0:
                    found.append((name, level, limit, int(above[0]) - 1))
    return found


def _passed(filled: FloatArray, limit: float) -> BoolArray:
    """Past a window's limit: the window is closed, so its lower limit is passed at 1 and its upper one beyond 2."""
    return filled >= limit if limit == WINDOW[0] else filled > limit


def _narrow(filled: FloatArray, widths: IntArray, limit: float) -> tuple[int, int]:
    first = int(np.argmax(_passed(filled, limit)))
    return int(widths[first - 1]), int(widths[first])


def _distinct(numbers: IntArray) -> IntArray:
    """The numbers in order, each once: np.unique, which would import numpy.ma and with it a tenth of a cold start."""
    ordered = np.sort(numbers)
    return np.asarray(ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])])


def families(request: Request) -> Iterator[Family]:
    """One family for each shape, depth and batch size asked for."""
    for shape, depth, batch_size in itertools.product(request.shape, request.depth, request.batch_size):
        training, multiple = request.training(batch_size), request.width_multiple or 1
        yield Family(shape, depth, request.input_dim, request.output_dim, training, request.purpose, multiple)


class PricedSweep(NamedTuple):
    """A sweep with the cost of each of its networks.

    ``per_datum`` is in J or s, or in operations when there are no coefficients; ``to_loss`` is the cost of reaching a
    loss by the law in use, infinite where a network fits on no level, at ``learning_rate`` (NaN for none) and with
    weights ``averaged``.
    """

    sweep: Sweep
    windows: dict[tuple[str, str], Window]
    per_datum: FloatArray
    to_loss: FloatArray
    learning_rate: FloatArray
    averaged: BoolArray


def row_of(swept: Sweep, coefficients: Coefficients) -> Row:
    """Counts of what one datum's cost is made of: a training step, or a forward pass for inference."""
    return priced_row(swept.networks, coefficients, forward_only=swept.family.purpose == "inference")


def price(swept: Sweep, coefficients: Coefficients, law: Law) -> PricedSweep:
    """Cost of each network of a sweep, per datum and to a loss; operations stand in where there are no coefficients.

    Raises UnreachableError where one costs nothing.
    """
    row = row_of(swept, coefficients)
    step = row["operation"] if coefficients.source == "none" else predict(row, coefficients)
    if not step.all():
        raise UnreachableError(
            "by the coefficients in use the cheapest network of this request costs nothing, so that no other can be "
            "compared with it; calibrate the device (`sizer calibrate`) or name another --device"
        )
    per_datum = step / swept.family.training.batch_size
    an_epoch = np.where(swept.fits(), law.epoch_cost(per_datum, swept.family.training), np.inf)
    return PricedSweep(swept, windows(swept), per_datum, *law.reaching(swept.networks, swept.family.shape, an_epoch))


def free_until(swept: Sweep, coefficients: Coefficients) -> int | None:
    """The first width up to which size costs no time on a GPU, since steps wait for the program; None where none is."""
    if coefficients.quantity != "time" or not coefficients.terms.keys() & LAUNCH_TERMS:
        return None
    launch_s, work_s = launch_and_work(row_of(swept, coefficients), coefficients)
    widths = swept.networks.full[1][launch_s >= work_s]
    return int(widths.max()) if len(widths) else None


def memory_bytes(swept: Sweep) -> FloatArray:
    """Bytes that a step needs at once, shape (N,).

    For training: parameters, gradients, moments and every activation; for inference: parameters and the largest
    inter-layer set. The framework and the data set are not counted.
    """
    sets = swept.networks.sets
    if swept.family.purpose == "inference":
        return np.asarray(sets.f.total + sets.t_max.total, dtype=np.float64)
    return np.asarray(sets.o.total + sets.b.distributed + sets.t_max.total, dtype=np.float64)


def apply_limits(priced: PricedSweep, request: Request, quantity: str) -> PricedSweep:
    """Only the networks within the limits, which are for one step."""
    step = priced.per_datum * priced.sweep.family.training.batch_size
    allowed = np.isfinite(priced.to_loss)
    if request.max_bytes is not None:
        allowed &= memory_bytes(priced.sweep) <= request.max_bytes
    for limit, limited in ((request.max_time, "time"), (request.max_energy, "energy")):
        if limit is None:
            continue
        if limited != quantity:
            raise UsageError(
                f"a limit on {limited} was given, but the coefficients in use predict {quantity}; limit that"
            )
        allowed &= step <= limit
    return only(priced, allowed)


def only(priced: PricedSweep, allowed: BoolArray) -> PricedSweep:
    """The sweep with every network that is not allowed infinitely dear, so that nothing picks it."""
    return priced._replace(to_loss=np.where(allowed, priced.to_loss, np.inf))
