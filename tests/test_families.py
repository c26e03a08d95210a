"""Sizes of a family of modules: which are asked about, what is traced, which are timed, what is predicted."""

from __future__ import annotations

import itertools
import json
import math
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from calibrating_fakes import QuietReference
from golden_records import SMALL_CPU
from schemas import closed
from torch import nn

import sizer
from sizer.base.errors import MeasurementError, UsageError
from sizer.base.progress import silent
from sizer.calibration.measurements import Timing
from sizer.cli import run
from sizer.families import timing
from sizer.families.advice import Rated, advise
from sizer.families.answer import Answer
from sizer.families.choosing import TIMED, choose, choose_cheapest, choose_next
from sizer.families.fit import fit, predict, predict_with
from sizer.families.kept import KeptTimings
from sizer.families.making import Family, as_optimizer, parameters_of, training_step
from sizer.families.request import MOST_SIZES, FamilyRequest, spread, values_of, varied, with_values
from sizer.families.terms import terms
from sizer.families.timing import Plan, Timed, time_members
from sizer.families.tracing import together, trace_members
from sizer.families.verifying import time_in_turn
from sizer.inspection.checks import as_loss
from sizer.method.placement import Hierarchy, place_all


def make(width: int, layers: int = 2) -> nn.Module:
    """A small network with normalisation, which refuses widths that its heads do not divide."""
    if width % 4:
        raise ValueError(f"{width} is no multiple of 4")
    hidden = [layer for _ in range(layers) for layer in (nn.Linear(width, width), nn.LayerNorm(width), nn.GELU())]
    return nn.Sequential(nn.Linear(16, width), *hidden, nn.Linear(width, 10))


def family(widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256), **settings: object) -> Family:
    return Family(FamilyRequest("nets:make", ("width",), (widths,), ("32,16",), **settings), make)


def made(widths: tuple[int, ...], seconds: dict[int, float], **settings: object) -> Answer:
    asked, hierarchy = family(widths, **settings), Hierarchy.of(SMALL_CPU)
    members, left = trace_members(asked, asked.request.sizes(), silent)
    sets = together([one.sets for one in members])
    timed = [Timed((width,), step_s, 3, True) for width, step_s in seconds.items()]
    return Answer(asked, SMALL_CPU, hierarchy, members, sets, place_all(sets, hierarchy), timed, left, 2)


def answer(widths: tuple[int, ...], seconds: dict[int, float], **settings: object) -> sizer.FamilyRecommendation:
    return made(widths, seconds, **settings).record()


# What is asked.


def test_a_range_is_spread_by_ratio_and_rounded_to_what_people_choose():
    found = spread(32, 1024, MOST_SIZES)
    assert found[0] == 32
    assert found[-1] == 1024
    assert 25 <= len(found) <= MOST_SIZES
    assert max(after / before for before, after in itertools.pairwise(found)) < 1.2
    assert all(width % 16 == 0 for width in found if width > 256)
    assert spread(3, 9, MOST_SIZES) == (3, 4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("32-128:32", (32, 64, 96, 128)),
        ("64, 32,64", (32, 64)),
        ([16, 8], (8, 16)),
        (range(4, 8), (4, 5, 6, 7)),
        (64, (64,)),
        ("1k-1024", (1000, *range(1001, 1025))),
    ],
)
def test_values_are_read_as_people_write_them(given, values):
    assert values_of(given, "width", 40) == values


@pytest.mark.parametrize("given", ["wide", "64-32", "0-8", "", [0, 4], ["a"], "8-64:x", range(0)])
def test_values_that_are_none_are_refused_in_one_line(given):
    with pytest.raises(UsageError, match="width") as caught:
        values_of(given, "width", 40)
    assert "\n" not in str(caught.value)


