"""The network that a search ends with, single, pruned or averaged: as one that predicts, and what to expect of it."""

from __future__ import annotations

import torch

from sizer.size_search.data.halves import worse_of
from sizer.size_search.data.metrics import CLASSIFICATION, higher_is_better
from sizer.size_search.data.other_rows import OtherRows, deciding_rows, expected_elsewhere
from sizer.size_search.data.prepare import Prepared
from sizer.size_search.data.table import Task
from sizer.size_search.ensemble_record import MeanNetwork, Trained, trained_members
from sizer.size_search.ensembles import Selection
from sizer.size_search.log import read_checkpoint
from sizer.size_search.saved_network import SavedNetwork, facts_of_reading
from sizer.size_search.search import Search
from sizer.size_search.trials.averaging import weights_of
from sizer.size_search.trials.training import predictions
from sizer.size_search.trials.trial import SliceSpec


def nearest_average(search: Search) -> Selection | None:
    """The best average of the networks trained, where it is nearer to the target than any of them alone; else None."""
    metric = search.task.metric
    found = search.library.average(search.sizes.values(), float("inf"), search.settings.most_members)
    alone = min((min(size.values) for size in search.trained if size.values), default=0.0)
    return found if found is not None and worse_of(metric, found.value, found.choosing) < alone else None


def members_of(search: Search, network: SliceSpec | None, average: Selection | None) -> list[Trained]:
    """The networks that predict together, or the one that does; none where only the user's training knows weights."""
    if not isinstance(search.task, Task):
        return []
    if average is not None:
        return trained_members(search, average)
    if network is None or network.checkpoint is None:
        return []
    return [Trained(network.topology, _weights(network, is_winner=search.winner is not None), 1.0)]


def _weights(network: SliceSpec, is_winner: bool) -> dict[str, torch.Tensor]:
    """Those that met the target, else those of the best epoch, which versions before did not keep."""
    state = read_checkpoint(network.checkpoint or b"")
    best = None if is_winner else state.get("best")
    weights: dict[str, torch.Tensor] = weights_of(state, network.weights) if best is None else best["weights"]
    return weights


def as_saved(search: Search, prepared: Prepared | None, members: list[Trained]) -> SavedNetwork | None:
    """The network that predicts from raw tables; None without members."""
    if prepared is None or not members:
        return None
    facts = {
        **facts_of_reading(prepared),
        "source": search.task.name,
        "metric": search.task.metric,
        "target": search.settings.target,
        "higher_is_better": higher_is_better(search.task.metric),
    }
    if len(members) > 1:
        return SavedNetwork.of_members(prepared.preparation, members, facts)
    return SavedNetwork.of_weights(prepared.preparation, members[0].topology, members[0].weights, facts)


def on_other_rows(search: Search, members: list[Trained], value: float | None) -> OtherRows | None:
    """What to expect of the network on rows without a part in the search; ``value`` is its metric on those with one."""
    task = search.task
    if not isinstance(task, Task) or not members or value is None:
        return None
    features = torch.from_numpy(task.validation_features[deciding_rows(task.validation)])
    network = MeanNetwork(members, task.kind == CLASSIFICATION).eval()
    return expected_elsewhere(task.validation, predictions(network, features), value)
