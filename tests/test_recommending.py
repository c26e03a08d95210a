"""The order of a recommendation: expected cost at each size's own rate, what narrows it, and equation 10 alone."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemas import closed

import sizer
from sizer.base.errors import UsageError
from sizer.cli import sizer as command
from sizer.method import expectation
from sizer.method.advisor import recommend
from sizer.method.coefficients import OtherSpeed
from sizer.method.cost_to_loss import RECORDED, Law, Outlook, carried_on
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot
from sizer.method.expectation import expected_cost, hardness_prior
from sizer.method.placement import Hierarchy
from sizer.method.reach import RATES, Known, Networks
from sizer.method.recommendation import Recommendation
from sizer.method.request import Request
from sizer.method.sweep import at_widths, families, windows
from sizer.models.shapes import SHAPES
from sizer.models.topology import Topology


def asked(**options) -> Request:
    return Request(**{"input_dim": 30, "depth": (4,), "output_dim": 3, "batch_size": (128,), **options})


def row(candidate) -> list:
    """A network with its cache and costs, as the pinned file has it."""
    anchor = candidate.anchor and list(candidate.anchor)
    network = [candidate.shape, candidate.depth, candidate.batch_size, "-".join(map(str, candidate.widths))]
    return [*network, anchor, candidate.time_per_datum_s, candidate.relative_cost_to_loss]


def test_equation_10_alone_keeps_the_order_and_the_numbers_of_the_first_releases(
    reference, small_cpu, time_coefficients
):
    for pinned in reference("equation_10_order.json"):
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in pinned["request"].items()}
        record = recommend(Request(**options, law="paper"), small_cpu, time_coefficients)
        assert [row(candidate) for candidate in record.candidates] == pinned["candidates"]
        assert row(record.optimum) == pinned["optimum"]
        assert (record.largest and row(record.largest)) == pinned["largest"]
        assert len(record.curve) == pinned["curve_points"]
        assert sum(point.relative_cost_to_loss or 0 for point in record.curve) == pinned["curve_sum"]
        assert record.hardness is None
        assert {one.chance for one in record.candidates} == {None}


def costs_by_hand(record: Recommendation, **law) -> dict[tuple[int, ...], dict[tuple[float, bool], float]]:
    """Expected cost of every size of the curve at every setting, up to the same factor, straight from the model."""
    sizes = np.array([point.num_free_parameters for point in record.curve], dtype=np.float64)
    widths = np.array([point.widths[0] for point in record.curve], dtype=np.float64)
    same = np.ones(len(sizes))
    networks = Networks(sizes, widths, 4.0 * same, 128.0 * same)
    epoch_cost = np.array([point.time_per_datum_s for point in record.curve])
    ratios, weights = hardness_prior(law.get("difficulty"))
    known = Known(record.request.observations, 30, 3)
    found: dict[tuple[int, ...], dict[tuple[float, bool], float]] = {}
    for rate, averaged in itertools.product(law.get("rates", RATES), law.get("averaging", (False, True))):
        paid = epoch_cost * (1.03 if averaged else 1.0)
        costs = expected_cost(paid, networks, known, rate, averaged, ratios, weights)
        for point, cost in zip(record.curve, costs.tolist(), strict=True):
            found.setdefault(point.widths, {})[rate, averaged] = cost
    return found


@pytest.mark.parametrize("difficulty", [None, *DIFFICULTIES])
def test_each_size_is_priced_at_the_rate_that_is_cheapest_for_it(difficulty, small_cpu, time_coefficients):
    record = recommend(asked(difficulty=difficulty, observations=4000), small_cpu, time_coefficients)
    by_hand = costs_by_hand(record, difficulty=difficulty)
    least = min(min(costs.values()) for costs in by_hand.values())
    for one in (*record.candidates, record.optimum):
        costs = by_hand[one.widths]
        assert min(costs, key=costs.get) == (one.learning_rate, one.averaged)
        assert one.relative_cost_to_loss == pytest.approx(min(costs.values()) / least)
    assert record.optimum.relative_cost_to_loss == 1.0
    steps = -(-4000 // 128)
    assert record.least_cost_to_loss == pytest.approx(least * 128 * steps)
    assert record.best.steps_per_epoch == steps


def test_a_pinned_rate_means_raw_weights_unless_they_are_asked_for(small_cpu, time_coefficients):
    for options, settings_ in (
        ({"learning_rate": 1e-3}, (1e-3, False)),
        ({"learning_rate": 3e-3, "averaged": True}, (3e-3, True)),
        ({"learning_rate": 1e-3, "law": "paper"}, (1e-3, False)),
    ):
        record = recommend(asked(**options), small_cpu, time_coefficients)
        assert {(one.learning_rate, one.averaged) for one in record.candidates} == {settings_}
    record = recommend(asked(averaged=False), small_cpu, time_coefficients)
    assert {one.averaged for one in record.candidates} == {False}
    assert {one.learning_rate for one in record.candidates} <= set(RATES)
    pinned = recommend(asked(learning_rate=1e-3), small_cpu, time_coefficients)
    costs = costs_by_hand(pinned, rates=(1e-3,), averaging=(False,))
    order = [costs[one.widths][1e-3, False] for one in pinned.candidates]
    assert order == sorted(order)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=st.builds(
        Request,
        input_dim=st.integers(1, 1000),
        output_dim=st.integers(1, 50),
        depth=st.tuples(st.integers(2, 9)),
        batch_size=st.tuples(st.sampled_from([32, 256])),
        observations=st.sampled_from([None, 300, 50_000]),
        difficulty=st.sampled_from([None, *DIFFICULTIES]),
        optimizer=st.sampled_from(["adam", "sgd-momentum"]),
        max_bytes=st.sampled_from([None, 10**7]),
    )
)
def test_chances_fall_with_hardness_and_the_record_survives_its_schema(request, small_cpu, time_coefficients):
    record = recommend(request, small_cpu, time_coefficients)
    for one in (*record.candidates, record.optimum):
        chances = [one.chance_to_reach[name] for name in ("hard", "medium", "easy")]
        epochs = [one.epochs_to_reach[name] for name in ("easy", "medium", "hard")]
        assert chances == sorted(chances)
        assert epochs == sorted(epochs)
        assert chances[0] - 1e-12 <= one.chance <= chances[-1] + 1e-12
        if request.difficulty is not None:
            assert one.chance == pytest.approx(one.chance_to_reach[request.difficulty])
    schema = json.loads(files("sizer.schemas").joinpath("recommendation-1.json").read_text(encoding="utf-8"))
    data = json.loads(record.to_json())
    jsonschema.validate(data | {"curve": data["curve"][::50]}, closed(schema))  # (its points are all made alike)
    assert Recommendation.from_dict(data) == record
    assert data["one_shot"] is None


def test_what_is_known_of_the_target_moves_its_chance_and_its_cost(small_cpu, time_coefficients):
    records = [recommend(asked(difficulty=name), small_cpu, time_coefficients) for name in ("easy", "medium", "hard")]
    chances, costs = ([of(one) for one in records] for of in (_optimum_chance, lambda one: one.least_cost_to_loss))
    assert chances == sorted(chances, reverse=True)
    assert costs == sorted(costs)
    assert costs[-1] > 2 * costs[0]
    pilots = (Pilot(1000, 0.4), Pilot(4000, 0.3))
    near, far = (
        recommend(asked(pilots=pilots, target_loss=target), small_cpu, time_coefficients) for target in (0.39, 0.26)
    )
    assert near.optimum.chance > far.optimum.chance
    assert near.least_cost_to_loss < far.least_cost_to_loss
    assert far.hardness.basis == "the target, after 2 pilots"
    assert sum(far.hardness.weights) == pytest.approx(1.0)
    assert "reaches the target with" in far.best.why


def test_equation_10_knows_no_target_and_inference_no_rate():
    for options, said in (
        ({"law": "paper", "difficulty": "hard"}, "knows nothing of how hard a target is"),
        ({"purpose": "inference", "learning_rate": 0.1}, "about training"),
        ({"purpose": "inference", "law": "curves"}, "about training"),
        ({"purpose": "inference", "difficulty": "easy"}, "about training"),
        ({"law": "moore"}, "expected one of curves, paper"),
        ({"learning_rate": 0.0}, "number above 0"),
        ({"averaged": "yes"}, "expected True, False or None"),
        ({"kind": "ranking"}, "expected one of regression, classification"),
    ):
        with pytest.raises(UsageError, match=said):
            asked(**options)


@pytest.mark.parametrize(("kind", "numbers"), [("regression", True), ("classification", False), (None, None)])
def test_the_law_knows_whether_targets_are_numbers(kind, numbers):
    assert Law.of(asked(kind=kind)).known.regression is numbers
    assert sizer.recommend(input_dim=30, depth=3, kind=kind).request.kind == kind


def test_numbers_are_trained_at_a_higher_rate_than_classes(small_cpu, time_coefficients):
    numbers, classes = (
        recommend(asked(kind=kind, batch_size=(256,)), small_cpu, time_coefficients).best
        for kind in ("regression", "classification")
    )
    assert numbers.learning_rate > classes.learning_rate


def test_inference_is_compared_by_equation_10(small_cpu, time_coefficients):
    record = recommend(asked(purpose="inference"), small_cpu, time_coefficients)
    assert (record.request.law, record.best.learning_rate, record.best.chance_to_reach) == ("paper", None, None)
    assert any("forward pass" in note for note in record.notes)


def test_at_about_the_same_cost_aligned_widths_come_first(small_cpu, time_coefficients):
    """Without a difference in cost but the size's own, every size that is listed is a multiple of four at least."""
    record = recommend(asked(input_dim=784), small_cpu, time_coefficients)
    wide = [one for one in record.candidates if one.widths[0] > 64]
    assert wide
    assert all(one.widths[0] % 4 == 0 for one in wide)
    assert sum(one.widths[0] % 16 == 0 for one in wide) > len(wide) / 2
    swept = at_widths(
        next(families(record.request)),
        Hierarchy.of(record.device, anchored=True),
        np.array([point.widths[0] for point in record.curve]),
    )
    costs, found = np.array([point.relative_cost_to_loss for point in record.curve]), windows(swept)
    for one in record.candidates:
        cheapest = costs[found[one.anchor.working_set, one.anchor.level].inside].min()
        assert one.relative_cost_to_loss <= 1.05 * cheapest


