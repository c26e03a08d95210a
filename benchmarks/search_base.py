"""The search, and other ways to a loss, on the base of learning curves: sizes at four rates, raw and averaged weights.

Every method is charged alike: the epochs that it trains, of whichever arm and to whatever end, at the cost of an epoch
that the machine's shipped profile predicts. Costs are ratios to the cheapest size at 1e-3, raw weights, were it known
beforehand (median of seeds); a target that is not met counts as infinite. A target is met where the rows that choose
and the rows that decide both meet it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from curve_base import CHOOSE, DECIDE, RAW, TEST, Key, Run, TaskFacts, read_base, read_facts, read_predictions, tasks

from sizer.devices import choose
from sizer.method.advisor import recommend
from sizer.method.request import Request
from sizer.models.topology import Topology
from sizer.size_search.arms import Goal, SearchCandidate
from sizer.size_search.candidates import first_arm, price_arms
from sizer.size_search.data.halves import Validation
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.ensembles import Kept, as_outputs, select
from sizer.size_search.library import LOOKED_AT, NEAR
from sizer.size_search.policy import decide
from sizer.size_search.priors import RATE_PRIORS
from sizer.size_search.settings import SearchSettings

FloatArray = npt.NDArray[np.float64]

#: Targets, as multiples of the best loss of any size at 1e-3.
LEVELS = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0)
DEVICE = "x86-vm-2cpu"
BASE_RATE, MULTIPLES = 1e-3, tuple(RATE_PRIORS)
RATES = tuple(BASE_RATE * multiple for multiple in MULTIPLES)
#: A seed counts once it was recorded up to here: with small sizes alone, most targets are out of reach.
LARGEST = 2**16
#: As a search has it by default; what was recorded ends before.
MOST_EPOCHS = 1000
#: Epochs without gain after which the thoughtless policy leaves an arm.
PATIENCE = 5
#: Its arms, as logarithms of sizes and rates.
THOUGHTLESS = ((14, 8e-3), (15, 4e-3), (16, 4e-3), (16, 1.6e-2), (15, 1.6e-2), (16, 1e-3), (14, 4e-3), (17, 4e-3))


@dataclass(frozen=True, eq=False)
class Curves:
    """One training: per epoch the loss that counts (the worse of the rows that choose and decide), and the test loss.

    ``raw`` are those of the raw weights alone, ``better`` of whichever weights the rows that choose prefer; ``mean`` is
    that of both halves together.
    """

    raw: tuple[float, ...]
    better: tuple[float, ...]
    test: tuple[float, ...]
    diverged: bool
    mean: tuple[float, ...]

    @classmethod
    def of(cls, run: Run) -> Curves:
        """Of a recorded training."""
        return cls.of_losses(run.losses)

    @classmethod
    def of_losses(cls, losses: FloatArray) -> Curves:
        """Of losses as `Run` has them."""
        is_finite = np.isfinite(losses[:, RAW]).all(axis=1)
        losses = losses[: int(np.argmin(is_finite)) if not is_finite.all() else len(losses)]
        chosen = np.nan_to_num(losses[:, :, CHOOSE], nan=np.inf).argmin(axis=1)
        better = losses[np.arange(len(losses)), chosen]
        worse = better[:, (CHOOSE, DECIDE)].max(axis=1)
        raw = losses[:, RAW, (CHOOSE, DECIDE)].max(axis=1)
        mean = better[:, (CHOOSE, DECIDE)].mean(axis=1)
        return cls(tuple(raw), tuple(worse), tuple(better[:, TEST]), not is_finite.all(), tuple(mean))


@dataclass(frozen=True, eq=False)
class Grid:
    """Every arm of one task trained from one seed."""

    facts: TaskFacts
    seed: int
    sizes: tuple[int, ...]
    topologies: tuple[Topology, ...]
    curves: dict[tuple[int, float], Curves]  # (position of the size, rate)

    @cached_property
    def settings(self) -> SearchSettings:
        """Settings of a search on this task."""
        return SearchSettings(target=1.0, depth=4, batch_size=256)

    @cached_property
    def arms(self) -> tuple[SearchCandidate, ...]:
        """The arms as the search sees them."""
        rows = self.facts.train_rows, sum(self.facts.looked_at_rows[:2])
        return tuple(
            arm
            for arm in price_arms(self.topologies, rows, self.settings, choose(DEVICE))
            if self.key(arm) in self.curves
        )

    def key(self, arm: SearchCandidate) -> tuple[int, float]:
        """Of an arm's curves."""
        return self.topologies.index(arm.topology), arm.learning_rate

    @property
    def recorded(self) -> set[int]:
        """The sizes that were recorded, as powers of two asked for."""
        return {self.sizes[position] for position, _ in self.curves}

    def recorded_as(self, arm: SearchCandidate) -> Key:
        """An arm's training as predictions are filed by."""
        return Key(self.sizes[self.topologies.index(arm.topology)], arm.learning_rate, self.seed)