def test_names_go_with_their_values():
    known = ("width", "layers")
    assert list(varied([], ("32-64",), known)) == ["width"]
    assert list(varied(["layers"], "2-4", known)) == ["layers"]
    two = varied(["width", "layers=2-4"], ("8-16",), known)
    assert two == {"width": values_of("8-16", "", 6), "layers": (2, 3, 4)}
    assert varied([], {"width": [8, 16], "layers": "1-2"}, known) == {"width": (8, 16), "layers": (1, 2)}
    for names, widths, said in (
        (["depth"], "2-4", "no parameter 'depth'"),
        (["width=8-16"], "2-4", "--vary says all values already"),
        (["width", "layers"], "2-4", "write --vary width=32-1024 and --vary layers=32-1024"),
        ([], None, "which values of "),
    ):
        with pytest.raises(UsageError, match=said):
            varied(names, widths, known)


def test_shapes_name_what_varies():
    assert with_values("8,128,d_model", {"d_model": 64, "d": 3}) == "8,128,64"
    assert with_values("8,n:int64", {"n": 5}) == "8,5:int64"


def test_parameters_of_what_builds():
    assert parameters_of(make) == ("width", "layers")
    assert parameters_of(lambda **anything: anything) == ()
    assert parameters_of(lambda width=3, *, depth: depth) == ("depth", "width")


# What is traced.


def test_sizes_that_cannot_be_built_are_named_and_left_out():
    asked = family((8, 10, 16))
    members, left = trace_members(asked, asked.request.sizes(), silent)
    assert [one.values for one in members] == [(8,), (16,)]
    assert left[0].values == (10,)
    assert "10 is no multiple of 4" in left[0].reason


def test_traces_agree_with_single_inspections():
    asked = family((64,), optimizer="adam")
    (one,), _ = trace_members(asked, asked.request.sizes(), silent)
    found = sizer.inspect(make(64), torch.zeros(32, 16), device="x86-vm-2cpu")
    assert one.memory.num_parameters == found.num_parameters
    assert one.saved_bytes == found.saved_activation_bytes
    assert one.flops == found.flops.forward + found.flops.backward
    assert int(one.sets.b.total[0]) == found.working_sets["b"].bytes
    assert int(one.sets.o.total[0]) == found.working_sets["o"].bytes


def test_a_structure_is_that_of_the_step():
    def structure(**settings):
        asked = family((64,), **settings)
        return trace_members(asked, asked.request.sizes(), silent)[0][0].structure

    assert structure() == structure()
    assert len({structure(), structure(optimizer="sgd"), structure(dtype="mixed")}) == 3


def test_channels_are_padded_to_vectors():
    def padding(width):
        asked = Family(
            FamilyRequest("nets:cnn", ("width",), ((width,),), ("2,3,8,8",)),
            lambda width: nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3)),
        )
        (one,), _ = trace_members(asked, asked.request.sizes(), silent)
        return one.padded_flops / one.flops

    assert padding(16) == padding(48) == 1
    assert padding(17) > padding(31) > 1
    assert padding(8) == 1  # (there are vectors of 8, too, for those that are no more)
    assert padding(6) > padding(7) > 1
    assert padding(9) > 2


def test_the_state_of_any_optimizer_is_known():
    name, maker = as_optimizer(torch.optim.Adagrad)
    asked = Family(FamilyRequest("nets:make", ("width",), ((64,),), ("32,16",), name), make, make_optimizer=maker)
    (one,), _ = trace_members(asked, asked.request.sizes(), silent)
    assert one.memory.optimizer_state_bytes == one.memory.parameter_bytes
    with pytest.raises(UsageError, match="a function of parameters"):
        as_optimizer(torch.optim.SGD([nn.Parameter(torch.zeros(1))]))


@pytest.mark.parametrize("loss", [None, "mse", "cross_entropy", lambda output: output.square().mean()])
def test_a_step_trains(loss):
    built = []

    def kept(width):
        built.append(make(width))
        return built[-1]

    asked = Family(FamilyRequest("nets:make", ("width",), ((8,),), ("32,16",)), kept, loss=as_loss(loss))
    step = training_step(asked, (8,), "cpu")
    before = built[0][0].weight.detach().clone()
    step()
    assert not torch.equal(before, built[0][0].weight)


def test_whole_numbers_are_drawn_below_the_smallest_table():
    asked = Family(
        FamilyRequest("nets:embed", ("width",), ((8,),), ("4,64:int64",)),
        lambda width: nn.Sequential(nn.Embedding(5, width), nn.Linear(width, 2)),
    )
    training_step(asked, (8,), "cpu")()


