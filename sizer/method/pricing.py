"""From sizes to prices: what a step of each network of a sweep costs, and which networks are within the limits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sizer.base.errors import UsageError
from sizer.method.coefficients import Coefficients
from sizer.method.cost import Row, predict, priced_row
from sizer.method.epochs_to_loss import Reach, relative_epochs
from sizer.method.placement import FloatArray
from sizer.method.request import Request
from sizer.method.sweep import Family, Sweep, Window, windows
from sizer.method.working_sets import BoolArray


def families(request: Request) -> Iterator[Family]:
    """One family for each shape, depth and batch size asked for."""
    for shape, depth, batch_size in itertools.product(request.shape, request.depth, request.batch_size):
        training, multiple = request.training(batch_size), request.width_multiple or 1
        yield Family(shape, depth, request.input_dim, request.output_dim, training, request.purpose, multiple)


class PricedSweep(NamedTuple):
    """A sweep with the cost of each of its networks.

    ``per_datum`` is in J or s, or in operations when there are no coefficients; ``to_loss`` is per_datum times the
    relative epochs of the data-efficiency law, infinite where a network fits on no level.
    """

    sweep: Sweep
    windows: dict[tuple[str, str], Window]
    per_datum: FloatArray
    to_loss: FloatArray


def row_of(swept: Sweep, coefficients: Coefficients) -> Row:
    """Counts of what one datum's cost is made of: a training step, or a forward pass for inference."""
    return priced_row(swept.networks, coefficients, forward_only=swept.family.purpose == "inference")


def price(swept: Sweep, coefficients: Coefficients) -> PricedSweep:
    """Cost of each network of a sweep, per datum and to a loss; operations stand in where there are no coefficients."""
    row = row_of(swept, coefficients)
    step = row["operation"] if coefficients.source == "none" else predict(row, coefficients)
    per_datum = step / swept.family.training.batch_size
    to_loss = np.where(swept.fits(), per_datum * relative_epochs(swept.num_free_parameters), np.inf)
    return PricedSweep(swept, windows(swept), per_datum, to_loss)


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


def large_enough(priced: PricedSweep, reach: Reach) -> PricedSweep:
    """Only the networks that are trusted with a target, at the law's cost of targets like it."""
    parameters = priced.sweep.num_free_parameters
    allowed = np.isfinite(priced.to_loss) & reach.met_by(priced.sweep.networks.full, parameters)
    to_loss = priced.per_datum * relative_epochs(parameters, saturation=reach.saturation)
    return only(priced._replace(to_loss=to_loss), allowed)


def only(priced: PricedSweep, allowed: BoolArray) -> PricedSweep:
    """The sweep with every network that is not allowed infinitely dear, so that nothing picks it."""
    return priced._replace(to_loss=np.where(allowed, priced.to_loss, np.inf))