@dataclass(frozen=True)
class Target:
    """A loss to reach on a task, from one seed; ``cheapest`` is what the cheapest size at 1e-3 takes."""

    grid: Grid
    level: float
    loss: float
    cheapest: float


def read_grids(task: str) -> tuple[Grid, ...]:
    """The recorded trainings of a task at depth 4 with batches of 256, one grid a seed."""
    facts = read_facts(task)
    runs = [run for run in read_base(task) if (run.depth, run.shape, run.batch_size) == (4, "rectangle", 256)]
    offered = set(SearchSettings(target=1.0).rates.values())
    runs = [run for run in runs if run.learning_rate in offered]
    sizes = {run.widths: run.size for run in runs}
    widths = sorted(sizes, key=sizes.__getitem__)
    topologies = tuple(Topology("rectangle", facts.input_dim, one) for one in widths)
    grids = []
    for seed in sorted({run.seed for run in runs}):
        curves = {(widths.index(r.widths), r.learning_rate): Curves.of(r) for r in runs if r.seed == seed}
        curves = {key: found for key, found in curves.items() if found.raw}
        grids.append(Grid(facts, seed, tuple(sizes[one] for one in widths), topologies, curves))
    return tuple(grids)


def epochs_to(values: Sequence[float], loss: float) -> float:
    """Epochs after which values first meet a loss, inf for never."""
    return next((epoch for epoch, value in enumerate(values, start=1) if value <= loss), math.inf)


@cache
def targets(task: str, seeds: int = 2) -> tuple[Target, ...]:
    """Every level of a task that predicting the mean does not meet, from each of its seeds."""
    grids = [grid for grid in read_grids(task) if grid.seed < seeds and max(grid.recorded) >= LARGEST]
    at_base = [[grid.curves.get((i, BASE_RATE)) for grid in grids] for i in range(len(grids[0].topologies))]
    known = {i: [one for one in of_size if one is not None] for i, of_size in enumerate(at_base)}
    best = min(float(np.median([min(one.raw) for one in of_size])) for of_size in known.values() if of_size)
    costs = {grid.key(arm)[0]: arm.epoch_cost for grid in grids for arm in grid.arms}
    found = []
    for level in LEVELS:
        loss = level * best
        if loss >= grids[0].facts.baseline_loss:
            continue
        cheapest = min(
            costs[i] * float(np.median([epochs_to(one.raw, loss) for one in of_size]))
            for i, of_size in known.items()
            if of_size
        )
        found += [Target(grid, level, loss, cheapest) for grid in grids if math.isfinite(cheapest)]
    return tuple(found)


class Outcome(NamedTuple):
    """What a method spends on a target, and the test loss of what met it over the target's (NaN where it is not known).

    ``arm`` met it after so many ``epochs``; None where it is not met, or where an average met it.
    """

    spent: float
    test: float = math.nan
    arm: SearchCandidate | None = None
    epochs: int = 0


