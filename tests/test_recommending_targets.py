"""How hard a target is: difficulties, pilots as they are given, and records from before either was asked for."""

from __future__ import annotations

import pytest

from sizer.base.errors import UsageError
from sizer.method.advisor import recommend
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot, difficulty_of
from sizer.method.recommendation import Recommendation
from sizer.method.request import Request, parse_pilots


def asked(**options) -> Request:
    return Request(**{"input_dim": 30, "depth": (4,), "output_dim": 3, "batch_size": (128,), **options})


def test_difficulties_are_ratios_to_the_best_loss_of_a_sweep():
    assert DIFFICULTIES["hard"].ratio == 1.1
    assert DIFFICULTIES["medium"].ratio == 1.5
    assert [difficulty_of(ratio * 0.2, 0.2) for ratio in (1.0, 1.09, 1.2, 1.49, 1.6, 10)] == [
        *["hard"] * 2,
        *["medium"] * 2,
        *["easy"] * 2,
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"difficulty": "impossible"}, "expected one of hard, medium, easy"),
        ({"pilots": (Pilot(10, 0.1), Pilot(20, 0.05))}, "a target_loss is missing"),
        ({"target_loss": 0.1}, "pilots .* is missing"),
        ({"pilots": (Pilot(10, 0.1), Pilot(10, 0.05)), "target_loss": 0.1}, "two sizes or more"),
        ({"pilots": (Pilot(10, 0.1),), "target_loss": 0.1}, "two sizes or more"),
        ({"pilots": (Pilot(10, 0.1), Pilot(20, 0.05)), "target_loss": 0.1, "difficulty": "easy"}, "either"),
        ({"pilots": (Pilot(10, -0.1), Pilot(20, 0.05)), "target_loss": 0.1}, "number above 0"),
        ({"pilots": (Pilot(0, 0.1), Pilot(20, 0.05)), "target_loss": 0.1}, "whole number"),
        ({"pilots": (Pilot(10, 0.1), Pilot(20, 0.05)), "target_loss": float("nan")}, "number above 0"),
        ({"pilots": (Pilot(10, 0.1, 0), Pilot(20, 0.05)), "target_loss": 0.1}, "epochs of a pilot"),
        ({"difficulty": "easy", "purpose": "inference"}, "about training"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        asked(**options)


@pytest.mark.parametrize(
    "text", ["1000", "1000=", "=0.1", "a=0.1", "1000=0.1=2", "1000=0.1@", "1000=0.1@a", (1000,), 7, None]
)
def test_a_pilot_is_a_size_and_a_loss(text):
    with pytest.raises(UsageError, match="SIZE=LOSS"):
        parse_pilots([text])
    assert parse_pilots(["1000=0.5", (2000, 0.25)]) == (Pilot(1000, 0.5), Pilot(2000, 0.25))
    assert parse_pilots(["1k=0.5@2", (2000, 0.25, 3)]) == (Pilot(1000, 0.5, 2), Pilot(2000, 0.25, 3))


def test_records_of_before_are_still_read(small_cpu, time_coefficients):
    data = recommend(asked(), small_cpu, time_coefficients).to_dict()
    later = ("law", "learning_rate", "averaged", "difficulty", "pilot", "target_loss")
    for name in later:
        del data["request"][name]
    for name in ("one_shot", "hardness", "near_best", "next_sizes", "at_other_speeds", "least_cost_to_loss"):
        del data[name]
    for one in (data["optimum"], *data["candidates"]):
        for name in ("optimizer_name", "learning_rate", "averaged", "steps_per_epoch", "chance", "chance_to_reach"):
            del one[name]
    before = Recommendation.from_dict(data)
    assert (before.one_shot, before.hardness, before.best.learning_rate) == (None, None, None)
    assert before.best.optimizer(before.best.build()).defaults["lr"] == 1e-3