def test_sizes_about_as_good_and_sizes_to_go_up_to(small_cpu, time_coefficients):
    record = recommend(asked(), small_cpu, time_coefficients)
    best, near = record.best, record.near_best
    assert near.smallest.num_free_parameters <= best.num_free_parameters <= near.largest.num_free_parameters
    for end in (near.smallest, near.largest):
        assert end.relative_cost_to_loss <= 1.1 * best.relative_cost_to_loss * (1 + 1e-12)
    beyond = [p for p in record.curve if near.largest.num_free_parameters < p.num_free_parameters]
    assert beyond[0].relative_cost_to_loss > 1.1 * best.relative_cost_to_loss
    sizes = [best.num_free_parameters, *(size.num_free_parameters for size in record.next_sizes)]
    assert len(sizes) > 1
    assert all(2 * before <= after <= 4 * before for before, after in itertools.pairwise(sizes))
    assert best.chance < record.next_sizes[0].chance


def shown(*options: str) -> str:
    arguments = ["recommend", "--input-dim", "30", "--depth", "4", "--device", "x86-vm-2cpu", "--details", *options]
    done = CliRunner().invoke(command, arguments, standalone_mode=False, env={"COLUMNS": "80"})
    assert done.exception is None, done.exception
    return " ".join(done.stdout.split())