# Which are timed.


def test_the_ends_are_timed_and_the_others_are_spread():
    widths = tuple(range(8, 520, 8))
    asked = family(widths)
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    placements = place_all(together([one.sets for one in members]), Hierarchy.of(SMALL_CPU))
    chosen = choose(members, placements, TIMED)
    assert len(chosen) == TIMED
    assert chosen[0] == 0
    assert chosen[-1] == len(widths) - 1
    flops = np.log([members[index].flops for index in chosen])
    assert np.diff(flops).max() < 0.5 * (flops[-1] - flops[0])
    assert choose(members[:4], placements, TIMED) == [0, 1, 2, 3]


def test_the_next_is_where_the_cost_bends():
    asked = family(tuple(range(16, 272, 16)))
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    rows = terms(members)
    truth = 1e-4 + 3e-11 * rows["operation"]
    truth[12:] *= 2  # (from width 208 on, as where a set leaves a cache)
    tried = [0, 5, 10, 15]
    assert 10 < choose_next(members, {one: truth[one] for one in tried}, tried) < 15
    assert choose_next(members, {one: truth[one] for one in tried}, range(16)) is None


def test_what_seems_cheapest_is_timed_too():
    asked = family(tuple(range(16, 272, 16)))
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    truth = 1e-4 + 3e-11 * terms(members)["operation"]
    weights = (1 + np.abs(np.arange(16) - 7)) / truth
    known = {one: truth[one] for one in (0, 5, 10, 15)}
    assert choose_cheapest(members, known, known, weights) == 7
    assert choose_cheapest(members, known, [*known, 7], weights) is None


def test_what_may_be_cheapest_at_the_better_end_of_its_interval_is_timed():
    asked = family(tuple(range(16, 272, 16)))
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    truth = 1e-4 + 3e-11 * terms(members)["operation"]
    weights = (1 + 0.01 * np.abs(np.arange(16) - 10)) / truth  # (as predicted, the tenth is the best, and was timed)
    known = {one: truth[one] for one in (0, 5, 10, 15)}
    assert choose_cheapest(members, known, known, weights) in (9, 11)
    far = (1 + np.abs(np.arange(16) - 10)) / truth
    assert choose_cheapest(members, known, known, far) is None


class _Steps:
    """Stands in for timed steps: what each takes by a formula, counted."""

    def __init__(self, monkeypatch, seconds=lambda width: 1e-4 + 1e-6 * width):
        self.runs: list[int] = []
        self.seconds = seconds
        monkeypatch.setattr(timing, "training_step", lambda asked, values, device: values[0])
        monkeypatch.setattr(timing, "time_step", self.time)
        monkeypatch.setattr(timing, "ReferenceSteps", QuietReference)

    def time(self, width, run_s, device):
        self.runs.append(width)
        if self.seconds(width) is None:
            raise RuntimeError("no memory")
        return Timing(0, 0, self.seconds(width), 2, None)


def timed(asked, kept):
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    with closing(kept):
        return time_members(asked, members, Plan(range(len(members))), SMALL_CPU, kept, silent)


def test_a_second_call_times_nothing(monkeypatch, tmp_path):
    steps, asked = _Steps(monkeypatch), family((8, 16, 32))
    first, left = timed(asked, KeptTimings(tmp_path / "kept.jsonl"))
    assert left == []
    assert sorted(set(steps.runs)) == [8, 16, 32]
    assert [one.rounds for one in first] == [steps.runs.count(width) for width in (8, 16, 32)]
    before = len(steps.runs)
    again, _ = timed(asked, KeptTimings(tmp_path / "kept.jsonl"))
    assert len(steps.runs) == before
    assert again == first


def test_an_interrupted_call_goes_on(monkeypatch, tmp_path):
    def interrupted(width):
        if len(steps.runs) == 3:
            raise KeyboardInterrupt
        return 1e-4

    steps, asked = _Steps(monkeypatch, interrupted), family((8, 16, 32))
    with pytest.raises(KeyboardInterrupt):
        timed(asked, KeptTimings(tmp_path / "kept.jsonl"))
    steps.seconds = lambda width: 1e-4
    with (tmp_path / "kept.jsonl").open("a") as stream:
        stream.write('{"structure": "cut sh')
    steps.runs.clear()
    timed(asked, KeptTimings(tmp_path / "kept.jsonl"))
    assert steps.runs.count(8) == steps.runs.count(16) < steps.runs.count(32)


