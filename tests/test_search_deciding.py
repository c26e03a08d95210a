"""Decisions: which size trains next, and when there is none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sizer.models.topology import Topology
from sizer.size_search import policy
from sizer.size_search.arms import Goal, Place, SearchCandidate
from sizer.size_search.forecasts import borrowed_forecast, forecast
from sizer.size_search.learning_curves import LearningCurve
from sizer.size_search.log import Epoch
from sizer.size_search.policy import _own_goal, decide, decide_exploring
from sizer.size_search.priors import chance_of_reach, log_rate_floor

SIZES = tuple(2**k for k in range(10, 21))
GOAL = Goal(0.2, 500)


def candidate(name: str, size: int, epoch_cost: float, values: tuple[float, ...] = ()) -> SearchCandidate:
    return SearchCandidate(name, Topology.solve("rectangle", size, 3, 8, 1), epoch_cost, 1.0, values=values)


def candidates(**trained: tuple[float, ...]) -> tuple[SearchCandidate, ...]:
    """Named by the exponents of their sizes; ``k14=(...)`` gives the values of one."""
    made = [candidate(f"k{size.bit_length() - 1}", size, 0.05 + size * 4e-7) for size in SIZES]
    return tuple(replace(size, values=trained.get(size.name, ())) for size in made)


def falling(epochs: int, start: float = 1.0, exponent: float = 0.5) -> tuple[float, ...]:
    return tuple(start * (epoch + 1) ** -exponent for epoch in range(1, epochs + 1))


def overfitted(lowest: float, epochs: int = 30) -> tuple[float, ...]:
    return tuple(lowest * (1 + 0.15 * abs(math.log2(epoch / 6))) for epoch in range(1, epochs + 1))


def test_it_begins_with_the_size_it_is_told_to():
    assert decide(candidates(), GOAL, "k14")[0].name == "k14"


def test_a_size_that_is_about_to_meet_the_target_goes_on():
    values = falling(20, 1.0)  # at 0.218 and falling
    assert decide(candidates(k14=values), GOAL, "k14")[0].name == "k14"


def test_a_size_that_overfits_above_the_target_is_left_for_a_larger_one():
    decision = decide(candidates(k14=overfitted(0.22)), GOAL, "k14")[0]
    assert int(decision.name[1:]) > 14


def test_a_cheap_and_a_dear_size_with_the_same_curve_are_ranked_by_cost():
    values = falling(10)
    cheap, dear = candidate("cheap", 2**14, 1.0, values), candidate("dear", 2**14, 3.0, values)
    costs = [forecast(size, (cheap, dear), GOAL).cost_of_success for size in (cheap, dear)]
    assert costs[1] == pytest.approx(3 * costs[0])


def test_nothing_is_decided_when_the_target_is_out_of_reach():
    hopeless = {f"k{k}": overfitted(0.22, 40) for k in range(10, 21)}
    assert decide(candidates(**hopeless), Goal(0.002, 500), "k14") == []


def test_few_sizes_are_tried_for_a_target_far_below_all():
    """An absurd target ends the search long before every size was tried."""
    tried: dict[str, tuple[float, ...]] = {}
    while decisions := decide(candidates(**tried), Goal(1e-6, 500), "k14"):
        name = decisions[0].name
        tried[name] = overfitted(0.22, len(tried.get(name, ())) + decisions[0].epochs)
        assert sum(map(len, tried.values())) < 200
    assert len(tried) <= 4


def test_what_larger_sizes_cost_is_hedged_below_the_first():
    """A cheap smaller size is tried once larger ones have cost several times its slice, and then they go on."""
    trained = candidates(k14=overfitted(0.22, 12), k15=overfitted(0.215, 6), k16=overfitted(0.21, 6))
    assert decide(trained, GOAL, "k15")[0].name != "k14", "nothing is owed below yet"
    assert decide(trained, GOAL, "k14")[0].name == "k13"
    paid = candidates(
        k13=overfitted(0.23, 12), k14=overfitted(0.22, 12), k15=overfitted(0.215, 6), k16=overfitted(0.21, 6)
    )
    assert int(decide(paid, GOAL, "k14")[0].name[1:]) > 14


def test_sizes_that_cannot_reach_the_target_are_owed_nothing():
    """Those below the first have had all the epochs that a trial may have, and cost next to nothing."""
    done = {f"k{k}": overfitted(0.23, 12) for k in range(10, 15)}
    trained = candidates(**done, k15=overfitted(0.215, 6), k16=overfitted(0.21, 6))
    trained = tuple(replace(size, epoch_cost=1e-4) if int(size.name[1:]) < 14 else size for size in trained)
    assert int(decide(trained, Goal(0.2, 12), "k14")[0].name[1:]) > 14


def test_each_decision_says_why():
    (first,) = decide(candidates(), GOAL, "k14")
    assert first.why.startswith("the first")
    (best, *others) = decide(candidates(k14=falling(4), k15=falling(2)), GOAL, "k14", at_most=99)
    assert best.why.startswith("least expected cost")
    assert all(other.why.startswith("at the same time") for other in others)
    early = {f"k{k}": overfitted(0.22, 2) for k in range(10, 17)}
    assert decide(candidates(**early), Goal(1e-6, 500), "k14")[0].why.startswith("too early to give up")


def test_only_the_nearest_size_on_either_side_is_begun():
    decisions = decide(candidates(k14=falling(4), k15=falling(2)), GOAL, "k14", at_most=99)
    assert {decision.name for decision in decisions} == {"k13", "k14", "k15", "k16"}


def test_sizes_that_have_ended_are_not_decided_on():
    ended = tuple(
        replace(size, ended=None if size.name == "k12" else "done") for size in candidates(k14=overfitted(0.22))
    )
    assert {decision.name for decision in decide(ended, GOAL, "k14", at_most=5)} <= {"k12"}


def test_a_budget_rules_out_what_costs_more():
    trained = candidates(k14=falling(10))
    assert decide(trained, GOAL, "k14")
    assert decide(trained, GOAL._replace(budget=0.01), "k14") == []


def test_the_chance_grows_with_the_target_and_with_the_size():
    trained = candidates(k14=overfitted(0.22))
    larger = trained[SIZES.index(2**16)]
    chances = [forecast(larger, trained, Goal(target, 500)).chance for target in (0.1, 0.2, 0.21, 0.3)]
    assert chances == sorted(chances)
    by_size = [forecast(size, trained, Goal(0.21, 500)).chance for size in trained if not size.values]
    assert by_size[-1] > by_size[0]


def test_two_slices_at_a_time_are_of_two_sizes():
    decisions = decide(candidates(k14=falling(10)), GOAL, "k14", at_most=3)
    assert len({decision.name for decision in decisions}) == 3


def test_a_size_that_met_the_target_costs_what_is_left_to_explore():
    met = candidates(k14=(*falling(10), 0.19))
    met = tuple(replace(size, ended="met" if size.name == "k14" else None) for size in met)
    assert decide_exploring(met, GOAL)[0].name != "k14"
    dear = tuple(replace(size, epoch_cost=0.05 if size.name == "k14" else 100.0) for size in met)
    assert decide_exploring(dear, GOAL) == []


def test_slices_grow_with_what_was_trained():
    trained = [candidate("k14", 2**14, 1.0, (0.5,) * done) for done in (0, 1, 5, 20, 100)]
    assert [size.slice_epochs for size in trained] == [2, 1, 1, 2, 10]


def test_a_forecast_adds_up():
    found = forecast(candidates(k14=falling(10))[4], candidates(k14=falling(10)), GOAL)
    assert 0 < found.chance <= 1
    assert (found.further_epochs[1:] >= found.further_epochs[:-1]).all()
    assert found.middle >= 1
    assert LearningCurve(falling(10)).epochs == 10


RATES = (1.0, 4.0, 8.0, 16.0)


def arms(**trained: tuple[float, ...]) -> tuple[SearchCandidate, ...]:
    """Sizes at rates: ``k14_8=(...)`` gives the values of 2^14 parameters at 8 times the base rate."""
    made = [
        replace(size, name=f"{size.name}_{rate:g}", multiple=rate, learning_rate=1e-3 * rate)
        for size in candidates()
        for rate in RATES
    ]
    return tuple(replace(arm, values=trained.get(arm.name, ())) for arm in made)


def test_a_high_rate_is_begun_with_and_its_neighbours_come_next():
    assert decide(arms(), GOAL, "k14_8")[0].name == "k14_8"
    decisions = decide(arms(k14_8=falling(4)), Goal(0.4, 500), "k14_8", at_most=99)
    assert {decision.name for decision in decisions} <= {f"k{k}_{m}" for k in (13, 14, 15) for m in (4, 8, 16)}


def test_a_high_rate_that_stops_short_is_left_for_a_lower_one_or_a_larger_size():
    stuck = overfitted(0.22, 15)
    decision = decide(arms(k14_8=stuck, k14_16=stuck), GOAL, "k14_8")[0]
    size, rate = decision.name[1:].split("_")
    assert int(rate) < 8 or int(size) > 14


def test_low_rates_get_their_share_of_what_high_ones_cost():
    """However promising a high rate looks, some is spent below the rate that was begun with."""
    trained = {"k14_8": falling(12), "k15_8": falling(6), "k16_8": falling(6), "k15_16": falling(8)}
    spent_low = 0
    for _ in range(40):
        decision = decide(arms(**trained), Goal(0.1, 500), "k14_8")[0]
        spent_low += decision.epochs if float(decision.name.split("_")[1]) < 8 else 0
        trained[decision.name] = falling(len(trained.get(decision.name, ())) + decision.epochs)
    assert spent_low > 0


def test_a_rate_that_is_too_high_for_a_size_is_for_larger_ones_too():
    diverged = tuple(
        replace(arm, diverged=True, ended="it diverged") if arm.name == "k14_8" else arm
        for arm in arms(k14_1=falling(3))
    )
    decided = {decision.name for decision in decide(diverged, GOAL, "k14_8", at_most=99)}
    assert decided
    assert not decided & {f"k{k}_{m}" for k in range(14, 21) for m in (8, 16)}
    assert decide(
        tuple(replace(arm, values=(), diverged=arm.diverged, ended=arm.ended) for arm in diverged), GOAL, "k14_8"
    )[0].name in ("k13_8", "k14_4")


def test_a_higher_rate_is_forecast_to_take_fewer_epochs_and_a_large_network_to_end_higher():
    trained = arms(k19_1=falling(12))
    low, high = (next(arm for arm in trained if arm.name == name) for name in ("k20_1", "k20_8"))
    assert forecast(high, trained, Goal(0.25, 500)).middle < forecast(low, trained, Goal(0.25, 500)).middle
    assert log_rate_floor(2**11, 8.0) < 0 < log_rate_floor(2**20, 8.0)
    assert chance_of_reach(2**20, 16.0) < chance_of_reach(2**20, 1.0)
    assert chance_of_reach(2**10, 1.0) < chance_of_reach(2**16, 1.0)


def test_slices_of_cheap_arms_grow_with_all_that_was_spent():
    trained = arms(k18_4=falling(40), k11_4=falling(6))
    cheap = next(arm for arm in trained if arm.name == "k11_4")
    assert cheap.slice_epochs == 1
    decided = {d.name: d.epochs for d in decide(trained, Goal(0.05, 500), "k14_4", at_most=99)}
    assert decided["k11_4"] > 1
    at_one_rate = candidates(k18=falling(40), k11=falling(6))
    assert {d.name: d.epochs for d in decide(at_one_rate, Goal(0.05, 500), "k14", at_most=99)}["k11"] == 1


def test_where_all_arms_are_slow_few_are_begun():
    """On a plateau every arm looks the same: going from one to the next would train none of them."""
    trained: dict[str, tuple[float, ...]] = {}
    while sum(map(len, trained.values())) < 80:
        decision = decide(arms(**trained), Goal(0.5, 1000), "k14_8")[0]
        done = len(trained.get(decision.name, ())) + decision.epochs
        trained[decision.name] = tuple(1.0 - 0.01 * epoch for epoch in range(done))
    assert max(map(len, trained.values())) >= 20
    assert len(trained) <= 12


@pytest.mark.parametrize(("deciding", "choosing", "met"), [(0.1, 0.1, True), (0.1, 0.3, False), (0.3, 0.1, False)])
def test_a_target_is_met_by_the_rows_that_decide_on_what_the_others_chose(deciding, choosing, met):
    epoch = Epoch(1, 0.1, deciding, deciding, 1.0, 1.0, None, 10, choosing=choosing)
    assert epoch.meets("loss", 0.2) is met
    assert Epoch(1, 0.1, deciding, deciding, 1.0, 1.0, None, 10).meets("loss", 0.2) is (deciding < 0.2)


def test_where_averaging_helps_an_arm_need_not_meet_the_target_alone(monkeypatch):
    """Averages take an eighth off: what comes so near to the target is as good as one that meets it."""
    stuck = arms(k14_8=overfitted(0.23, 15))
    other = next(arm for arm in stuck if arm.name == "k14_4")
    eased = _own_goal(other, Goal(0.2, 500, gain=1.14))
    assert 0.2 * 1.14 < eased.target < 0.25
    assert forecast(other, stuck, eased).chance > forecast(other, stuck, Goal(0.2, 500)).chance
    asked: list[float] = []
    monkeypatch.setattr(policy, "forecast", lambda *given: asked.append(given[2].target) or forecast(*given))
    assert decide(stuck, Goal(0.2, 500, gain=1.14), "k14_8")
    assert min(asked) > 0.2


def test_a_network_that_averaging_has_not_brought_to_the_target_must_get_better():
    """Guessed gains end at an arm's own best: it is never taken to have met what it has not."""
    arm = next(arm for arm in arms(k14_8=(0.5, 0.231)) if arm.values)
    assert _own_goal(arm, Goal(0.2, 500, gain=1.15)).target == pytest.approx(0.23)
    assert _own_goal(arm, Goal(0.2, 500, gain=1.2)).target == 0.2
    assert _own_goal(arm, Goal(0.2, 500)).target == 0.2


def test_an_arm_that_has_brought_nothing_better_for_long_loses_its_chance():
    """Flat and noisy either way: what its last epochs brought decides how long its noise is waited for."""
    noisy = (0.5, 0.4, 0.3, 0.25, 0.23, 0.225, 0.222, 0.226, 0.221, 0.225)
    late, early = arms(k14_8=(*noisy, 0.219)), arms(k14_8=(*noisy[:6], 0.219, *noisy[6:]))
    chances = [forecast(next(arm for arm in known if arm.values), known, GOAL).chance for known in (late, early)]
    assert chances[1] < 0.5 * chances[0]


def test_forecasts_that_are_kept_take_little_memory():
    """Of 10,000 trials they took 100 MB."""
    values = tuple(1.0 / epoch for epoch in range(1, 9))
    total, weights = borrowed_forecast(Place(2**12, 1.0), Place(2**10, 1.0), values, 0.05)
    most = borrowed_forecast.cache_info().maxsize
    assert most * (total.nbytes + weights.nbytes) < 32 * 2**20
