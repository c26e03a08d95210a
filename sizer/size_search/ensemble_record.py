"""An average of networks that met the target, as a record, as one trial, and as one network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from sizer.base.units import format_network, format_quantity
from sizer.models.topology import Topology
from sizer.size_search.data.metrics import CLASSIFICATION
from sizer.size_search.data.table import Task
from sizer.size_search.log import read_checkpoint
from sizer.size_search.result import Ensemble, EnsembleMember, SearchPoint, SearchTrial

if TYPE_CHECKING:
    from sizer.size_search.ensembles import Selection
    from sizer.size_search.search import Search

#: Probabilities below this count as this: their logarithm must exist in float32.
_LEAST = 1e-30


class Trained(NamedTuple):
    """A member's network: its topology, its weights, and its share."""

    topology: Topology
    weights: dict[str, torch.Tensor]
    share: float


class MeanNetwork(nn.Module):
    """Several networks as one: the mean of their probabilities (as logits again), or of their numbers, by share."""

    def __init__(self, members: list[Trained], is_classifier: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList(_built(member) for member in members)
        self._shares = [member.share for member in members]
        self._is_classifier = is_classifier

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Outputs (n, outputs) for features (n, input_dim)."""
        outputs = [member(features) for member in self.members]
        if self._is_classifier:
            outputs = [torch.softmax(of, dim=1) for of in outputs]
        mean = torch.stack([share * of for share, of in zip(self._shares, outputs, strict=True)]).sum(dim=0)
        return torch.log(mean.clamp_min(_LEAST)) if self._is_classifier else mean


def _built(member: Trained) -> nn.Module:
    network = member.topology.build()
    network.load_state_dict({name: value.detach().cpu() for name, value in member.weights.items()})
    return network


def trained_members(search: Search, selection: Selection) -> list[Trained]:
    """The members' networks as they were after their best epochs."""
    found = []
    for name, share in selection.shares.items():
        arm = search.sizes[name]
        best = read_checkpoint(search.folder.checkpoint(arm.checkpoint) or b"")["best"]
        found.append(Trained(arm.topology, best["weights"], share))
    return found


def record_of(search: Search, selection: Selection, curve: tuple[SearchPoint, ...]) -> Ensemble:
    """The ensemble with its members, what predicting with it costs, and what a single network would take."""
    arms = {name: search.sizes[name] for name in selection.shares}
    members = tuple(
        EnsembleMember(
            name,
            arms[name].topology.widths,
            arms[name].num_free_parameters,
            arms[name].learning_rate,
            search.library.epoch_of(name),
            share,
        )
        for name, share in selection.shares.items()
    )
    flops = [arm.flops_per_epoch for arm in arms.values()]
    return Ensemble(
        members,
        selection.value,
        selection.loss,
        sum(flops) / flops[0],
        _measured_ratio(search, selection),
        going_on_to_one(search, curve),
    )


def _measured_ratio(search: Search, selection: Selection) -> float | None:
    """Time of a forward pass of the ensemble over that of its first member; None without their weights."""
    if not isinstance(search.task, Task):
        return None
    from sizer.size_search.trials.pruning_search import time_forward
    from sizer.size_search.trials.trial import threads_set

    members = trained_members(search, selection)
    networks = [MeanNetwork(some, search.task.kind == CLASSIFICATION).eval() for some in (members, members[:1])]
    with threads_set(search.settings.threads):
        together, alone = time_forward(networks, search.task.input_dim, search.settings.batch_size, "cpu")
    return together / alone


def going_on_to_one(search: Search, curve: tuple[SearchPoint, ...]) -> str | None:
    """What meeting the target with one network is predicted to take from here, in words; None if none gets there."""
    best, cost = None, math.inf
    for point in curve:
        arm = search.sizes[point.name]
        if point.epochs is not None and (further := (point.epochs - len(arm.epochs)) * arm.epoch_cost) < cost:
            best, cost = point, further
    if best is None or best.epochs is None:
        return None
    unit = {"time": "s", "energy": "J"}.get(search.quantity, "operations")
    further, price = best.epochs - len(search.sizes[best.name].epochs), cost * search.measured_per_predicted
    return (
        f"{format_network(best.widths, best.num_free_parameters)} is predicted to meet the target alone after "
        f"{further:.0f} {'epoch' if round(further) == 1 else 'epochs'} more, {format_quantity(price, unit)}"
    )


def as_trial(selection: Selection, trials: tuple[SearchTrial, ...]) -> SearchTrial:
    """The ensemble as if it were one trial: what its members have, cost and took, together."""
    members = [trial for name in selection.shares for trial in trials if trial.name == name]
    energies = [trial.energy_j for trial in members]
    known = [energy for energy in energies if energy is not None]
    return SearchTrial(
        number=len(trials) + 1,
        name="ensemble",
        widths=members[0].widths,
        num_free_parameters=sum(trial.num_free_parameters for trial in members),
        anchor=None,
        epochs=sum(trial.epochs for trial in members),
        why_stopped="it met the target",
        is_met=True,
        best_value=selection.value,
        best_loss=selection.loss,
        predicted_epochs=None,
        time_s=sum(trial.time_s for trial in members),
        energy_j=sum(known) if len(known) == len(energies) else None,
        grown_from=None,
        where=tuple(dict.fromkeys(node for trial in members for node in trial.where)),
    )
