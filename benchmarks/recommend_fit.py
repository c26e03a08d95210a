"""Fits the constants of `sizer/method/reach.py` to the base of curves.

Every task counts alike. The chance to reach is a logistic regression on whether each size, rate and kind of weights
reached targets of 1.015 to 3.5 times the best loss; epochs and the point where a training is left are linear
regressions of their logarithms. All are drawn a little towards nothing (`RIDGE`), since tasks are few. What another
depth or batch size changes is fitted apart, to pairs of trainings that differ in nothing else.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from recommend_base import RATES, Pair, Sweep, read_pairs, read_sweeps
from recommend_choices import known_of, network_of, networks_of, settings

from sizer.method import reach as law
from sizer.method.reach import Constants

FloatArray = npt.NDArray[np.float64]

#: Targets that are fitted, as ratios to the best loss.
RATIOS = 1 + np.exp(np.linspace(math.log(0.015), math.log(2.5), 9))
#: Pull of the coefficients towards 0, in observations of a whole task.
RIDGE = 0.02


class Observed(NamedTuple):
    """What is fitted of one task: terms (cases, terms) and outcomes (cases,) of each of the three."""

    reach: tuple[FloatArray, FloatArray]
    epochs: tuple[FloatArray, FloatArray]
    left: tuple[FloatArray, FloatArray]


@cache
def observed(task: str) -> Observed:
    """The cases of a task: every seed, size, rate, kind of weights, and target that the mean does not meet."""
    parts = [_of_setting(sweep, rate, averaged) for sweep in read_sweeps(task) for rate, averaged in settings()]
    return Observed(
        *((np.concatenate([p[i][0] for p in parts]), np.concatenate([p[i][1] for p in parts])) for i in range(3))
    )


def _of_setting(sweep: Sweep, rate: int, averaged: bool) -> Observed:
    setting = networks_of(sweep), known_of(sweep), RATES[rate], averaged
    ratios = RATIOS[RATIOS * sweep.best < sweep.facts.baseline_loss]
    shape = len(sweep.sizes), len(ratios)
    epochs = np.column_stack([sweep.epochs(rate, averaged, ratio * sweep.best) for ratio in ratios]).ravel()
    reached = np.isfinite(epochs)
    left = np.repeat(np.log2(np.maximum(1.0, sweep.left_after(rate, averaged) - law.PATIENCE)), len(ratios))
    return Observed(
        (_columns(law.reach_terms(*setting, ratios), shape), reached.astype(np.float64)),
        (_columns(law.epochs_terms(*setting, ratios), shape)[reached], np.log2(epochs[reached])),
        (_columns(law.left_terms(*setting), shape)[~reached], left[~reached]),
    )


def _columns(terms: dict[str, FloatArray], shape: tuple[int, int]) -> FloatArray:
    return np.column_stack([np.broadcast_to(term, shape).ravel() for term in terms.values()])


class Differences(NamedTuple):
    """What another depth, shape or batch size changes on one task: terms of `BESIDE` and outcomes (cases,) of each law.

    Outcomes are differences within pairs, of log2 of the epochs where both reach a target, and of log2 of the epochs
    until the best loss where neither does; of reach both of a pair are cases, with their other terms in ``given``.
    """

    reach: tuple[FloatArray, FloatArray]
    epochs: tuple[FloatArray, FloatArray]
    left: tuple[FloatArray, FloatArray]
    given: FloatArray


@cache
def differences(task: str) -> Differences | None:
    """The cases of a task: every pair, kind of weights, and target that the mean does not meet; None without pairs."""
    parts = [_of_pair(pair, averaged) for pair in read_pairs(task) for averaged in (False, True)]
    if not parts:
        return None
    joined = ((np.concatenate([p[i][0] for p in parts]), np.concatenate([p[i][1] for p in parts])) for i in range(3))
    return Differences(*joined, np.concatenate([part.given for part in parts]))


def _of_pair(pair: Pair, averaged: bool) -> Differences:
    sweep, setting = pair.sweep, (network_of(pair), known_of(pair.sweep), RATES[pair.rate], averaged)
    ratios = RATIOS[RATIOS * sweep.best < sweep.facts.baseline_loss]
    shape = 1, len(ratios)
    terms = law.reach_terms(*setting, ratios), law.epochs_terms(*setting, ratios), law.left_terms(*setting)
    in_reach, in_epochs, in_left = (_columns(_only_beside(found), shape) for found in terms)
    given = _columns({name: np.asarray(term) for name, term in terms[0].items() if name not in law.BESIDE}, shape)
    other, like = (np.array([_met(curve, ratio * sweep.best) for ratio in ratios]) for curve in pair.curves(averaged))
    reached, failed = np.isfinite(other) & np.isfinite(like), ~np.isfinite(other) & ~np.isfinite(like)
    left = [math.log2(max(1, len(curve) - law.PATIENCE)) for curve in pair.curves(averaged)]
    return Differences(
        (np.concatenate([in_reach, 0 * in_reach]), np.isfinite(np.concatenate([other, like])).astype(np.float64)),
        (in_epochs[reached], np.log2(other[reached] / like[reached])),
        (in_left[failed], np.full(failed.sum(), left[0] - left[1])),
        np.concatenate([given, given]),
    )


def _only_beside(terms: dict[str, FloatArray | float]) -> dict[str, FloatArray]:
    return {name: np.asarray(term) for name, term in terms.items() if name in law.BESIDE}


def _met(curve: FloatArray, loss: float) -> float:
    """Epochs after which a loss is met, infinite where it is not."""
    met = np.flatnonzero(curve <= loss)
    return float(met[0] + 1) if len(met) else math.inf


@cache
def constants_of(tasks: tuple[str, ...]) -> Constants:
    """The constants fitted to some tasks."""
    main = _of_the_main_grid(tasks)
    varied = [found for task in tasks if (found := differences(task)) is not None]
    if not varied:
        return main
    main_terms = np.array([value for name, value in main.reach if name not in law.BESIDE])
    found = {
        "reach": logistic([each.reach for each in varied], [each.given @ main_terms for each in varied]),
        "epochs": _least_squares([each.epochs for each in varied]),
        "left": _least_squares([each.left for each in varied if len(each.left[1])]),
    }
    return main._replace(**{name: _with(getattr(main, name), values) for name, values in found.items()})


def _with(coefficients: tuple[tuple[str, float], ...], values: FloatArray) -> tuple[tuple[str, float], ...]:
    """Coefficients with those of `BESIDE` among them put in, in their order."""
    beside = iter(float(f"{value:.3g}") for value in values.tolist())
    return tuple((name, next(beside) if name in law.BESIDE else value) for name, value in coefficients)


@cache
def _of_the_main_grid(tasks: tuple[str, ...]) -> Constants:
    """The constants but for what another depth or batch size changes."""
    seen = [observed(task) for task in tasks]
    sweep = read_sweeps(tasks[0])[0]
    setting = networks_of(sweep), known_of(sweep), RATES[0], False
    reach = logistic([each.reach for each in seen])
    epochs, scatter = linear([each.epochs for each in seen])
    left, left_scatter = linear([each.left for each in seen])
    left[0] += math.log(2) * left_scatter**2 / 2  # (so that it is the mean that the law gives)
    return Constants(
        _named(law.reach_terms(*setting, RATIOS), reach),
        _named(law.epochs_terms(*setting, RATIOS), epochs),
        _named(law.left_terms(*setting), left),
        scatter,
        TOGETHER,
    )


#: How far sizes of a task share their luck: after a failure the next octave reaches a target 0.1 to 0.5 as often as it
#: does otherwise, which is 0.7 to 0.9 of the way to never but by what its chance is higher.
TOGETHER = 0.8


def _named(terms: dict[str, FloatArray], values: FloatArray) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(f"{value:.3g}")) for name, value in zip(terms, values.tolist(), strict=True))


def logistic(cases: list[tuple[FloatArray, FloatArray]], given: list[FloatArray] | None = None) -> FloatArray:
    """Coefficients of a logistic regression by Newton's method, every task's cases weighing 1 together.

    ``given`` are log-odds to begin from, beside a level of each task's own, which is not told.
    """
    levels = np.eye(len(cases)) if given is not None else np.empty((len(cases), 0))
    begin = given if given is not None else [np.zeros(len(came)) for _, came in cases]
    coefficients = np.zeros(cases[0][0].shape[1] + levels.shape[1])
    ridge = RIDGE * np.eye(len(coefficients))
    for _ in range(12):
        hessian, gradient = ridge.copy(), -ridge @ coefficients
        for (terms, came), level, odds in zip(cases, levels, begin, strict=True):
            columns = np.hstack([terms, np.broadcast_to(level, (len(came), len(level)))])
            chance = 1 / (1 + np.exp(-np.clip(odds + columns @ coefficients, -30, 30)))
            hessian += (columns * (chance * (1 - chance))[:, None]).T @ columns / len(came)
            gradient += columns.T @ (came - chance) / len(came)
        coefficients = coefficients + np.linalg.solve(hessian, gradient)
    return coefficients[: cases[0][0].shape[1]]


def linear(cases: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, float]:
    """Coefficients of a linear regression with a level of its own for each task, and the scatter about it in all.

    What changes within tasks is fitted to the differences within them: which tasks reach a target at all with a size
    must not look like what the size does. What does not is fitted to the tasks' levels then. Every task weighs 1.
    """
    cases = [case for case in cases if len(case[1])]
    means = [(terms.mean(axis=0), values.mean()) for terms, values in cases]
    within = np.any([terms.std(axis=0) > 1e-9 for terms, _ in cases], axis=0)
    coefficients = np.zeros(len(within))
    apart = [
        (terms[:, within] - mean[within], values - level)
        for (terms, values), (mean, level) in zip(cases, means, strict=True)
    ]
    coefficients[within] = _least_squares(apart)
    levels = [(mean[None, ~within], np.array([level - mean @ coefficients])) for mean, level in means]
    coefficients[~within] = _least_squares(levels)
    squares = [((values - terms @ coefficients) ** 2).mean() for terms, values in cases]
    return coefficients, float(f"{math.sqrt(np.mean(squares)):.3g}")


def _least_squares(cases: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Least squares drawn a little towards 0, every task's cases weighing 1 together."""
    hessian = RIDGE * np.eye(cases[0][0].shape[1])
    gradient = np.zeros(len(hessian))
    for terms, values in cases:
        hessian += terms.T @ terms / len(values)
        gradient += terms.T @ values / len(values)
    return np.linalg.solve(hessian, gradient)


def fit(tasks: tuple[str, ...]) -> None:
    """Print the constants as they stand in the module."""
    found = constants_of(tasks)
    print(f"of {len(tasks)} tasks: {', '.join(tasks)}\n\nCURVES = Constants(")
    for name in ("reach", "epochs", "left"):
        print(f"    {name}=(\n" + "".join(f'        ("{n}", {v}),\n' for n, v in getattr(found, name)) + "    ),")
    print(f"    scatter={found.scatter},\n    together={found.together},\n)")
