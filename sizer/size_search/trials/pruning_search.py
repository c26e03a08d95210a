"""Prune a search's winner to the next cache level down: take units out, fine-tune, keep target and speed, or leave it.

The cut is the largest first width at which the parameters, f, live one level nearer in a forward pass (`level_down`);
any smaller cut leaves them where they are. It is kept where fine-tuning brings the target back and the forward pass has
become faster, as timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from sizer.base.units import format_quantity
from sizer.calibration.timed_step import QUIET_QUANTILE, StreamClock
from sizer.method.coefficients import Coefficients
from sizer.method.cost import predict
from sizer.method.hardware import Device
from sizer.method.placement import NOWHERE, Hierarchy
from sizer.method.sweep import Family, Sweep, at_widths, row_of
from sizer.method.training_step import Training
from sizer.models.topology import Topology
from sizer.size_search.data.halves import Judgement, is_reached, judge
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.log import Epoch, read_checkpoint, write_checkpoint
from sizer.size_search.result import ForwardCost, Pruned
from sizer.size_search.trials.averaging import RAW, weights_of
from sizer.size_search.trials.growing import moments_by_name
from sizer.size_search.trials.pruning import prune
from sizer.size_search.trials.training import halves_of, predictions
from sizer.size_search.trials.trial import Engine, SliceSpec

#: Fine-tuning, as a share of the epochs that the winner was trained for, and at least so many; no figure was fitted.
_FINE_TUNING_SHARE = 0.25
_MIN_EPOCHS = 3
#: Rounds in which the networks before and after are timed in turn, the first to warm up, and the time of each in s:
#: half a second in all.
_ROUNDS = 7
_ROUND_S = 0.03


def prune_winner(
    task: Task | CustomTask, winner: SliceSpec, epochs: int, engine: Engine, device: Device, coefficients: Coefficients
) -> tuple[SliceSpec, Pruned] | str:
    """Prune a winner that was trained for so many epochs: the network as a trial of its own, and the record.

    Or say in words why it stays as it is.
    """
    if isinstance(task, CustomTask):
        return "not pruned: its weights are known to its own training function only"
    hierarchy = Hierarchy.of(device, anchored=True)
    down = level_down(winner.topology, winner.batch_size, hierarchy)
    if isinstance(down, str):
        return f"not pruned: {down}"
    spec, value, tuned = _cut(task, winner, engine, down.first_width, epochs)
    if spec.checkpoint is None or value is None:
        return (
            f"not pruned: the cut that brings its parameters to {down.level} (first width {down.first_width} of "
            f"{winner.topology.widths[0]}) loses the target, and a smaller one leaves them where they are"
        )
    before, after = _forward_costs((winner, spec), hierarchy, coefficients)
    if (after.measured_s or 0.0) >= (before.measured_s or math.inf):
        return (
            f"not pruned: the cut that brings its parameters to {down.level} makes a forward pass no faster (measured "
            f"{format_quantity(before.measured_s, 's')} before, {format_quantity(after.measured_s, 's')} after)"
        )
    record = Pruned(
        before=before,
        after=after,
        level_wanted=down.level,
        reached_level=True,
        value_before=_judged(task, winner).value,
        value_after=value,
        attempts=((down.first_width, True),),
        fine_tuning_epochs=len(tuned),
        fine_tuning_s=sum(epoch.time_s for epoch in tuned),
        quantity=coefficients.quantity,
    )
    return spec, record


class LevelDown(NamedTuple):
    """The largest first width at which f lives on the next level down, and that level's name."""

    first_width: int
    level: str


def level_down(topology: Topology, batch_size: int, hierarchy: Hierarchy) -> LevelDown | str:
    """The network to prune to, or in words why there is none."""
    widths = np.arange(1, topology.widths[0] + 1)
    levels = forward_sweep(topology, batch_size, hierarchy, widths).networks.placement("f").level
    now = len(hierarchy.names) if levels[-1] == NOWHERE else int(levels[-1])
    if now == 0:
        return f"its parameters live in {hierarchy.names[0]} already, and nothing is nearer"
    nearer = np.flatnonzero((levels >= 0) & (levels < now))
    if not len(nearer):
        return (
            f"with {batch_size} observations at a time not even one unit a layer has its parameters nearer than "
            f"{hierarchy.name(int(levels[-1]))}; a smaller batch size leaves them room"
        )
    return LevelDown(int(widths[nearer[-1]]), hierarchy.names[levels[nearer[-1]]])


def forward_sweep(
    topology: Topology, batch_size: int, hierarchy: Hierarchy, first_widths: np.ndarray | None = None
) -> Sweep:
    """Forward passes over so many observations, in float32, of a network's family; of the network itself for None."""
    training = Training(batch_size, "float32", "sgd")
    shape = topology.shape or "rectangle"
    family = Family(shape, topology.depth, topology.input_dim, topology.output_dim, training, "inference", 1)
    return at_widths(family, hierarchy, np.array([topology.widths[0]]) if first_widths is None else first_widths)


