"""Prune a search's winner to the next cache level down: take units out, fine-tune, keep the target, or cut less."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from sizer.calibration.stream_clock import StreamClock
from sizer.calibration.timed_step import QUIET_QUANTILE
from sizer.method.coefficients import Coefficients
from sizer.method.cost import predict
from sizer.method.hardware import Device
from sizer.method.placement import NOWHERE, Hierarchy
from sizer.method.pricing import row_of
from sizer.method.sweep import Family, Sweep, at_widths
from sizer.method.training_step import Training
from sizer.models.topology import Topology
from sizer.size_search.data.metrics import reached
from sizer.size_search.data.task import CustomTask, Task
from sizer.size_search.result import ForwardCost, Pruned
from sizer.size_search.trials.engine import Engine
from sizer.size_search.trials.pruning import prune
from sizer.size_search.trials.slices import Epoch, Slice, TrialSpec, read_checkpoint, write_checkpoint


class LevelDown(NamedTuple):
    """The largest first width at which f lives on the next level down, and that level's name."""

    first_width: int
    level: str


def inference_family(topology: Topology, batch_size: int) -> Family:
    """The family of a network that predicts ``batch_size`` observations at a time, in float32."""
    shape = topology.shape or "rectangle"
    training = Training(batch_size, "float32", "sgd")
    return Family(shape, topology.depth, topology.input_dim, topology.output_dim, training, "inference", 1)


def level_down(topology: Topology, batch_size: int, hierarchy: Hierarchy) -> LevelDown | str:
    """The network to prune to, or in words why there is none."""
    widths = np.arange(1, topology.widths[0] + 1)
    swept = at_widths(inference_family(topology, batch_size), hierarchy, widths)
    levels = swept.networks.placement("f").level
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


def forward_sweep(topology: Topology, batch_size: int, hierarchy: Hierarchy) -> Sweep:
    """The forward pass of one network as a sweep of itself."""
    family = inference_family(topology, batch_size)
    return at_widths(family, hierarchy, np.array([topology.widths[0]]))


def forward_level(swept: Sweep) -> str | None:
    """Name of the level on which f lives."""
    return swept.networks.hierarchy.name(int(swept.networks.placement("f").level[0]))


def forward_cost(swept: Sweep, coefficients: Coefficients) -> float | None:
    """Predicted cost of a forward pass in J or s, None where nothing is known of the machine."""
    if coefficients.source == "none":
        return None
    return float(predict(row_of(swept, coefficients), coefficients)[0])


#: Fine-tuning of one attempt, as a share of the epochs that the winner was trained for, and at least so many.
_FINE_TUNING_SHARE = 0.25
_MIN_EPOCHS = 3
#: How many cuts are tried, and how near two of them may be: the first width is bisected between a cut that lost the
#: target and one that kept it.
_MAX_ATTEMPTS = 6
_NEAR = 1.05

_ROUNDS = 7
_ROUND_S = 0.03


class Winner(NamedTuple):
    """The network to prune: its trial, its checkpoint, and how many epochs it was trained for."""

    task: Task | CustomTask
    spec: TrialSpec
    checkpoint: bytes
    epochs: int
    target: float


class PrunedWinner(NamedTuple):
    """A pruned network as a trial of its own, and what pruning came to."""

    spec: TrialSpec
    checkpoint: bytes
    record: Pruned


@dataclass
class _Attempts:
    """Cuts tried so far: first width and whether the target was kept; fine-tuning that they took."""

    tried: list[tuple[int, bool]] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    best: tuple[TrialSpec, bytes, float] | None = None


def prune_winner(winner: Winner, engine: Engine, device: Device, coefficients: Coefficients) -> PrunedWinner | str:
    """Prune a winner; or say in words why it stays as it is."""
    if isinstance(winner.task, CustomTask):
        return "not pruned: its weights are known to its own training function only"
    hierarchy = Hierarchy.of(device, anchored=True)
    down = level_down(winner.spec.topology, winner.spec.batch_size, hierarchy)
    if isinstance(down, str):
        return f"not pruned: {down}"
    attempts = _Attempts()
    _bisect(winner, winner.task, engine, down.first_width, attempts)
    if attempts.best is None:
        widths = ", ".join(str(width) for width, _ in attempts.tried)
        return f"not pruned: no cut kept the target (first widths tried: {widths} of {winner.spec.topology.widths[0]})"
    spec, checkpoint, value = attempts.best
    before, after = _forward_costs(winner, spec, checkpoint, hierarchy, coefficients)
    record = Pruned(
        before=before,
        after=after,
        level_wanted=down.level,
        reached_level=spec.topology.widths[0] <= down.first_width,
        value_before=_value(winner.task, winner.spec, winner.checkpoint),
        value_after=value,
        attempts=tuple(attempts.tried),
        fine_tuning_epochs=len(attempts.epochs),
        fine_tuning_s=sum(epoch.time_s for epoch in attempts.epochs),
        quantity=coefficients.quantity,
    )
    return PrunedWinner(spec, checkpoint, record)