def test_the_report_says_where_the_optimum_is_much_cheaper(small_cpu, time_coefficients):
    from sizer.report.recommendation import recommendation_report

    def heading(record) -> str:
        return " ".join(block.text for block in recommendation_report(record) if hasattr(block, "text"))

    record = recommend(asked(), small_cpu, time_coefficients)
    dear = replace(record.best, relative_cost_to_loss=1.25)
    assert "costs 20 % less; it fills no cache" in heading(replace(record, candidates=(dear,)))
    near = replace(record.best, relative_cost_to_loss=1.1)
    assert "% less; it fills" not in heading(replace(record, candidates=(near,)))


def test_the_command_and_python_say_the_same():
    options = ("--pilot", "1000=0.4", "--pilot", "4000=0.3", "--target-loss", "0.26")
    data = json.loads(shown(*options, "--json"))
    pilots = [(1000, 0.4), (4000, 0.3)]
    record = sizer.recommend(input_dim=30, depth=4, device="x86-vm-2cpu", pilots=pilots, target_loss=0.26)
    assert data["candidates"][0]["widths"] == list(record.best.widths)
    assert data["candidates"][0]["learning_rate"] == record.best.learning_rate
    data = json.loads(shown("--learning-rate", "0.004", "--averaged", "--json"))
    assert (data["request"]["learning_rate"], data["request"]["averaged"]) == (0.004, True)
    data = json.loads(shown("--law", "paper", "--json"))
    assert (data["request"]["law"], data["candidates"][0]["learning_rate"]) == ("paper", None)