Method = Callable[[Target], Outcome]
NOT_MET = Outcome(math.inf)


def search(target: Target) -> Outcome:
    """The search, everything that it trains included."""
    return _search(target, None)


def search_with_averages(target: Target) -> Outcome:
    """The same, with averages of predictions after every slice, on the tasks whose predictions were recorded."""
    return _search(target, Library.of(target.grid))


def search_sizes(target: Target) -> Outcome:
    """The search over sizes alone, at 1e-3 with raw weights: of a user's training that takes no learning rate."""
    return _search(replace(target, grid=_at_base_rate(target.grid)), None)


@cache
def _at_base_rate(grid: Grid) -> Grid:
    at_rate = {key: one for key, one in grid.curves.items() if key[1] == BASE_RATE}
    unknown = {key: (math.nan,) * len(one.raw) for key, one in at_rate.items()}  # (test losses are of either weights)
    return replace(grid, curves={key: replace(one, better=one.raw, test=unknown[key]) for key, one in at_rate.items()})


def _search(target: Target, library: Library | None) -> Outcome:
    grid = target.grid
    first = first_arm(grid.arms).name
    done = dict.fromkeys((arm.name for arm in grid.arms), 0)
    spent, gain = 0.0, 1.0
    while True:
        arms = tuple(_at(grid, arm, done[arm.name]) for arm in grid.arms)
        goal = Goal(target.loss, MOST_EPOCHS, gain=None if library is None else gain)
        decisions = decide(arms, goal, first)
        if not decisions:
            return NOT_MET
        arm = next(arm for arm in arms if arm.name == decisions[0].name)
        curves, before = grid.curves[grid.key(arm)], done[arm.name]
        met = epochs_to(curves.better, target.loss)
        until = int(min(before + decisions[0].epochs, met, len(curves.better)))
        done[arm.name] = until
        spent += (until - before) * arm.epoch_cost
        if until == met:
            return Outcome(spent, curves.test[until - 1] / target.loss, arm, until)
        if library is not None:
            loss, gain = library.best(done, target.loss)
            if loss <= target.loss:
                return Outcome(spent)


class Library:
    """What each arm predicted for some rows, after some epochs, and how good averages of that are."""

    def __init__(self, validation: Validation, said: dict[str, list[tuple[int, Kept, float]]]) -> None:
        self.validation, self.said = validation, said
        self._found: dict[tuple[tuple[str, int], ...], tuple[float, float]] = {}

    @classmethod
    @cache
    def of(cls, grid: Grid) -> Library | None:
        """The predictions recorded for a task, None where there are none."""
        found = read_predictions(grid.facts.name)
        if found is None:
            return None
        kind = REGRESSION if grid.facts.regression else CLASSIFICATION
        targets = found.targets.reshape(-1, 1) if grid.facts.regression else found.targets
        validation = Validation(kind, targets, grid.facts.output_dim)
        names = {grid.recorded_as(arm): arm.name for arm in grid.arms}
        said: dict[str, list[tuple[int, Kept, float]]] = {}
        for key, epoch, losses, both in zip(found.keys, found.epochs, found.losses, found.said, strict=True):
            if key not in names:
                continue
            which = int(np.nan_to_num(losses[:, CHOOSE], nan=np.inf).argmin())
            kept = Kept(int(epoch), *(both[which][half] for half in validation.halves[:2]))
            full = float(losses[which, (CHOOSE, DECIDE)].max())
            said.setdefault(names[key], []).append((int(epoch), kept, full))
        return cls(validation, said)

    def best(self, done: dict[str, int], target: float) -> tuple[float, float]:
        """The loss of the best average of what was trained, inf where there is none, and what averaging takes off.

        As the search does, it is looked at only where a network has come near to the target.

        Few rows were recorded: what averaging takes off is read from these, and taken off the loss on all rows.
        """
        latest = {
            name: max((i for i, one in enumerate(self.said.get(name, ())) if one[0] <= epochs), default=-1)
            for name, epochs in done.items()
        }
        which = tuple((name, i) for name, i in latest.items() if i >= 0)
        if min((self.said[name][j][2] for name, i in which for j in range(i + 1)), default=math.inf) > NEAR * target:
            return math.inf, 1.0
        if which not in self._found:
            self._found[which] = self._best(dict(which))
        return self._found[which]

    def _best(self, latest: dict[str, int]) -> tuple[float, float]:
        kept, losses = {}, {}
        for name, last in latest.items():
            _, kept[name], losses[name] = min(self.said[name][: last + 1], key=lambda one: one[2])
        looked_at = sorted(losses, key=losses.__getitem__)[:LOOKED_AT]
        found = select(self.validation, {name: kept[name] for name in looked_at}) if len(kept) > 1 else None
        if found is None:
            return math.inf, 1.0
        alone = {name: self._loss(kept[name]) for name in found.shares}
        loss = found.loss * sum(share * losses[name] / alone[name] for name, share in found.shares.items())
        return loss, min(losses.values()) / loss

    def _loss(self, kept: Kept) -> float:
        rows = np.concatenate(self.validation.halves[:2])
        outputs = as_outputs(np.concatenate([kept.choosing, kept.deciding]), self.validation.kind)
        return self.validation.loss_on(outputs, rows)