def _bisect(winner: Winner, task: Task, engine: Engine, first_width: int, attempts: _Attempts) -> None:
    """Try the whole cut; then bisect between the deepest that keeps the target and the shallowest that loses it."""
    losing, keeping = first_width, winner.spec.topology.widths[0]
    width = first_width
    while len(attempts.tried) < _MAX_ATTEMPTS:
        kept = _attempt(winner, task, engine, width, attempts)
        if kept and width == first_width:
            return
        losing, keeping = (losing, width) if kept else (width, keeping)
        width = round((losing * keeping) ** 0.5)
        if keeping < losing * _NEAR or width in (losing, keeping):
            return


def _attempt(winner: Winner, task: Task, engine: Engine, first_width: int, attempts: _Attempts) -> bool:
    """Prune to a first width and fine-tune where that is needed; whether the target was kept."""
    old = winner.spec.topology
    smaller = Topology.of_first_width(old.shape or "rectangle", first_width, old.depth, old.input_dim, old.output_dim)
    spec = replace(winner.spec, name=f"{winner.spec.name}-pruned-{first_width}", topology=smaller, parent=None)
    checkpoint: bytes | None = _pruned_checkpoint(winner, task, smaller)
    value = _value(task, spec, checkpoint)
    if not reached(task.metric, value, winner.target):
        epochs = max(_MIN_EPOCHS, round(_FINE_TUNING_SHARE * winner.epochs))
        engine.submit(Slice(spec, epochs, winner.target, checkpoint))
        result = engine.collect()
        attempts.epochs += result.epochs
        checkpoint, value = result.checkpoint, result.epochs[-1].metric if result.epochs else value
    kept = checkpoint is not None and reached(task.metric, value, winner.target)
    attempts.tried.append((first_width, kept))
    if kept and checkpoint is not None:
        attempts.best = (spec, checkpoint, value)
    return kept


def _pruned_checkpoint(winner: Winner, task: Task, smaller: Topology) -> bytes:
    """The winner's checkpoint with units taken out of its weights and of its optimizer's moments."""
    state = read_checkpoint(winner.checkpoint)
    names = list(state["model"])
    moments = {names[index]: values for index, values in state["optimizer"]["state"].items()}
    features = torch.from_numpy(task.train_features)
    pruned = prune(state["model"], moments, winner.spec.topology, smaller, features)
    optimizer: dict[str, Any] = dict(state["optimizer"])
    optimizer["state"] = {index: pruned.moments[name] for index, name in enumerate(names) if name in pruned.moments}
    return write_checkpoint(
        {**state, "widths": list(smaller.widths), "model": pruned.parameters, "optimizer": optimizer}
    )


def _network(spec: TrialSpec, checkpoint: bytes | None) -> torch.nn.Module:
    assert checkpoint is not None  # (a trial that could not go on is no candidate)
    model = spec.topology.build()
    model.load_state_dict(read_checkpoint(checkpoint)["model"])
    return model.to(spec.device).eval()


@torch.no_grad()
def _value(task: Task, spec: TrialSpec, checkpoint: bytes | None) -> float:
    """The task's metric of a checkpoint."""
    features = torch.from_numpy(task.validation_features).to(spec.device)
    return task.value_of(_network(spec, checkpoint)(features).cpu().numpy())


def _forward_costs(
    winner: Winner, spec: TrialSpec, checkpoint: bytes, hierarchy: Hierarchy, coefficients: Coefficients
) -> tuple[ForwardCost, ForwardCost]:
    """Forward passes before and after, predicted and timed in turn."""
    networks = [_network(winner.spec, winner.checkpoint), _network(spec, checkpoint)]
    timed = time_forward(networks, spec.topology.input_dim, spec.batch_size, spec.device)
    before, after = (
        _forward_cost(topology, spec.batch_size, seconds, hierarchy, coefficients)
        for topology, seconds in zip((winner.spec.topology, spec.topology), timed, strict=True)
    )
    return before, after


def _forward_cost(
    topology: Topology, batch_size: int, measured_s: float, hierarchy: Hierarchy, coefficients: Coefficients
) -> ForwardCost:
    swept = forward_sweep(topology, batch_size, hierarchy)
    predicted = forward_cost(swept, coefficients)
    return ForwardCost(topology.widths, topology.num_free_parameters, forward_level(swept), predicted, measured_s)


#: On a GPU the program stays so many passes ahead, enough to keep the GPU busy and few enough to end in time.
_PASSES_AHEAD = 16


@torch.inference_mode()
def time_forward(networks: list[torch.nn.Module], input_dim: int, batch_size: int, device: str) -> list[float]:
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
