"""From what a search knows to its outcome. Pure."""

from __future__ import annotations

import math

from sizer.searching.deciding import Goal, forecast
from sizer.searching.metrics import higher_is_better
from sizer.searching.outcome import REACHED, CostPoint, Outcome, TrialSummary
from sizer.searching.tally import Tally, Trial, shortfall


def sum_up(tally: Tally, status: str) -> Outcome:
    """The outcome of a search that has ended, or of one that is looked at while it runs."""
    winner = tally.winner()
    trained = {name: trial for name, trial in tally.trials.items() if trial.epochs}
    best = min(trained, key=lambda name: _best_shortfall(tally, trained[name]), default=None)
    curve = _curve(tally)
    return Outcome(
        status=status,
        winner=winner,
        best=best,
        best_value=None if best is None else _best_value(tally, trained[best]),
        candidates=tuple(trial.candidate for trial in tally.trials.values()),
        trials=tuple(_summary(tally, name) for name in trained),
        quantity=tally.quantity,
        curve=curve,
        flops_choice=_flops_choice(tally, curve),
        estimate=None if status == REACHED or best is None else _estimate(tally, best, curve),
    )


def _values(trial: Trial) -> list[float]:
    return [epoch.metric for epoch in trial.epochs if math.isfinite(epoch.metric)]


def _best_value(tally: Tally, trial: Trial) -> float | None:
    values = _values(trial)
    if not values:
        return None
    return max(values) if higher_is_better(tally.metric) else min(values)


def _best_shortfall(tally: Tally, trial: Trial) -> float:
    value = _best_value(tally, trial)
    return math.inf if value is None else shortfall(tally.metric, value)


def _summary(tally: Tally, name: str) -> TrialSummary:
    trial = tally.trials[name]
    met = tally.met(trial)
    point = _point(tally, name)
    return TrialSummary(
        spec=tally.spec(name),
        epochs=tuple(trial.epochs),
        best=_best_value(tally, trial),
        met=met,
        ended="it met the target" if met else trial.ended,
        predicted_epochs=point.epochs,
        where=tuple(trial.where),
    )


def _curve(tally: Tally) -> tuple[CostPoint, ...]:
    """What reaching the target costs at each size, in order of size."""
    points = [_point(tally, name) for name in tally.trials]
    return tuple(sorted(points, key=lambda point: point.num_free_parameters))


def _point(tally: Tally, name: str) -> CostPoint:
    trial = tally.trials[name]
    candidate = trial.candidate
    met = tally.met(trial)
    epochs = float(len(trial.epochs)) if met else _expected_epochs(tally, name)
    cost = None if epochs is None else epochs * candidate.epoch_cost
    return CostPoint(name, candidate.num_free_parameters, epochs, cost, met)


def _expected_epochs(tally: Tally, name: str) -> float | None:
    """Epochs in all that a size is more likely than not to have reached the target by, None if never."""
    arms = tally.arms()
    arm = next(arm for arm in arms if arm.name == name)
    if arm.ended or not any(other.values for other in arms):
        return None
    middle = forecast(arm, arms, Goal(tally.target, tally.settings.max_epochs)).middle
    return len(arm.values) + middle if math.isfinite(middle) else None


def _flops_choice(tally: Tally, curve: tuple[CostPoint, ...]) -> str | None:
    """The size that the fewest FLOPs to the target would have chosen, by the same epochs."""
    flops = {
        point.name: point.epochs * tally.trials[point.name].candidate.flops_per_epoch
        for point in curve
        if point.epochs is not None
    }
    return min(flops, key=lambda name: flops[name]) if flops else None


def _estimate(tally: Tally, best: str, curve: tuple[CostPoint, ...]) -> str:
    """What reaching the target would take, in words."""
    known = [point for point in curve if point.cost is not None]
    if known:
        point = min(known, key=lambda point: point.cost or math.inf)
        unit = {"time": "s", "energy": "J"}.get(tally.quantity, "operations")
        return (
            f"{point.num_free_parameters:,} parameters are predicted to meet the target after about {point.epochs:.0f} "
            f"epochs, {point.cost:.3g} {unit} in all"
        )
    return _out_of_reach(tally, best)


def _out_of_reach(tally: Tally, best: str) -> str:
    reached = _best_shortfall(tally, tally.trials[best])
    missing = 1.0 - tally.target / reached
    return (
        f"no size up to {max(arm.num_free_parameters for arm in tally.arms()):,} parameters is predicted to meet the "
        f"target: the best is {missing:.0%} short of it; more data, another depth or a looser target would be needed"
    )
