"""One size placed without training: by difficulty, by pilot losses, and what the record and the command say of it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import sizer
from sizer.base.errors import UnreachableError, UsageError
from sizer.cli import sizer as command
from sizer.method.advisor import recommend
from sizer.method.epochs_to_loss import DIFFICULTIES, Pilot, difficulty_of, reach_of
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


def test_the_size_is_the_laws_cheapest_of_those_wide_enough(small_cpu, time_coefficients):
    for difficulty, (_, width, saturation) in DIFFICULTIES.items():
        record = recommend(asked(difficulty=difficulty, observations=4000), small_cpu, time_coefficients)
        wide = [point for point in record.curve if point.widths[0] >= width]
        sizes = np.array([point.num_free_parameters for point in wide])
        costs = np.array([point.time_per_datum_s for point in wide]) * (
            (np.log2(sizes) - 1) ** -3 + saturation * 15.0**-3
        )
        assert record.one_shot.candidate.widths == wide[int(np.argmin(costs))].widths
        assert record.one_shot.smallest_hidden_width == width


def test_hard_targets_get_the_largest_size(small_cpu, time_coefficients):
    sizes = {
        name: recommend(asked(difficulty=name), small_cpu, time_coefficients).one_shot.candidate.num_free_parameters
        for name in DIFFICULTIES
    }
    assert max(sizes["easy"], sizes["medium"]) < sizes["hard"]


def test_a_width_that_is_cheap_already_changes_nothing(small_cpu, time_coefficients):
    """Where the law's cheapest size is wide enough, that is the size."""
    dear_steps = replace(time_coefficients, terms={**time_coefficients.terms, "step": 1e-2})
    record = recommend(asked(difficulty="hard"), small_cpu, dear_steps)
    assert record.optimum.widths[0] > DIFFICULTIES["hard"].hidden_width
    assert record.one_shot.candidate == record.optimum


def test_it_is_the_typical_hidden_layer_that_must_be_wide(small_cpu, time_coefficients):
    record = recommend(asked(difficulty="hard", shape=("wide_first_8x",)), small_cpu, time_coefficients)
    assert record.one_shot.candidate.widths[1] >= DIFFICULTIES["hard"].hidden_width


def test_pilots_place_a_size_where_a_power_law_comes_down_to_the_target():
    pilots = [Pilot(1000, 0.4), Pilot(4000, 0.2)]  # loss = 0.4 sqrt(1000 / size)
    reach = reach_of(None, pilots, 0.1)
    assert reach.num_free_parameters == pytest.approx(16_000, abs=1)
    assert reach.hidden_width is None
    assert "-0.50" in reach.why
    full = np.array([[10, 10], [100, 200], [100, 200], [3, 3]])
    assert reach.met_by(full, np.array([15_999, 16_001])).tolist() == [False, True]


def test_three_pilots_are_fitted_in_logarithms():
    pilots = [Pilot(2**k, 0.8 * 2 ** (-0.25 * k)) for k in (8, 10, 14)]
    assert reach_of(None, pilots, 0.8 * 2**-4).num_free_parameters == pytest.approx(2**16, rel=1e-6)


def test_a_pilot_that_reached_the_target_is_never_passed_over():
    assert reach_of(None, [Pilot(500, 0.3), Pilot(900, 0.1)], 0.12).num_free_parameters <= 900
    assert reach_of(None, [Pilot(500, 0.1), Pilot(900, 0.2)], 0.12).num_free_parameters == 500


@pytest.mark.parametrize("pilots", [[(500, 0.1), (900, 0.2)], [(500, 0.2), (900, 0.2)], [(500, 0.2), (900, 0.19999)]])
def test_losses_that_do_not_fall_reach_nothing(pilots):
    with pytest.raises(UnreachableError, match="higher target_loss"):
        reach_of(None, [Pilot(*pilot) for pilot in pilots], 0.01)


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
        ({"difficulty": "easy", "purpose": "inference"}, "about training"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        asked(**options)


@pytest.mark.parametrize("text", ["1000", "1000=", "=0.1", "a=0.1", "1000=0.1=2", (1000,), 7, None])
def test_a_pilot_is_a_size_and_a_loss(text):
    with pytest.raises(UsageError, match="SIZE=LOSS"):
        parse_pilots([text])
    assert parse_pilots(["1000=0.5", (2000, 0.25)]) == (Pilot(1000, 0.5), Pilot(2000, 0.25))


def test_limits_that_leave_no_size_are_said(small_cpu, time_coefficients):
    record = recommend(asked(difficulty="hard", max_bytes=400_000), small_cpu, time_coefficients)
    assert record.one_shot is None
    assert "large enough for the target" in record.notes[0]


def test_the_record_comes_back_from_its_json_and_fits_the_schema(small_cpu, time_coefficients):
    options = {"pilots": (Pilot(1000, 0.4), Pilot(4000, 0.2)), "target_loss": 0.1}
    schema = json.loads(files("sizer.schemas").joinpath("recommendation-1.json").read_text(encoding="utf-8"))
    for request in (asked(), asked(difficulty="medium"), asked(**options)):
        record = recommend(request, small_cpu, time_coefficients)
        data = json.loads(record.to_json())
        jsonschema.validate(data, schema)
        assert Recommendation.from_dict(data) == record
    assert data["request"]["pilot"] == [{"size": 1000, "loss": 0.4}, {"size": 4000, "loss": 0.2}]
    assert data["one_shot"]["smallest_num_free_parameters"] == 16_000


def test_records_of_before_are_still_read(small_cpu, time_coefficients):
    data = recommend(asked(), small_cpu, time_coefficients).to_dict()
    for name in ("difficulty", "pilot", "target_loss"):
        del data["request"][name]
    del data["one_shot"]
    assert Recommendation.from_dict(data).one_shot is None


def test_the_command_and_python_say_the_same():
    arguments = ["recommend", "--input-dim", "30", "--depth", "4", "--device", "x86-vm-2cpu"]
    asks = ["--pilot", "1000=0.4", "--pilot", "4000=0.2", "--target-loss", "0.1"]
    done = CliRunner().invoke(command, [*arguments, *asks, "--json"], standalone_mode=False)
    data = json.loads(done.stdout)
    pilots = [(1000, 0.4), (4000, 0.2)]
    record = sizer.recommend(input_dim=30, depth=4, device="x86-vm-2cpu", pilots=pilots, target_loss=0.1)
    assert data["one_shot"]["candidate"]["widths"] == list(record.one_shot.candidate.widths)
    shown = CliRunner().invoke(command, [*arguments, "--difficulty", "hard"], standalone_mode=False).stdout
    assert "in one shot, for the target:" in shown
    assert f"{DIFFICULTIES['hard'].hidden_width}" in shown