def test_rates_chances_and_reasons_are_shown():
    text = shown()
    assert "expected cost to reach any target, each size at its learning rate" in text
    assert "cost to loss rate easy medium hard" in text
    assert "reaches medium targets with" in text
    assert "half as wide would" in text
    assert "the loss diverges" in text
    assert "stops short" in text
    pinned = shown("--learning-rate", "0.001", "--difficulty", "hard")
    assert "expected cost to reach hard targets" in pinned
    assert "Adam at 0.001, raw weights" in pinned
    assert "Hard targets are reached with" in pinned
    assert "reaches hard targets with" in pinned
    assert "the loss diverges" not in pinned
    paper = shown("--law", "paper")
    assert "equation 10 alone" in paper
    assert "Which losses it reaches is not predicted" in paper
    assert "targets are reached" not in paper


def test_what_no_learning_curve_tells_is_said(small_cpu, time_coefficients):
    deep, large = RECORDED.depths[-1] + 1, 2 * RECORDED.batch_sizes[-1]
    for options, said in (
        ({"depth": (4, deep)}, f"of depths {deep}: what those of depths 2 to 8"),
        ({"batch_size": (256, large)}, f"of batch sizes {large}: what"),
        ({"shape": ("rectangle", "exponential")}, "of shapes exponential: what"),
        ({"learning_rate": 0.2}, "rate of 0.2"),
        ({"optimizer": "sgd"}, "as if it learnt as Adam does"),
        ({"max_bytes": 10**7}, "beyond the limit"),
    ):
        record = recommend(asked(**options), small_cpu, time_coefficients)
        assert any(said in note for note in record.notes), said
    assert recommend(asked(), small_cpu, time_coefficients).notes == ()
    assert carried_on(asked(batch_size=(256,))) is None
    for options, curves in (
        ({"depth": (deep,)}, "depths 2 to 8"),
        ({"batch_size": (large,)}, "batch sizes 64 to 1024"),
        ({"shape": ("exponential",)}, "shapes rectangle, trapezoid, wide_first_4x"),
    ):
        assert not any("curve" in note for note in recommend(asked(**options), small_cpu, time_coefficients).notes)
        assert carried_on(asked(**options)) == f"learning curves of {curves}, carried on"
    everything = {"depth": RECORDED.depths, "batch_size": RECORDED.batch_sizes, "shape": RECORDED.shapes}
    assert carried_on(asked(**everything)) is None
    assert carried_on(asked(depth=(deep,), law="paper")) is None
    assert recommend(asked(optimizer="sgd"), small_cpu, time_coefficients).best.learning_rate is None