def _at(grid: Grid, arm: SearchCandidate, epochs: int) -> SearchCandidate:
    """An arm as it is after so many epochs."""
    curves = grid.curves[grid.key(arm)]
    is_over = epochs >= len(curves.better)
    return replace(
        arm,
        values=curves.better[:epochs],
        ended="recorded no further" if is_over else None,
        diverged=is_over and curves.diverged,
    )


def cheapest_arm(target: Target) -> Outcome:
    """The cheapest size and rate, weights averaged or not, known beforehand."""
    found = [
        (arm.epoch_cost * epochs_to(curves.better, target.loss), arm.name)
        for arm in target.grid.arms
        for curves in [target.grid.curves[target.grid.key(arm)]]
    ]
    return Outcome(min(found)[0])


def thoughtless(target: Target) -> Outcome:
    """Some arms in turn, each left after `PATIENCE` epochs without gain."""
    return _in_turn(target, _thoughtless_arms(target.grid), None)


def thoughtless_with_averages(target: Target) -> Outcome:
    """The same, with averages of the predictions of those that were left."""
    return _in_turn(target, _thoughtless_arms(target.grid), Library.of(target.grid))


def _thoughtless_arms(grid: Grid) -> Iterator[SearchCandidate]:
    for exponent, rate in THOUGHTLESS:
        yield from _nearest_arm(grid, 2.0**exponent, rate)


def _nearest_arm(grid: Grid, num_free_parameters: float, rate: float) -> list[SearchCandidate]:
    """The recorded arm at a rate whose size is nearest to one; none where that rate was not recorded for it."""
    sizes = np.array([topology.num_free_parameters for topology in grid.topologies])
    position = int(np.argmin(np.abs(np.log(sizes / num_free_parameters))))
    return [arm for arm in grid.arms if grid.key(arm) == (position, rate)]


def ranked(target: Target) -> Outcome:
    """What `sizer recommend` suggests, in its order, each at its rate and left after `PATIENCE` epochs without gain."""
    return _in_turn(target, _ranked_arms(target.grid), None)


def ranked_with_averages(target: Target) -> Outcome:
    """The same, with averages of the predictions of those that were left."""
    return _in_turn(target, _ranked_arms(target.grid), Library.of(target.grid))


@cache
def _ranked_arms(grid: Grid) -> tuple[SearchCandidate, ...]:
    facts, chosen = grid.facts, choose(DEVICE)
    dims = {"input_dim": facts.input_dim, "output_dim": facts.output_dim, "observations": facts.train_rows}
    request = Request(**dims, depth=(4,), batch_size=(256,), top=100)
    found: dict[str, SearchCandidate] = {}
    for pick in recommend(request, chosen.device, chosen.coefficients).candidates:
        rate = min(RATES, key=lambda rate: abs(math.log(rate / pick.learning_rate)))
        found |= {arm.name: arm for arm in _nearest_arm(grid, pick.num_free_parameters, rate) if arm.name not in found}
    return tuple(found.values())