def test_sizes_that_fail_are_named(monkeypatch, tmp_path):
    _Steps(monkeypatch, lambda width: None if width == 16 else 1e-4)
    found, left = timed(family((8, 16, 32)), KeptTimings(tmp_path / "kept.jsonl"))
    assert [one.values for one in found] == [(8,), (32,)]
    assert left[0].values == (16,)
    assert "no memory" in left[0].reason


def test_sizes_beyond_the_budget_are_named(monkeypatch, tmp_path):
    _Steps(monkeypatch, lambda width: width / 64)
    found, left = timed(family((8, 16, 32, 64, 128), budget_s=1.0), KeptTimings(tmp_path / "kept.jsonl"))
    assert [one.values[0] for one in found] == [8, 16, 32]
    assert [one.values[0] for one in left] == [64, 128]
    assert "of the budget of 1 s" in left[0].reason


# What is predicted.


def test_times_that_follow_the_terms_are_predicted():
    asked = family(tuple(range(16, 272, 16)))
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    rows = terms(members)
    truth = 1e-4 + 3e-11 * rows["operation"] + 2e-10 * rows["traffic"]
    chosen = [0, 3, 6, 9, 12, 15]
    found = fit({name: counts[chosen] for name, counts in rows.items()}, truth[chosen])
    assert np.allclose(predict(rows, found), truth, rtol=0.02)
    assert found.mean_error < 0.05
    assert all(cost >= 0 for cost in found.terms.values())


def test_between_timed_sizes_lies_what_the_terms_miss_there():
    asked = family(tuple(range(16, 272, 16)))
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    rows, chosen = terms(members), [0, 3, 6, 9, 12, 15]
    truth = 1e-4 + 3e-11 * rows["operation"]
    truth[9:] *= 1.4  # (as where a set leaves a cache)
    found = fit({name: counts[chosen] for name, counts in rows.items()}, truth[chosen])
    predicted = predict(rows, found)
    assert np.allclose(predicted[chosen], truth[chosen])  # (what was timed is what it was)
    assert np.abs(predicted[10:15] / truth[10:15] - 1).max() < 0.05
    assert np.abs(predict_with(rows, found.terms)[10:15] / truth[10:15] - 1).max() > 0.05


def test_the_interval_is_as_wide_as_the_fit_is_wrong():
    asked = family(tuple(range(16, 272, 16)))
    members, _ = trace_members(asked, asked.request.sizes(), silent)
    chosen = [0, 3, 6, 9, 12, 15]
    rows = {name: counts[chosen] for name, counts in terms(members).items()}
    exact = 1e-4 + 3e-11 * rows["operation"]
    rough = exact * np.array([1.1, 0.9, 1.1, 0.9, 1.1, 0.9])
    (low, high), (wide_low, wide_high) = fit(rows, exact).interval, fit(rows, rough).interval
    assert wide_low < low < 1 < high < wide_high


# What is answered.

WIDTHS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
SECONDS = {width: 1e-4 + 2e-8 * width**2 for width in (8, 32, 96, 192, 384, 512)}


def test_the_record_has_windows_optimum_and_curve():
    record = answer(WIDTHS, SECONDS)
    assert len(record.curve) == len(WIDTHS)
    assert [point.label for point in record.curve].count("measured") == len(SECONDS)
    for one in record.candidates:
        assert 1 <= one.anchor.fill <= 2
        assert one.relative_cost >= record.optimum.relative_cost == 1
    costs = [one.relative_cost for one in record.candidates]
    assert costs == sorted(costs)
    for point in record.curve:
        low, high = point.interval
        assert low <= point.time_per_step_s <= high
        assert point.time_per_datum_s == pytest.approx(point.time_per_step_s / 32)