def outlook(shape: str = "rectangle", depth: int = 4, batch_size: int = 256, rows: int = 4000) -> Outlook:
    """What the network of 2^14 parameters of a family may expect at 4e-3, averaged."""
    request = asked(observations=rows)
    network = Topology.solve(shape, 2**14, depth, request.input_dim, request.output_dim)
    full = np.array([[width] for width in network.full])
    return Law.of(request).outlook(full, request.training(batch_size), 4e-3, True)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "rectangle"])
def test_every_shape_learns_as_a_rectangle_of_as_many_parameters(shape):
    """So a network of one wide layer is not taken for one of three such layers."""
    assert outlook(shape).chance == pytest.approx(outlook().chance, abs=0.02)


def test_another_shape_or_batch_size_than_most_curves_are_of_has_to_promise_more(
    small_cpu, time_coefficients, monkeypatch
):
    request = asked(shape=tuple(SHAPES), batch_size=(256, 512), observations=4000)
    doubted = recommend(request, small_cpu, time_coefficients).best
    assert (doubted.shape, doubted.batch_size) == ("rectangle", 256)
    monkeypatch.setattr(expectation, "DOUBT", 0.0)
    assert recommend(request, small_cpu, time_coefficients).best.shape != "rectangle"


def test_other_depths_than_most_curves_are_of_learn_more_slowly():
    for depth in (2, 3, 6, 8, 16):
        assert outlook(depth=depth).epochs_to_reach["medium"] > 1.05 * outlook().epochs_to_reach["medium"]
    chances = [outlook(depth=depth).chance for depth in (2, 4, 6, 8)]
    assert chances[0] == pytest.approx(chances[1], abs=0.02)
    assert chances[1:] == sorted(chances[1:], reverse=True)


def test_larger_batches_take_more_epochs_and_fewer_steps_up_to_the_whole_data_set():
    epochs = [outlook(batch_size=size).epochs_to_reach["medium"] for size in (64, 256, 1024)]
    assert epochs == sorted(epochs)
    assert [epochs[0] * 4, epochs[1], epochs[2] / 4] == sorted([epochs[0] * 4, epochs[1], epochs[2] / 4], reverse=True)
    assert outlook(batch_size=64).chance == outlook().chance > outlook(batch_size=1024).chance
    assert outlook(batch_size=4096, rows=1000) == outlook(batch_size=1024, rows=1000)


def test_another_speed_of_the_machine_is_said_where_it_changes_the_first_size(small_cpu, time_coefficients):
    terms = time_coefficients.terms
    slower = OtherSpeed(1.4, 1, {name: 1.4 * value for name, value in terms.items()})
    waiting = OtherSpeed(1.8, 2, {**terms, "operation": 40 * terms["operation"]})
    alike, other = (
        recommend(asked(), small_cpu, replace(time_coefficients, other_speeds=(speed,))) for speed in (slower, waiting)
    )
    assert alike.at_other_speeds[0].widths == alike.best.widths
    assert alike.notes == ()
    assert other.best.widths == alike.best.widths
    assert other.at_other_speeds[0].num_free_parameters < other.best.num_free_parameters
    assert "1.80 times the usual time (2 of its sessions)" in other.notes[0]
    assert alike.at_other_speeds[0].relative_cost_of_best == pytest.approx(1.0)
    there = recommend(asked(), small_cpu, replace(time_coefficients, terms=waiting.terms))
    costs = {point.widths: point.relative_cost_to_loss for point in there.curve}
    assert other.at_other_speeds[0].relative_cost_of_best == pytest.approx(
        costs[other.best.widths] / there.best.relative_cost_to_loss
    )
    assert Recommendation.from_dict(json.loads(other.to_json())) == other


def _optimum_chance(record):
    return record.optimum.chance
