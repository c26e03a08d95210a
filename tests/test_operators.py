"""Steps priced by their operators: calls as data, the library, interpolation, and what inspect says of any module."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
from study import KIB
from torch import nn

import sizer
from sizer.base.errors import UsageError
from sizer.cli import run
from sizer.detection.detect import detected
from sizer.inspection import operator_calibration
from sizer.inspection.layer_levels import with_levels
from sizer.inspection.module_record import LayerRecord
from sizer.inspection.networks import Passes, Placed, PlacedSet
from sizer.inspection.operator_calibration import calibrate_operators, traced_block
from sizer.inspection.operator_prices import own_library, price_module, pricing_of
from sizer.inspection.optimizer_tape import note_optimizer
from sizer.inspection.tracing import trace_step
from sizer.method.coefficients import Coefficients
from sizer.method.placement import Hierarchy
from sizer.operators.between import FEWEST_STEPS, SEVERAL, TERMS, fit_between
from sizer.operators.call import Call, TensorSpec
from sizer.operators.datasheet import Roofline
from sizer.operators.interpolation import Interpolation, Known, Work
from sizer.operators.kinds import kind_of, place_of
from sizer.operators.library import Library, Log, conditions, library_path, read_library
from sizer.operators.operands import Pools
from sizer.operators.prices import INTERPOLATED, MEASURED, UNKNOWN, Prices
from sizer.operators.reference_blocks import together
from sizer.operators.tape import Tape
from sizer.operators.timing import OperatorTime, quiet_process, time_call

CNN = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 4))
IMAGES = torch.empty(4, 3, 8, 8, device="meta")


def law(call: Call) -> OperatorTime:
    """What a call takes on a made-up machine."""
    near_s = 2e-6 + call.flops / 5e10 + (call.bytes_in + call.bytes_out) / 4e10
    return OperatorTime(near_s, near_s + (call.bytes_in + call.bytes_out) / 4e10)


def write(tapes, without=(), now=None) -> None:
    """Keep the times of all calls of some tapes, as the law has them."""
    log = Log(library_path(), now or conditions(torch.get_num_threads()))
    log.timings((c, law(c)) for tape in tapes for c in tape.distinct().values() if c.packet not in without)
    log.close()


@pytest.fixture(scope="module")
def blocks() -> list[Tape]:
    """The calls of twelve reference blocks."""
    found = [traced_block(number)[1] for number in range(12)]
    return [tape for tape in found if tape is not None]


def tape_of(module, *inputs, optimizer="adam") -> Tape:
    tape = Tape()
    trace_step(module, inputs, {}, tape=tape)
    note_optimizer(tape, optimizer, list(module.parameters()))
    return tape


def test_a_call_is_the_same_after_it_was_kept(blocks):
    for call in (call for tape in blocks for call in tape.distinct().values()):
        read = Call.from_json(call.key, json.loads(json.dumps(call.to_json())))
        assert (read.operator, read.tensors, read.outputs, read.flops) == (
            *(call.operator, call.tensors, call.outputs, call.flops),
        )
        assert read.key == call.key


def test_what_a_tensor_has_in_memory():
    expanded = TensorSpec.of(torch.empty(4, 1).expand(4, 8))
    assert (expanded.elements, expanded.bytes, expanded.contiguous) == (32, 16, False)
    turned = TensorSpec.of(torch.empty(4, 8).t())
    assert (turned.dense, turned.contiguous, turned.span) == (True, False, 32)
    assert TensorSpec.of(torch.empty(1, 8)[:, ::2]).span == 7


def test_a_tape_has_every_call_with_its_layer_and_phase_and_changes_no_count():
    tape = Tape()
    noted, plain = trace_step(CNN, (IMAGES,), {}, tape=tape), trace_step(CNN, (IMAGES,), {})
    assert dict(noted.layers) == dict(plain.layers)
    by = {(each.call.packet, each.layer, each.phase) for each in tape.calls}
    expected = {("convolution", "0"), ("native_batch_norm", "1"), ("relu", "2"), ("addmm", "4")}
    assert {(*each, "forward") for each in expected} <= by
    assert {("convolution_backward", "0", "backward"), ("threshold_backward", "2", "backward")} <= by
    assert not {"view", "t", "detach"} & {name for name, _, _ in by}
    assert sum(tape.views.values()) > 3


def test_how_far_a_tensor_is_is_what_was_touched_since():
    tape = Tape()
    layers = nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 64, bias=False))
    trace_step(layers, (torch.empty(16, 64, device="meta"),), {}, tape=tape)
    first, relu, *_ = (each for each in tape.calls if each.phase == "forward")
    assert [distance for _, distance in first.distances] == [None, None]
    assert [distance for _, distance in relu.distances] == [0]
    assert relu.far_share(1e9, tape.step_bytes) == 0
    assert first.far_share(0, tape.step_bytes) == 1


@pytest.mark.parametrize("form", ["fused", "foreach", "single"])
def test_the_calls_of_an_optimizers_second_step(form):
    module = nn.Linear(4, 4)
    choice = {"fused": form == "fused", "foreach": form == "foreach"}
    tape = Tape()
    assert note_optimizer(tape, torch.optim.AdamW(module.parameters(), **choice), list(module.parameters()))
    names = {each.call.packet for each in tape.calls}
    assert {"fused": "_fused_adamw_", "foreach": "_foreach_lerp_", "single": "lerp_"}[form] in names
    assert "zeros_like" not in names


def test_an_optimizer_that_refuses_fake_tensors_is_not_known():
    class Refuses(torch.optim.SGD):
        def step(self, closure=None):
            raise RuntimeError("not like this")

    module = nn.Linear(4, 4)
    assert not note_optimizer(Tape(), Refuses(module.parameters(), lr=1.0), list(module.parameters()))


def test_a_family_tells_the_calls_that_were_left_out():
    rng = np.random.default_rng(0)

    def known() -> Known:
        m, n, k = 2 ** rng.uniform(3, 10, 3)
        work = Work(2 * m * n * k, 4 * (m * k + k * n), 4 * m * n, 2)
        slow = 1 + 0.5 / np.log2(n)  # what no sum of terms has
        near = slow * (3e-6 + work.flops / 6e10 + (work.bytes_in + work.bytes_out) / 2e10)
        return Known(tuple(np.log2([m, n, k])), work, near, 1.3 * near)

    family = Interpolation([known() for _ in range(80)])
    errors = []
    for new in (known() for _ in range(40)):
        told = family.tell(new.features, new.work)
        errors.append(abs(told.near_s / new.near_s - 1))
        assert told.far_s >= told.near_s
    assert np.mean(errors) < 0.05
    assert family.error < 0.06


def test_a_call_far_from_all_others_is_told_with_a_larger_deviation():
    known = [Known((x, 0.0), Work(0, 4 * 2**x, 0, 1), 1e-6 * 1.5**x, 1e-6 * 1.5**x) for x in range(8)]
    family = Interpolation(known)
    near, far = (family.tell((x, 0.0), Work(0, 4 * 2**x, 0, 1)).deviation for x in (3.5, 40.0))
    assert far > 2 * near


def test_a_family_that_misses_its_left_out_calls_tells_so():
    def deviation(scatter: float) -> float:
        rng = np.random.default_rng(2)
        work = Work(0, 4 * 2**10, 0, 1)
        times = 1e-5 * np.exp(rng.normal(0, scatter, 60))
        family = Interpolation([Known((float(x),), work, t, t) for x, t in enumerate(times)])
        return float(np.mean([family.tell((x + 0.5,), work).deviation for x in range(20, 40)]))

    assert deviation(0.4) > 0.3
    assert deviation(0.02) < 0.1


ODD_LINES = [
    {"timings": None}, {"timings": 3}, {"timings": "ab"}, {"timings": [3, None, [], ["[]"], "abc"]},
    {"steps": None}, {"steps": "ab"}, {"steps": [3, None, {"measured_s": "x"}, {"measured_s": -1.0}, {"views": 1e999}]},
    {"timings": [['["mm", [{"shape": [-3], "dtype": "float32"}], []]', [[], 0], 1.0, 1.0]]},
    {"timings": [['["aten.mm.default", [{"shape": [3], "dtype": "hub"}], []]', [[], 0], 1.0, 1.0]]},
    {"timings": [['["aten.mm.default", [], []]', [[], 0], 1.0]]},
    {"timings": [['["aten.mm.default", [], []]', [[], 0], 0.0, -1.0]]},
    {"conditions": 3}, {"conditions": {}, "unix_s": "x"}, {"conditions": {}, "unix_s": None},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_LINES, ids=str)
def test_lines_of_a_library_that_are_none_are_left_out(tmp_path, odd):
    """A damaged line ended `sizer inspect` in a TypeError or a ValueError."""
    path, now = tmp_path / "library.jsonl", {"threads": 1}
    log = Log(path, now)
    log.close()
    with path.open("a") as file:
        file.write(json.dumps(odd) + "\n")
    library = read_library(path, now)
    assert not library.times
    assert not library.steps
    assert fit_between(library.steps)


def test_calls_are_measured_interpolated_or_unknown(blocks):
    library = Library()
    for call in (call for tape in blocks for call in tape.distinct().values()):
        library.add(call, law(call))
    prices = Prices(library)
    assert prices.of(next(iter(library.calls.values()))).how == MEASURED
    other = tape_of(nn.Linear(100, 300), torch.empty(50, 100, device="meta"))
    product = next(each.call for each in other.calls if each.call.packet == "addmm")
    found = prices.of(product)
    assert found.how == INTERPOLATED
    assert abs(found.near_s / law(product).near_s - 1) < 0.2

    class Waves(nn.Module):
        def forward(self, given):
            return torch.fft.fft(given).real

    strange = tape_of(Waves(), torch.empty(8, 64, requires_grad=True))
    assert UNKNOWN in {prices.of(each.call).how for each in strange.calls}


def test_another_type_is_not_told_by_float32(blocks):
    library = Library()
    for call in (call for tape in blocks for call in tape.distinct().values()):
        library.add(call, law(call))
    prices = Prices(library)
    half = tape_of(nn.Sequential(nn.Linear(96, 300), nn.GELU()).bfloat16(), torch.empty(50, 96, dtype=torch.bfloat16))
    priced = [each.call for each in half.calls if each.call.packet in ("addmm", "mm", "gelu", "_fused_adam_")]
    assert len(priced) >= 4
    assert {prices.of(call).how for call in priced} == {UNKNOWN}
    for call in priced:
        library.add(call, law(call))
    assert {Prices(library).of(call).how for call in priced} == {MEASURED}


def test_an_operator_that_was_not_timed_is_told_by_those_of_its_kind(blocks):
    library, spec = Library(), TensorSpec.of(torch.empty(512, 512, device="meta"))
    for call in (call for tape in blocks for call in tape.distinct().values()):
        slow = 10 if "softmax" in call.packet else 1
        library.add(call, OperatorTime(*(slow * seconds for seconds in law(call))))
    safe, relu = (Call(f"aten.{name}.default", (spec,), (), (spec,), 0) for name in ("_safe_softmax", "celu"))
    found, other = Prices(library).of(safe), Prices(library).of(relu)
    assert (found.how, other.how) == (INTERPOLATED, INTERPOLATED)
    assert 5 < found.near_s / other.near_s < 20


def test_steps_of_several_blocks_tell_how_far_steps_scatter():
    rng = np.random.default_rng(3)

    def step(name: str, scatter: float) -> dict[str, object]:
        made = dict(zip(TERMS, (0.01, 10, 10, 3, 20, 1e6), strict=True))
        return {"block": name, **made, "measured_s": 0.01 * float(np.exp(rng.normal(0, scatter)))}

    single = [step("convolutions", 0.2) for _ in range(40)]
    assert fit_between(single).deviation > 0.15
    assert fit_between(single + [step(SEVERAL, 0.02) for _ in range(FEWEST_STEPS)]).deviation < 0.1


def test_the_rest_of_a_step_is_fitted_to_whole_steps():
    rng = np.random.default_rng(1)
    steps = [dict(zip(TERMS, rng.uniform(1, 100, len(TERMS)), strict=True)) for _ in range(FEWEST_STEPS + 10)]
    truth = (1.1, 2.0, 0.5, 0.0, 0.1, 0.0)
    for step in steps:
        step["measured_s"] = sum(c * step[name] for c, name in zip(truth, TERMS, strict=True))
    found = fit_between(steps)
    assert found.coefficients == pytest.approx(truth, abs=1e-6)
    assert fit_between(steps[: FEWEST_STEPS - 1]).steps == 0


def test_without_a_library_nothing_changes_and_with_one_a_module_is_priced(blocks):
    before = sizer.inspect(CNN, IMAGES)
    assert before.outside is not None
    assert before.operators is None
    write([*blocks, tape_of(CNN, IMAGES)])
    record = sizer.inspect(CNN, IMAGES)
    assert (record.outside, record.label) == (None, "calibrated")
    assert record.operators.measured_share == pytest.approx(1)
    low, high = record.interval
    assert low < record.time_per_step_s < high
    named = {layer.name: layer for layer in record.layers}
    assert all(named[layer.name].flops == layer.flops for layer in before.layers)
    layers = sum(layer.time_s for layer in record.layers)
    assert layers == pytest.approx(record.time_per_step_s, rel=0.02)
    schema = json.loads((files("sizer.schemas") / "module-1.json").read_text())
    jsonschema.validate(record.to_dict(), schema)


def test_the_price_is_the_sum_of_the_calls_and_what_lies_between(blocks):
    tape = tape_of(CNN, IMAGES)
    write([tape])
    inspected = sizer.inspect(CNN, IMAGES)
    price = price_module(CNN, None, "adam", tape, pricing_of(inspected.device, inspected.coefficients))
    record = price.record
    total = record.passes_s + record.optimizer_s
    assert total == pytest.approx(price.prediction.time_per_step_s)
    assert sum(each.time_s for each in record.kinds) + record.between_s == pytest.approx(total)


def test_another_machine_is_priced_by_its_datasheet():
    images = torch.empty(4096, 3, 8, 8, device="meta")
    slow, fast = (sizer.inspect(CNN, images, device=name) for name in ("nvidia-t4", "nvidia-h200"))
    for record in (slow, fast):
        assert (record.label, record.operators.source, record.outside) == ("estimated", "datasheet", None)
        low, high = record.interval
        assert high / low == pytest.approx(9)
        assert low < record.time_per_step_s < high
    assert slow.time_per_step_s > 2 * fast.time_per_step_s


def test_a_roofline_is_the_longer_of_computing_and_moving(small_cpu):
    terms = {"layer": 8e-6, "operation": 1e-10, "traffic.L2": 1e-5, "traffic.RAM": 1e-4}
    roofline = Roofline(small_cpu, Coefficients("shipped", "estimated", "time", terms, (0.3, 3.0)))
    tensor = TensorSpec.of(torch.empty(2**20, device="meta"))
    moving = Call("aten.relu.default", (tensor,), (), (tensor,), 0)
    computing = Call("aten.mm.default", (tensor,), (), (tensor,), 2 * 10**9)
    assert roofline.of(moving).far_s == pytest.approx(1e-6 + 8 * 1e-4)
    assert roofline.of(computing).far_s == pytest.approx(1e-6 + 0.1)


def test_a_step_of_unknown_operators_is_outside(blocks):
    class Waves(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4096))

        def forward(self, given):
            return torch.fft.irfft(torch.fft.rfft(given * self.scale)).cumsum(0)

    write(blocks)
    record = sizer.inspect(Waves(), torch.empty(64, 4096, device="meta"))
    assert "operators of a kind that was not timed here (aten._fft" in record.outside
    assert record.time_per_step_s is None
    assert record.operators.unknown_share > 0.2


def test_autocast_is_outside_until_its_operators_are_timed(blocks, monkeypatch):
    monkeypatch.setattr(operator_calibration, "time_call", lambda call, pools: law(call))
    module = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 8))
    example = torch.empty(512, 32, device="meta")
    write(blocks)
    assert sizer.inspect(module, example).outside is None
    mixed = sizer.inspect(module, example, dtype="mixed")
    assert "was not timed here in bfloat16 (aten." in mixed.outside
    assert mixed.time_per_step_s is None
    timed = sizer.inspect(module, example, dtype="mixed", measure_missing_s=5.0)
    assert timed.outside is None
    assert timed.time_per_step_s > 0


def test_a_compiled_module_says_that_it_is_priced_without(blocks, monkeypatch):
    # (torch.compile turns the checks of distributions off for good, in this process and its other tests)
    distribution = torch.distributions.Distribution
    monkeypatch.setattr(distribution, "_validate_args", distribution._validate_args)

    def notes(module: nn.Module) -> list[str]:
        record = sizer.inspect(module, IMAGES)
        assert record.time_per_step_s is not None
        return [note for note in record.notes if "without torch.compile" in note]

    write([*blocks, tape_of(CNN, IMAGES)])
    own = nn.Sequential(*CNN)
    assert notes(own) == []
    assert len(notes(torch.compile(own, backend="eager"))) == 1
    own.compile(backend="eager")
    assert len(notes(own)) == 1


def test_a_module_in_evaluation_is_priced_as_it_is(blocks):
    write(blocks)
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.ReLU())
    trained = sizer.inspect(module.train(), IMAGES)
    evaluated = sizer.inspect(module.eval(), IMAGES)
    assert "evaluation mode" in " ".join(evaluated.notes)
    assert evaluated.operators.calls < trained.operators.calls  # (no dropout)
    assert evaluated.time_per_step_s is not None
    assert evaluated.time_per_step_s < trained.time_per_step_s


def test_nothing_is_timed_where_nobody_asked(blocks, monkeypatch):
    def never(*_):
        raise AssertionError("an operator was timed")

    write(blocks)
    monkeypatch.setattr(operator_calibration, "time_call", never)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with sizer.watch(quiet=True) as watch:
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
    assert watch.record.operators is not None
    assert watch.record.time_per_step_s is not None


def test_several_calls_are_so_many_passes_and_one_optimizers_step(blocks):
    write(blocks)
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def watched(calls):
        with sizer.watch(quiet=True) as watch:
            for _ in range(calls):
                model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
        return watch.record

    one, three = watched(1), watched(3)
    assert three.operators.passes_s == pytest.approx(3 * one.operators.passes_s)
    grown = three.time_per_step_s - one.time_per_step_s
    assert grown == pytest.approx(2 * one.operators.passes_s)


def test_training_is_bit_identical_with_a_library(blocks):
    def trained(advised):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        optimizer = torch.optim.AdamW(model.parameters())
        if advised:
            sizer.advise(model, optimizer, quiet=True)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
        return [value.clone() for value in model.state_dict().values()]

    write(blocks)
    assert all(torch.equal(one, other) for one, other in zip(trained(False), trained(True), strict=True))


def test_missing_operators_are_timed_and_kept():
    module = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 2))
    example = torch.empty(8, 16, device="meta")
    before = torch.get_rng_state()
    record = sizer.inspect(module, example, measure_missing_s=5.0)
    assert torch.equal(torch.get_rng_state(), before)
    assert record.operators.measured_share == pytest.approx(1)
    assert record.outside is None
    assert sizer.inspect(module, example).time_per_step_s == record.time_per_step_s


@pytest.mark.parametrize("bad", [0, -1.0])
def test_a_time_that_is_none_is_refused(bad):
    with pytest.raises(UsageError, match="expected a time such as 10 s"):
        sizer.inspect(CNN, IMAGES, measure_missing_s=bad)


def test_real_calls_are_timed_near_and_far():
    pools = Pools(2**22)
    small, large = (
        next(each.call for each in tape_of(nn.ReLU(), torch.empty(size, requires_grad=True)).calls)
        for size in (64, 2**18)
    )
    with quiet_process():
        one, other = time_call(small, pools), time_call(large, pools)
    assert 0 < one.near_s < other.near_s <= other.far_s


def test_what_a_call_changed_has_its_first_values_again():
    pools = Pools(2**22)
    spec = TensorSpec.of(torch.empty(2**14, device="meta"))
    with quiet_process():
        assert time_call(Call("aten.mul_.Scalar", (spec, 1.5), (), (spec,), 0), pools) is not None
    (pool,) = pools._pools.values()
    assert 0.05 <= pool.min() <= pool.max() <= 1


def test_a_call_that_cannot_be_made_alone_is_no_timing():
    call = Call("aten.none_such.default", (), (), (), 0)
    with quiet_process():
        assert time_call(call, Pools(2**16)) is None


def test_every_call_of_the_reference_blocks_has_a_kind_and_features(blocks):
    lengths: dict[str, int] = {}
    for call in (call for tape in blocks for call in tape.distinct().values()):
        place = place_of(call)
        assert len(place.features) == lengths.setdefault(place.family, len(place.features))
        assert np.isfinite(place.features).all()
        assert kind_of(call)


def test_an_operator_calibration_goes_on_where_it_stopped(monkeypatch):
    now_s = 0.0

    def seconds_pass(seconds):
        nonlocal now_s
        now_s += seconds
        return now_s

    def timed(call, pools):
        seconds_pass(0.002)
        return law(call)

    def traced(number):
        seconds_pass(0.1)
        return traced_block(number)

    clock = SimpleNamespace(perf_counter=lambda: seconds_pass(1e-4))
    monkeypatch.setattr(operator_calibration, "traced_block", traced)
    monkeypatch.setattr(operator_calibration, "time", clock)
    monkeypatch.setattr(operator_calibration, "time_call", timed)
    monkeypatch.setattr(operator_calibration, "measured_step_s", lambda made: 0.01)
    monkeypatch.setattr(operator_calibration, "MIN_BUDGET_S", 0.1)
    monkeypatch.setattr(operator_calibration, "_TOGETHER", 1)
    first = calibrate_operators(0.5)
    second = calibrate_operators(0.5)
    assert SEVERAL in {step["block"] for step in own_library(detected("cpu")).steps}
    assert first.calls == first.new_calls > 0
    assert second.calls == first.calls + second.new_calls
    assert second.new_calls > 0
    schema = json.loads((files("sizer.schemas") / "operator_calibration-1.json").read_text())
    jsonschema.validate(second.to_dict(), schema)
    assert f"{second.calls:,} calls of operators are timed" in str(second)
    assert calibrate_operators(0.3, fresh=True).calls < second.calls


def test_several_blocks_are_a_step_of_all_their_calls():
    made = [traced_block(number)[0] for number in (3, 5)]
    tapes = [traced_block(number)[1] for number in (3, 5)]
    several, _ = operator_calibration._tape_of(together(made))
    forward = [sum(each.phase == "forward" for each in tape.calls) for tape in (several, *tapes)]
    assert forward[0] == sum(forward[1:])
    assert {key for tape in tapes for key, call in tape.distinct().items() if call.flops} <= set(several.distinct())


def test_a_budget_too_small_is_refused():
    with pytest.raises(UsageError, match="give at least 5 s"):
        calibrate_operators(1.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("calibrate", "--operators", "--quick"), "--quick is not for --operators"),
        (("calibrate", "--operators", "--device", "cuda:0"), "this machine's CPU"),
        (("inspect", "--mlp", "4-4-1", "--measure-missing", "1s"), "times a module's operators"),
    ],
)
def test_options_that_do_not_go_together(arguments, said, capsys):
    assert run(list(arguments)) == 2
    assert said in capsys.readouterr().err


def test_a_library_of_another_thread_count_is_not_used(blocks):
    write(blocks)
    device = sizer.inspect(CNN, IMAGES).device
    assert own_library(device) is not None
    assert own_library(replace(device, id="nvidia-t4")) is None
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        assert own_library(device) is None
    finally:
        torch.set_num_threads(before)


def test_the_last_layers_find_what_they_saved_near_and_the_first_ones_far(small_cpu):
    layers = [LayerRecord(f"{n}", "Linear", 1, 40 * KIB, 300 * KIB, moved, Passes(1, 1), None) for n, moved in MOVED]
    placed = Placed({"o": PlacedSet(1, "RAM")}, None, {})
    found = with_levels(layers, Hierarchy.of(small_cpu), placed)
    names = [level.name for level in small_cpu.sizing_levels()]
    saved = [names.index(layer.saved_level) for layer in found]
    assert saved == sorted(saved, reverse=True)
    assert saved[0] > saved[-1]
    assert [layer.transfer_level for layer in found][:2] == ["L1", None]
    assert {layer.optimizer_level for layer in found} == {"RAM"}


MOVED = [(0, 16 * KIB), (1, 0), *((n, 2**30) for n in range(2, 60))]