def _in_turn(target: Target, arms: Iterable[SearchCandidate], library: Library | None) -> Outcome:
    """Arms one after the other, each left after `PATIENCE` epochs without gain."""
    grid, spent = target.grid, 0.0
    done: dict[str, int] = {}
    for arm in arms:
        curves = grid.curves[grid.key(arm)]
        done[arm.name], is_met = _patiently(curves.better, target.loss)
        spent += done[arm.name] * arm.epoch_cost
        if is_met:
            return Outcome(spent, curves.test[done[arm.name] - 1] / target.loss, arm, done[arm.name])
        if library is not None and library.best(done, target.loss)[0] <= target.loss:
            return Outcome(spent)
    return NOT_MET


def _patiently(values: Sequence[float], target: float) -> tuple[int, bool]:
    """Epochs trained, and whether the target was met."""
    best, since = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        if value <= target:
            return epoch, True
        best, since = (value, 0) if value < best else (best, since + 1)
        if since >= PATIENCE:
            return epoch, False
    return len(values), False


#: Trials that Optuna may start on one target, and seeds of its sampler over which the median is taken.
_OPTUNA_TRIALS, _OPTUNA_SEEDS = 60, 3


def optuna(target: Target) -> Outcome:
    """Optuna's default sampler over sizes and rates with a median pruner, median over its seeds."""
    return Outcome(float(np.median([_optuna(target, seed) for seed in range(_OPTUNA_SEEDS)])))


def _optuna(target: Target, seed: int) -> float:
    import optuna as package

    package.logging.set_verbosity(package.logging.ERROR)
    grid, spent = target.grid, 0.0
    rates = sorted({arm.learning_rate for arm in grid.arms})
    study = package.create_study(
        sampler=package.samplers.TPESampler(seed=seed), pruner=package.pruners.MedianPruner(n_startup_trials=4)
    )
    for _ in range(_OPTUNA_TRIALS):
        trial = study.ask()
        position = trial.suggest_int("size", 0, len(grid.topologies) - 1)
        rate = rates[trial.suggest_int("rate", 0, len(rates) - 1)]
        curves = grid.curves.get((position, rate))
        if curves is None:
            study.tell(trial, state=package.trial.TrialState.FAIL)
            continue
        cost = next(arm.epoch_cost for arm in grid.arms if grid.key(arm) == (position, rate))
        epochs, _ = _patiently(curves.better, target.loss)
        for epoch, loss in enumerate(curves.better[:epochs]):
            spent += cost
            if loss <= target.loss:
                return spent
            trial.report(loss, epoch)
            if trial.should_prune():
                study.tell(trial, state=package.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, min(curves.better[:epochs]))
    return math.inf


METHODS: dict[str, Method] = {
    "cheapest size and rate, known": cheapest_arm,
    "search, all included": search,
    "search over sizes alone, raw weights": search_sizes,
    "Recommend's rank 1 at its rate, then the next": ranked,
    "thoughtless": thoughtless,
    "Optuna over width and rate": optuna,
}
#: The same where predictions were recorded, networks averaged.
WITH_AVERAGES: dict[str, Method] = {
    "cheapest size and rate, known": cheapest_arm,
    "search, networks not averaged": search,
    "search, all included": search_with_averages,
    "Recommend's rank 1 at its rate, then the next": ranked_with_averages,
    "thoughtless": thoughtless_with_averages,
}


