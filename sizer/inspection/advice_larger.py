"""Advice beyond what lies near: the optimizer's fused form, and the size recommended for the same task. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sizer.base.errors import SizerError
from sizer.base.units import format_network
from sizer.inspection.module_record import Advice
from sizer.inspection.neighbours import MIN_SAVING
from sizer.method.advisor import recommend
from sizer.method.coefficients import Coefficients
from sizer.method.epochs_to_loss import relative_epochs
from sizer.method.hardware import Device
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
        best = recommend(request, device, coefficients).best
    except SizerError:
        return
    per_datum = best.energy_per_datum_j if coefficients.quantity == "energy" else best.time_per_datum_s
    if per_datum is None:
        return
    own = step_cost / training.batch_size * float(relative_epochs(topology.num_free_parameters))
    ratio = own / (per_datum * float(relative_epochs(best.num_free_parameters)))
    if ratio >= WORTH_A_CHANGE and best.num_free_parameters < topology.num_free_parameters:
        yield Advice(
            kind="size",
            change=f"train {format_network(best.widths, best.num_free_parameters)} first",
            reason=(
                f"this one is predicted to cost {ratio:.0f} times as much to a loss that both reach; go up from there "
                f"when the loss stalls"
            ),
            widths=best.widths,
        )