def test_sizes_are_ordered_by_equation_10_or_by_time():
    by_loss, by_time = answer(WIDTHS, SECONDS), answer(WIDTHS, SECONDS, rank_by="time")
    law = {
        point.num_free_parameters: point.time_per_datum_s * (math.log2(point.num_free_parameters) - 1) ** -3
        for point in by_loss.curve
    }
    assert by_loss.optimum.num_free_parameters == min(law, key=law.__getitem__)
    assert by_time.optimum.values == {"width": 8}
    assert any("not tested for this family" in note for note in by_loss.notes)
    assert not any("not tested" in note for note in by_time.notes)


def test_limits_ask_for_the_largest_size():
    record = answer(WIDTHS, SECONDS, max_time=1.5e-3)
    allowed = [point for point in record.curve if point.time_per_step_s <= 1.5e-3]
    assert record.largest.num_free_parameters == max(point.num_free_parameters for point in allowed)
    assert [point.relative_cost is None for point in record.curve] == [
        point.time_per_step_s > 1.5e-3 for point in record.curve
    ]
    with pytest.raises(sizer.UnreachableError, match="raise the limit"):
        answer(WIDTHS, SECONDS, max_time=1e-9)


def test_the_record_keeps_its_schema_and_comes_back():
    record = answer(WIDTHS, SECONDS)
    schema = json.loads(files("sizer.schemas").joinpath("family-1.json").read_text(encoding="utf-8"))
    data = json.loads(record.to_json())
    jsonschema.validate(data, closed(schema))
    assert type(record).from_dict(data) == record
    assert list(record.to_frame())[:3] == ["rank", "num_free_parameters", "time_per_datum_s"]


def test_the_answer_fits_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    record = answer((*WIDTHS, 6), SECONDS)
    shown = str(record)
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.startswith(f"Train width {record.best.values['width']}: Sequential")
    assert "6 of 11 sizes are timed" in shown
    assert "left out: width 6" in shown


# From the outside.

NET = """
from torch import nn

def make(width):
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, 4))
"""