def compare(names: Sequence[str], each: bool, methods: dict[str, Method] = METHODS) -> None:
    """Print a table of the methods on some tasks, or of the targets."""
    wanted = [target for name in names for target in targets(name)]
    print(f"{len(names)} tasks, {len(wanted)} targets")
    print(f"{'':44s}{'median':>8s}{'90 %':>8s}{'worst':>8s}   not met   test within 3 %")
    for title, method in methods.items():
        found = [method(target) for target in wanted]
        ratios = np.array([one.spent / target.cheapest for one, target in zip(found, wanted, strict=True)])
        tests = np.array([one.test for one in found])
        known = tests[np.isfinite(tests)]
        within = f"{np.mean(known <= 1.03):.0%}" if len(known) else ""
        print(f"{title:44s}{_row(ratios)}   {within}", flush=True)
        if each:
            for target, ratio in zip(wanted, ratios, strict=True):
                print(f"    {target.grid.facts.name:12s} seed {target.grid.seed} {target.level:5.2f}x{ratio:8.2f}")


def _row(ratios: np.ndarray) -> str:
    quantiles = (np.quantile(ratios, share, method="inverted_cdf") for share in (0.5, 0.9))
    met = ratios[np.isfinite(ratios)]
    worst = met.max() if len(met) else math.nan
    return "".join(f"{value:8.2f}" for value in (*quantiles, worst)) + f"{len(ratios) - len(met):6d}/{len(ratios)}"


def fit_priors(names: Sequence[str]) -> Iterator[str]:
    """The table of `sizer.size_search.priors` from some tasks: medians over sizes from 2^11 to 2^18, tasks and seeds.

    Tasks on which a rate changes the best loss several times over say little of the others: slopes and spreads are
    those of the middle, from the 10th to the 90th percentile.
    """
    grids = [grid for name in names for grid in read_grids(name)]
    for multiple in MULTIPLES:
        pairs = [pair for grid in grids for pair in _pairs(grid, multiple)]
        sizes, floors, epochs = (np.array(values) for values in zip(*pairs, strict=True))
        low, high = np.quantile(floors, (0.1, 0.9))
        middle = (floors >= low) & (floors <= high)
        slope = float(np.polyfit(sizes[middle], floors[middle], 1)[0])
        floor = float(np.median(floors - slope * sizes))
        doublings = max(math.log2(multiple), 1.0)
        spreads = [np.subtract(*np.quantile(values, (0.84, 0.16))) / 2 / doublings for values in (epochs, floors)]
        yield (
            f"    {multiple}: RatePrior({np.median(epochs):.2f}, {floor:.3f}, {slope:.3f}),  # {len(pairs)} pairs; "
            f"spreads a doubling {spreads[0]:.2f}, {spreads[1]:.3f}"
        )


def _pairs(grid: Grid, multiple: float) -> Iterator[tuple[float, float, float]]:
    """Of each size: doublings over 2^14, and logs of its best loss and its epochs over those at the base rate."""
    for position, topology in enumerate(grid.topologies):
        base, other = (grid.curves.get((position, BASE_RATE * one)) for one in (1.0, multiple))
        if base is None or other is None or not 2**11 <= topology.num_free_parameters <= 2**18:
            continue
        within = max(min(base.better), min(other.better))
        ratios = [
            math.log(epochs_to(other.better, within * level) / epochs_to(base.better, within * level))
            for level in LEVELS[2:]
        ]
        floor = math.log(min(other.better) / min(base.better))
        yield math.log2(topology.num_free_parameters) - 14, floor, float(np.mean(ratios))


def main(each: bool, is_fit: bool) -> None:
    """Replay the base, the tasks that are left out of every fit apart; or fit the table."""
    from curve_tasks import HELD_OUT

    known = [name for name in tasks() if name not in HELD_OUT]
    if is_fit:
        print("\n".join(fit_priors(known)))
        return
    for title, names in (("fitted tasks", known), ("held-out tasks", [name for name in tasks() if name in HELD_OUT])):
        print(f"\n{title}")
        compare(names, each)
    predicted = [name for name in tasks() if read_predictions(name) is not None]
    print("\ntasks whose predictions were recorded, networks averaged")
    compare(predicted, each, WITH_AVERAGES)
