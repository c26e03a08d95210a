"""What may be asked of a recommendation: limits, names as they are spoken, and messages that say what to do."""

from __future__ import annotations

import math

import pytest

from sizer.base.errors import UsageError
from sizer.method.epochs_to_loss import Pilot
from sizer.method.request import (
    BY_DEVICE,
    MAX_BATCH,
    MAX_OBSERVATIONS,
    Request,
    check_choice,
    check_known,
    check_limit,
    check_sized,
    check_training,
    parse_depths,
    parse_pilots,
    parse_shapes,
    request_of,
    several,
)
from sizer.method.training_step import Training
from sizer.models import SHAPES
from sizer.models.shapes import MAX_DEPTH

PILOTS = (Pilot(1000, 0.4), Pilot(4000, 0.3))


def refused(**options) -> str:
    """The message with which a request is refused."""
    with pytest.raises(UsageError) as raised:
        Request(**{"input_dim": 30, "depth": (4,), **options})
    return str(raised.value)


@pytest.mark.parametrize(
    ("option", "lowest", "highest"),
    [
        ("input_dim", 1, 2**30),
        ("output_dim", 1, 2**30),
        ("top", 1, 10_000),
        ("width_multiple", BY_DEVICE, 65_536),
        ("max_bytes", 1, 2**62),
        ("observations", 1, 2**40),
    ],
)
def test_whole_numbers_have_a_least_and_a_most(option, lowest, highest):
    for value in (lowest, highest):
        assert getattr(Request(**{"input_dim": 30, "depth": (4,), option: value}), option) == value
    for value in (lowest - 1, highest + 1, 1.5, "7", True):
        assert refused(**{option: value}).startswith(f"{option} is {value!r}; expected a whole number")


@pytest.mark.parametrize(("option", "lowest", "highest"), [("depth", 2, MAX_DEPTH), ("batch_size", 1, 2**24)])
def test_each_of_several_whole_numbers_is_checked(option, lowest, highest):
    assert getattr(Request(**{"input_dim": 30, "depth": (4,), option: (lowest, highest)}), option) == (lowest, highest)
    for value in (-1, highest + 1, 2.5):
        assert refused(**{option: (lowest, value)}).startswith(f"{option} is {value!r}; expected a whole number")


@pytest.mark.parametrize("option", ["max_time", "max_energy", "learning_rate", "target_loss"])
def test_limits_are_numbers_above_0(option):
    for value in (0, 0.0, -1.0, math.nan, math.inf, "1", True, []):
        assert refused(**{option: value}) == f"{option} is {value!r}; expected a number above 0"
    assert check_limit(option, None) is None
    for value in (1e-9, 1, 3.5):
        assert check_limit(option, value) == value


@pytest.mark.parametrize(
    ("option", "given", "meant"),
    [
        ("dtype", "fp16", "float16"),
        ("dtype", "torch.bfloat16", "bfloat16"),
        ("optimizer", "AdamW", "adamw"),
        ("optimizer", "sgd_momentum", "sgd-momentum"),
        ("purpose", "Infer", "inference"),
        ("difficulty", "Hard", "hard"),
    ],
)
def test_names_are_read_as_they_are_spoken(option, given, meant):
    assert getattr(Request(30, (4,), **{option: given}), option) == meant


def test_an_unknown_name_is_refused_with_those_there_are():
    assert refused(optimizer="lion") == "unknown optimizer 'lion'; expected one of adam, adamw, sgd, sgd-momentum"
    assert refused(optimizer="adamx").startswith("unknown optimizer 'adamx'; did you mean adam? ")
    assert refused(dtype="int8").startswith("unknown dtype 'int8'; ")
    assert refused(purpose="play") == "unknown purpose 'play'; expected one of training, inference"
    assert refused(law="moore") == "unknown law 'moore'; expected one of curves, paper"
    assert refused(kind="ranking") == "unknown kind 'ranking'; expected one of regression, classification"
    assert refused(difficulty="insane").startswith("unknown difficulty 'insane'; ")
    assert refused(shape=("circle",)).startswith("unknown shape 'circle'")
    assert check_choice("law", "paper", iter(["curves", "paper"])) == "paper"