def forward_level(swept: Sweep) -> str | None:
    """Name of the level on which f lives."""
    return swept.networks.hierarchy.name(int(swept.networks.placement("f").level[0]))


def _cut(
    task: Task, winner: SliceSpec, engine: Engine, first_width: int, epochs: int
) -> tuple[SliceSpec, float | None, tuple[Epoch, ...]]:
    """The winner pruned to a first width, fine-tuned where that is needed.

    And its metric, None where it lost the target; and the fine-tuning.
    """
    assert winner.target is not None  # (a winner met it)
    spec = _pruned(winner, task, first_width)
    judged = _judged(task, spec)
    if is_reached(task.metric, judged.value, judged.choosing, winner.target):
        return spec, judged.value, ()
    engine.submit(replace(spec, epochs=max(_MIN_EPOCHS, round(_FINE_TUNING_SHARE * epochs))))
    tuned = engine.collect()
    if not tuned.epochs or not tuned.epochs[-1].meets(task.metric, winner.target):
        return spec, None, tuned.epochs
    last = tuned.epochs[-1]
    return replace(spec, checkpoint=tuned.state, weights=last.weights), last.metric, tuned.epochs


def _pruned(winner: SliceSpec, task: Task, first_width: int) -> SliceSpec:
    """The winner with units taken out of its weights and of its optimizer's moments, a trial of its own.

    Where its averaged weights met the target, it is they that are pruned and trained on.
    """
    old = winner.topology
    smaller = Topology.of_first_width(old.shape or "rectangle", first_width, old.depth, old.input_dim, old.output_dim)
    state = read_checkpoint(winner.checkpoint or b"")
    features = torch.from_numpy(task.train_features)
    pruned = prune(weights_of(state, winner.weights), moments_by_name(state), old, smaller, features)
    optimizer = state["optimizer"] | {"state": pruned.moments_by_position}
    changed = {"widths": list(smaller.widths), "model": pruned.parameters, "optimizer": optimizer}
    changed |= {"averaged": None, "best": None}
    name, checkpoint = f"{winner.name}-pruned-{first_width}", write_checkpoint(state | changed)
    return replace(winner, name=name, topology=smaller, parent=None, checkpoint=checkpoint, weights=RAW)


def _network(spec: SliceSpec) -> torch.nn.Module:
    model = spec.topology.build()
    model.load_state_dict(weights_of(read_checkpoint(spec.checkpoint or b""), spec.weights))
    return model.to(spec.device).eval()


def _judged(task: Task, spec: SliceSpec) -> Judgement:
    """What the validation rows say of a trial as it stands."""
    halves, network = halves_of(task, spec.device), _network(spec)
    return judge(task.validation, [lambda half: predictions(network, halves[half])])


def _forward_costs(
    specs: tuple[SliceSpec, SliceSpec], hierarchy: Hierarchy, coefficients: Coefficients
) -> list[ForwardCost]:
    """Forward passes of the networks, predicted (None where nothing is known of the machine) and timed in turn."""
    one, known = specs[0], coefficients.source != "none"
    timed = time_forward([_network(spec) for spec in specs], one.topology.input_dim, one.batch_size, one.device)
    costs = []
    for spec, measured_s in zip(specs, timed, strict=True):
        size = spec.topology
        swept = forward_sweep(size, spec.batch_size, hierarchy)
        predicted = float(predict(row_of(swept, coefficients), coefficients)[0]) if known else None
        costs.append(ForwardCost(size.widths, size.num_free_parameters, forward_level(swept), predicted, measured_s))
    return costs


#: On a GPU the program stays so many passes ahead, enough to keep the GPU busy and few enough to end in time.
_PASSES_AHEAD = 16


@torch.inference_mode()
def time_forward(networks: Sequence[torch.nn.Module], input_dim: int, batch_size: int, device: str) -> list[float]:
    """Quiet time of a forward pass of each network in s: the 20th percentile of a round, the minimum over rounds.

    The networks take turns, so that what disturbs the machine disturbs all.
    """
    batch = torch.randn(batch_size, input_dim, device=device)
    rounds = [[_forward_round(network, batch) for network in networks] for _ in range(_ROUNDS)]
    return [float(quietest) for quietest in np.min(rounds[1:], axis=0)]  # the first warms up


def _forward_round(network: torch.nn.Module, batch: torch.Tensor) -> float:
    end = time.perf_counter() + _ROUND_S
    times = _forward_times_on_gpu(network, batch, end) if batch.is_cuda else _forward_times(network, batch, end)
    return float(np.quantile(times, QUIET_QUANTILE))


def _forward_times(network: torch.nn.Module, batch: torch.Tensor, end: float) -> list[float]:
    times: list[float] = []
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        network(batch)
        times.append(time.perf_counter() - began)
    return times


def _forward_times_on_gpu(network: torch.nn.Module, batch: torch.Tensor, end: float) -> list[float]:
    clock = StreamClock(batch.device)
    clock.mark()
    while True:
        network(batch)
        clock.mark()
        clock.wait_for(-_PASSES_AHEAD)
        if time.perf_counter() >= end:
            return clock.times_s()