@pytest.fixture
def net(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(timing, "_RUN_S", 0.005)
    monkeypatch.setattr(timing, "ReferenceSteps", QuietReference)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "familynet.py"
    path.write_text(NET)
    return path


def test_a_command_line_times_and_answers(net, capsys):
    asked = ["recommend", "familynet.py:make", "--width", "16,64,128,256", "--input", "16,16", "--budget", "1s"]
    assert run([*asked, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["format"] == "sizer.family/1"
    assert record["request"]["target"] == "familynet.py:make"
    assert len(record["curve"]) == 4
    assert run([*asked, "--format", "csv"]) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[0].startswith("rank,width,num_parameters")


def test_python_times_and_answers(net):
    record = sizer.recommend(
        lambda width: nn.Linear(width, 4),
        widths=[8, 64, 512],
        example_input=lambda width: torch.empty(4, width, device="meta"),
        loss="mse",
        optimizer=torch.optim.RMSprop,
        budget_s=1.0,
    )
    assert record.request.optimizer == "RMSprop"
    assert {one.values["width"] for one in record.timed} == {8, 64, 512}
    assert record.best.values["width"] in (8, 64, 512)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--width", "8-64", "--input", "4,16", "--depth", "3"], "excludes --depth"),
        (["--width", "8-64", "--input", "4,16", "--input-dim", "3"], "excludes --input-dim"),
        (["--width", "8-64"], "say what goes into the module"),
        (["--input", "4,16"], "which values of width? --vary width=32-1024 (or --width 32-1024)"),
        (["--width", "8-64", "--input", "4,16", "--device", "nvidia-h200"], "no device of this machine"),
        (["--width", "8-64", "--input", "4,16", "--rank-by", "size"], "expected one of loss, time"),
        (["--width", "8-64", "--input", "4,17"], "of familynet.py:make can be built and run"),
        (["--width", "8-64", "--input", "4,16", "--levels", "L9"], "no cache of this device"),
        (["--width", "8-64", "--input", "4,16", "--optimizer", "lion"], "expected one of adam"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(net, capsys, arguments, said):
    assert run(["recommend", "familynet.py:make", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_options_of_a_family_need_one(capsys):
    assert run(["recommend", "--input-dim", "8", "--width", "8-64"]) == 2
    assert "--width is for a function that builds modules" in capsys.readouterr().err
    with pytest.raises(UsageError, match="takes a function that builds modules"):
        sizer.recommend(784)
    with pytest.raises(UsageError, match="excludes depth"):
        sizer.recommend(make, depth=6, widths="8-64", example_input=torch.zeros(4, 16))


def test_another_measurement_is_waited_for_with_one_line(net, capsys):
    from sizer.calibration.session import only_one

    with only_one():
        assert run(["recommend", "familynet.py:make", "--width", "8,16,32", "--input", "4,16"]) == 1
    assert "another calibration is running" in capsys.readouterr().err
    assert MeasurementError.exit_code == 1


# What is advised.


def rated(*sizes):
    """Sizes of (step, parameters), their intervals 10 % wide, ordered by equation 10."""
    return [Rated(step, (0.95 * step, 1.05 * step), size, (math.log2(size) - 1) ** -3) for step, size in sizes]


def test_advice_pays_at_its_worse_end():
    change = advise(rated((1.0, 2**14), (1.02, 2**18), (3.0, 2**20)), 0)
    assert (change.before, change.after) == (0, 1)
    assert change.effect == pytest.approx(0.02)
    assert change.interval == pytest.approx((0.969 / 1.05 - 1, 1.071 / 0.95 - 1))
    assert change.parameters == pytest.approx(15)
    assert advise(rated((1.0, 2**14), (0.97, 2**14)), 0) is None  # (3 % less, within what is not known)


def test_advice_by_time_alone_is_for_more_parameters():
    def by_time(*sizes):
        return [one._replace(weight=1.0) for one in rated(*sizes)]

    assert advise(by_time((1.0, 1000), (0.5, 500)), 0) is None
    assert advise(by_time((1.0, 1000), (0.5, 1200), (0.6, 1500), (1.0, 2000)), 0).after == 2


def test_the_size_of_now_is_advised_on_and_verified(monkeypatch):
    from sizer.families import advisor

    record = answer(WIDTHS, SECONDS, now=(16,))
    (one,) = record.advice
    assert one.before == {"width": 16}
    assert one.after == record.optimum.values
    assert f"width 16 -> {one.after['width']}: " in " ".join(str(record).split())
    assert answer(WIDTHS, SECONDS, now=(20,)).request.now == (20,)
    assert len(answer(WIDTHS, SECONDS, now=(20,)).curve) == len(WIDTHS) + 1
    best = record.optimum.values["width"]
    assert "no change of width" in " ".join(answer(WIDTHS, SECONDS, now=(best,)).notes)
    monkeypatch.setattr(advisor, "time_in_turn", lambda *asked: [2.0, 2.2])
    measured = advisor._verified(made(WIDTHS, SECONDS, now=(16,), verify_s=1.0), silent).advice[0].measured
    assert measured == pytest.approx(0.1)


def test_sizes_are_timed_in_turn():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # where another process has a processor, two threads wait for each other 50 times as long
    try:
        before_s, after_s = time_in_turn(family(), [(8,), (512,)], "cpu", 0.1, silent)
    finally:
        torch.set_num_threads(threads)
    assert 0 < before_s < after_s


def test_a_disturbed_timing_tells_no_more_than_the_fit():
    quiet = made(WIDTHS, SECONDS)
    noisy = replace(quiet, timed=[one._replace(quiet=False) for one in quiet.timed])
    place = quiet.positions[2]
    (low, high), (wide_low, wide_high) = quiet.interval(place), noisy.interval(place)
    assert wide_high / wide_low == pytest.approx(noisy.fit.interval[1] / noisy.fit.interval[0])
    assert wide_low < low < high < wide_high


def test_an_answer_from_disturbed_timings_does_not_begin_as_advice():
    record = sizer.load(Path(__file__).parent / "data" / "records" / "family.json", sizer.FamilyRecommendation)
    assert str(record).startswith("Train ")
    disturbed = replace(record, fit=record.fit._replace(mean_error=0.8))
    assert str(disturbed).startswith("Too disturbed to tell, time it again; for now: ")
