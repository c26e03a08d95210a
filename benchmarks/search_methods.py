"""Other ways to come to a size, charged as `search_replays` charges the search."""

from __future__ import annotations

import math

import numpy as np
from search_replays import DEVICE, Sweep, Target

from sizer.devices import choose
from sizer.method.advisor import recommend
from sizer.method.request import Request

#: Epochs without a better loss after which doubling gives up on a size.
PATIENCE = 12
#: Trials that Optuna may start on one target, and seeds of its sampler over which the median is taken.
OPTUNA_TRIALS = 60
OPTUNA_SEEDS = 9
#: First rung of successive halving in epochs, and the share of the sizes that each rung keeps.
FIRST_RUNG = 3
KEPT = 0.5


def fewest_flops(target: Target) -> float:
    """The size that meets the target with the fewest FLOPs, known beforehand."""
    sweep = target.sweep
    flops = [sweep.epochs(i, target.loss) * candidate.flops_per_epoch for i, candidate in enumerate(sweep.candidates)]
    return float(sweep.costs(target.loss)[int(np.argmin(flops))])


def smallest_feasible(target: Target) -> float:
    """The smallest size that meets the target at all, known beforehand."""
    costs = target.sweep.costs(target.loss)
    return float(costs[np.isfinite(costs)][0])


def paper_rule(target: Target) -> float:
    """The size whose backward pass fills L2 once: s_b = 1 L2."""
    sweep = target.sweep
    return float(sweep.costs(target.loss)[sweep.nearest(_fills_l2(sweep))])


def _fills_l2(sweep: Sweep) -> int:
    """Parameters of the cheapest size whose b fills L2 once to twice: at this end of the window, once."""
    topology, chosen = sweep.topologies[0], choose(DEVICE)
    dims = topology.input_dim, (topology.depth,), topology.output_dim, (sweep.batch_size,)
    found = recommend(Request(*dims, top=100, law="paper"), chosen.device, chosen.coefficients).candidates
    anchors = {(anchor.working_set, anchor.level): pick for pick in found for anchor in (pick.anchor, *pick.also_fills)}
    return anchors["b", "L2"].num_free_parameters


def doubling(target: Target) -> float:
    """Sizes from 2^7 by doublings, each until the target is met or `PATIENCE` epochs bring nothing."""
    spent = 0.0
    for losses, cost in zip(target.sweep.losses, target.sweep.epoch_cost, strict=True):
        epochs, met = _patiently(losses, target.loss)
        spent += epochs * cost
        if met:
            return spent
    return math.inf


def _patiently(losses: tuple[float, ...], target: float) -> tuple[int, bool]:
    """Epochs trained, and whether the target was met."""
    best, since = math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        if loss <= target:
            return epoch, True
        best, since = (loss, 0) if loss < best else (best, since + 1)
        if since >= PATIENCE:
            return epoch, False
    return len(losses), False


def successive_halving(target: Target) -> float:
    """All sizes for three epochs, the better half of them for three more, then for six, until one meets the target.

    As ASHA promotes, in order of size within a rung. When one is left it trains on to its end, and then the others,
    best first.
    """
    sweep = target.sweep
    spent, done = 0.0, [0] * len(sweep.sizes)
    rung, alive, waiting = FIRST_RUNG, list(range(len(sweep.sizes))), []
    while alive:
        for i in alive:
            until = min(rung, len(sweep.losses[i]))
            met = sweep.epochs(i, target.loss)
            spent += (min(until, met) - done[i]) * sweep.epoch_cost[i]
            done[i] = until
            if met <= until:
                return spent
        alive.sort(key=lambda i: min(sweep.losses[i][: done[i]]))
        keep = max(1, int(len(alive) * KEPT))
        waiting = alive[keep:] + waiting
        alive = [i for i in alive[:keep] if done[i] < len(sweep.losses[i])]
        rung *= 2
        if not alive and waiting:
            alive, waiting = [waiting[0]], waiting[1:]
            rung = max(map(len, sweep.losses))
    return math.inf


def optuna_median_pruner(target: Target) -> float:
    """Optuna's default sampler over the sizes with a median pruner, median over seeds."""
    return float(np.median([_optuna(target, seed) for seed in range(OPTUNA_SEEDS)]))


def _optuna(target: Target, seed: int) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sweep = target.sweep
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner(n_startup_trials=4)
    )
    spent = 0.0
    for _ in range(OPTUNA_TRIALS):
        trial = study.ask()
        i = trial.suggest_int("log2_size", 0, len(sweep.sizes) - 1)
        epochs, _ = _patiently(sweep.losses[i], target.loss)
        for epoch in range(epochs):
            spent += sweep.epoch_cost[i]
            loss = sweep.losses[i][epoch]
            if loss <= target.loss:
                return spent
            trial.report(loss, epoch)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, min(sweep.losses[i][:epochs]))
    return math.inf
