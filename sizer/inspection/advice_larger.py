"""Advice beyond what lies near: the optimizer's fused form, and the size recommended for the same task. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sizer.base.errors import SizerError
from sizer.base.units import format_network
from sizer.inspection.module_record import Advice
from sizer.inspection.neighbours import MIN_SAVING
from sizer.method.advisor import recommend
from sizer.method.coefficients import Coefficients
from sizer.method.hardware import Device
from sizer.method.recommendation import Recommendation
from sizer.method.request import Request
from sizer.method.training_step import Training
from sizer.models.topology import Topology

#: A size is worth a line when it is predicted to reach the same loss at so many times less cost: twice the factor that
#: the law of epochs is off by (root mean square of the log residual 0.40, docs/method.md).
WORTH_A_CHANGE = 2.0


def advise_fused(optimizer: str, factors: tuple[float, float, float]) -> Iterator[Advice]:
    """The fused form of an optimizer whose step takes (typically, at least, at most) so many times as long."""
    typical, least, most = factors
    if 1 / least - 1 <= -MIN_SAVING:
        name = {"adam": "Adam", "adamw": "AdamW"}.get(optimizer, "SGD")
        reason = f"a step in the present form is estimated to take {typical:g} times as long ({least:g} to {most:g})"
        change = f"torch.optim.{name}(..., fused=True)"
        yield Advice("fused", change, reason, effect=1 / typical - 1, interval=(1 / most - 1, 1 / least - 1))


def advise_size(
    topology: Topology, training: Training, step_cost: float, device: Device, coefficients: Coefficients
) -> Iterator[Advice]:
    """The size recommended for the same inputs, outputs and depth, where this one costs far more to the same loss.

    It may be smaller or larger: too small a network misses most targets, which the expected cost counts.
    ``step_cost`` is the predicted cost of a step of this one, in the coefficients' quantity.
    """
    try:
        request = Request(
            topology.input_dim,
            (max(2, topology.depth),),
            output_dim=topology.output_dim,
            batch_size=(training.batch_size,),
            dtype=training.dtype,
            optimizer=training.optimizer,
            top=1,
        )
        found = recommend(request, device, coefficients)
    except SizerError:
        return
    own, best = _cost_to_loss(found, topology, step_cost / training.batch_size), found.best
    if own is None or not best.relative_cost_to_loss:
        return
    ratio = own / best.relative_cost_to_loss
    is_smaller = best.num_free_parameters < topology.num_free_parameters
    if ratio >= WORTH_A_CHANGE and (is_smaller or topology.depth > 1):  # (a linear model is one on purpose)
        then = "go up from there when the loss stalls" if is_smaller else "so small a network misses most targets"
        yield Advice(
            kind="size",
            change=f"train {format_network(best.widths, best.num_free_parameters)}{' first' if is_smaller else ''}",
            reason=f"reaching a loss with this one is expected to cost {ratio:.0f} times as much, failures included; "
            + then,
            widths=best.widths,
        )


def _cost_to_loss(found: Recommendation, topology: Topology, per_datum: float) -> float | None:
    """What reaching a loss costs with a network, relative as the recommendation's costs are.

    By the size of the sweep that has about as many parameters, corrected for what a datum costs.
    """
    size = math.log(topology.num_free_parameters)
    nearest = min(found.curve, key=lambda point: abs(math.log(point.num_free_parameters) - size))
    swept = nearest.energy_per_datum_j if nearest.time_per_datum_s is None else nearest.time_per_datum_s
    if nearest.relative_cost_to_loss is None or not swept:
        return None
    return nearest.relative_cost_to_loss * per_datum / swept