def test_the_settings_of_a_step_are_checked_in_one_place():
    assert check_training(8, "half", "Adam", None) == Training(8, "float16", "adam")
    assert check_training(MAX_BATCH, "float32", "sgd", MAX_OBSERVATIONS).observations == MAX_OBSERVATIONS
    for values, said in (
        ((0, "float32", "adam", None), "batch_size is 0"),
        ((MAX_BATCH + 1, "float32", "adam", None), "batch_size is 16777217"),
        ((1, "int8", "adam", None), "unknown dtype"),
        ((1, "float32", "lion", None), "unknown optimizer"),
        ((1, "float32", "adam", 0), "observations is 0"),
        ((1, "float32", "adam", MAX_OBSERVATIONS + 1), "observations is"),
    ):
        with pytest.raises(UsageError, match=said):
            check_training(*values)
    request = Request(30, (4,), observations=500, dtype="mixed", optimizer="sgd")
    assert request.training(64) == Training(64, "mixed", "sgd", 500)


@pytest.mark.parametrize("option", ["depth", "batch_size", "shape"])
def test_there_is_something_to_sweep(option):
    assert refused(**{option: ()}) == f"no {option} given; give at least one"


def test_sweeps_are_counted_before_they_are_made():
    within = {"depth": tuple(range(2, 52)), "batch_size": tuple(range(1, 101))}
    assert len(Request(30, **within).depth) == 50
    assert refused(**within | {"depth": tuple(range(2, 53))}) == (
        "5,100 combinations of depth, shape and batch size; at most 5,000: ask for fewer at once"
    )
    assert refused(**within, shape=("rectangle", "trapezoid")).startswith("10,000 combinations")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"pilots": PILOTS},
            "pilot losses and a target loss go together; a target_loss is missing",
        ),
        (
            {"target_loss": 0.1},
            "pilot losses and a target loss go together; pilots (SIZE=LOSS, of two sizes or more) is missing",
        ),
        (
            {"pilots": PILOTS, "target_loss": 0.1, "difficulty": "easy"},
            "give either a difficulty or pilot losses; they say the same thing in two ways",
        ),
        (
            {"pilots": (PILOTS[0], PILOTS[0]), "target_loss": 0.1},
            "pilots of one size say nothing about others; give the losses of two sizes or more",
        ),
        (
            {"averaged": "yes"},
            "averaged is 'yes'; expected True, False or None",
        ),
        (
            {"law": "paper", "difficulty": "hard"},
            "equation 10 alone (law paper) knows nothing of how hard a target is; leave out the difficulty or the "
            "pilots, or the law",
        ),
        *(
            (
                {"purpose": "inference", **options},
                "how hard a target is, the learning rate and the law of learning curves are about training; leave them "
                "out, or --for inference",
            )
            for options in (
                {"law": "curves"},
                {"averaged": False},
                {"learning_rate": 0.1},
                {"difficulty": "hard"},
                {"pilots": PILOTS, "target_loss": 0.1},
            )
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_way_out(options, said):
    assert refused(**options) == said


def test_a_pilot_that_says_nothing_is_named():
    for pilot, said in (
        (Pilot(0, 0.1), "the size of a pilot is 0;"),
        (Pilot(10, math.inf), "the loss of a pilot is inf;"),
        (Pilot(10, 0.1, 0), "the epochs of a pilot is 0;"),
        (Pilot(10, 0.1, MAX_OBSERVATIONS + 1), "the epochs of a pilot is 1099511627777;"),
    ):
        assert refused(pilots=(pilot, PILOTS[1]), target_loss=0.1).startswith(said)
    Request(30, (4,), pilots=(Pilot(1, 0.1, 1), Pilot(20, 0.1, MAX_OBSERVATIONS)), target_loss=0.1)


@pytest.mark.parametrize(
    ("options", "by_curves", "target_given", "largest_asked"),
    [
        ({}, True, False, False),
        ({"law": "curves", "difficulty": "hard"}, True, True, False),
        ({"averaged": True}, True, False, False),
        ({"law": "paper", "max_bytes": 10**6}, False, False, True),
        ({"purpose": "inference", "max_time": 1.0}, False, False, True),
        ({"purpose": "inference", "law": "paper", "max_energy": 1.0}, False, False, True),
        ({"pilots": PILOTS, "target_loss": 0.1}, True, True, False),
    ],
)
def test_what_a_request_is_about(options, by_curves, target_given, largest_asked):
    request = Request(30, (4,), **options)
    assert (request.by_curves, request.target_given, request.largest_limit_given) == (
        by_curves,
        target_given,
        largest_asked,
    )


def test_a_record_has_the_names_of_the_options():
    request = Request(30, (4, 5), purpose="training", pilots=PILOTS, target_loss=0.2, target=("price",), data="a.csv")
    record = request.to_dict()
    assert (record["for"], record["pilot"][0]) == ("training", {"size": 1000, "loss": 0.4, "epochs": None})
    assert not {"purpose", "pilots"} & record.keys()
    assert Request.from_dict(record) == request


def test_an_option_that_a_function_does_not_have_is_named_with_the_nearest():
    check_known("recommend", ["depth"], ["depth", "shape"])
    with pytest.raises(UsageError) as raised:
        check_known("recommend", iter(["shape", "dept"]), iter(["depth", "shape"]))
    assert str(raised.value) == ("recommend has no option 'dept'; did you mean depth? Its options are depth, shape")


@pytest.mark.parametrize(
    ("data", "target", "input_dim", "options", "said"),
    [
        ("a.csv", None, 30, {}, "input_dim would be read from the data; give the one or the other"),
        (
            "a.csv",
            "price",
            30,
            {"output_dim": 1},
            "input_dim and output_dim would be read from the data; give the one or the other",
        ),
        (
            None,
            "price",
            30,
            {},
            "a target is a column of data: name its file too, sizer recommend house.csv --target price",
        ),
        (
            None,
            None,
            None,
            {"output_dim": 2},
            "say what to size: a file, such as house.csv --target price, or the number of features, --input-dim 784 "
            "(in Python data= and target=, or input_dim=)",
        ),
    ],
)
def test_sizes_are_stated_or_read_from_data(data, target, input_dim, options, said):
    with pytest.raises(UsageError) as raised:
        check_sized(data, target, input_dim, options)
    assert str(raised.value) == said
    check_sized("a.csv", "price", None, {"output_dim": None})
    check_sized(None, None, 30, {"output_dim": 2})


def test_options_are_one_value_or_several_and_none_is_the_usual():
    assert request_of(30) == Request(30, (4,), width_multiple=BY_DEVICE)
    assert request_of(30, depth=6, batch_size=64, shape="all", levels=["L2"], width_multiple="auto") == Request(
        30, (6,), batch_size=(64,), shape=SHAPES, levels=("L2",), width_multiple=None
    )
    assert request_of(30, depth=["2-4", 6], batch_size=[32, 64], width_multiple=8, top=3) == Request(
        30, (2, 3, 4, 6), batch_size=(32, 64), width_multiple=8, top=3
    )
    assert request_of(30, batch_size=None, shape=None, levels=None, observations=None) == request_of(30)
    assert request_of(30, width_multiple="device").width_multiple == BY_DEVICE
    assert request_of(30, pilots=["1k=0.4", (4000, 0.3)], target_loss=0.2).pilots == PILOTS
    assert request_of(30, width_multiple=None).width_multiple is None
    for value in ("wide", [8]):
        with pytest.raises(UsageError, match="width_multiple is"):
            request_of(30, width_multiple=value)
    assert several("L2") == ("L2",)
    assert several(["L1", "L2"]) == ("L1", "L2")
    assert several(7) == (7,)


def test_depths_are_numbers_or_ranges():
    assert parse_depths(["3-3", "5", 4, "4-6"]) == (3, 5, 4, 6)
    for text, said in (
        ("x", "depth is 'x'; expected a whole number such as 6, or a range such as 2-8"),
        ("2-", "depth is '2-'; expected a whole number such as 6, or a range such as 2-8"),
        ("8-2", "depth is '8-2', a range that ends before it starts; write it as 2-8"),
        (1, "depth is 1, a network without a hidden layer: there is no width to choose; give 2 or more"),
        ("1-3", "depth is 1, a network without a hidden layer: there is no width to choose; give 2 or more"),
    ):
        with pytest.raises(UsageError) as raised:
            parse_depths([text])
        assert str(raised.value) == said
    with pytest.raises(UsageError, match=f"depth is {MAX_DEPTH + 1}; expected a whole number"):
        parse_depths([f"9-{MAX_DEPTH + 1}"])
    with pytest.raises(UsageError, match="depth is True; expected a whole number"):
        Request(30, (True,))


def test_shapes_are_named_once_each():
    assert parse_shapes(["trapezoid", "rectangle", "trapezoid"]) == ("trapezoid", "rectangle")
    assert parse_shapes(["all"]) == tuple(SHAPES)


def test_a_pilot_is_written_as_its_numbers():
    assert parse_pilots(["1k=0.5@2", (2000, "0.25"), (10, 1, 3)]) == (
        Pilot(1000, 0.5, 2),
        Pilot(2000, 0.25),
        Pilot(10, 1.0, 3),
    )
    with pytest.raises(UsageError) as raised:
        parse_pilots(["1000"])
    assert str(raised.value) == (
        "a pilot is '1000'; expected SIZE=LOSS or SIZE=LOSS@EPOCHS, such as 4096=0.31: trainable parameters, "
        "the best validation loss, and where training was cut short, after how many epochs"
    )
