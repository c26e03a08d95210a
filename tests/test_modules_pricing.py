"""What a prediction for a module says where the measured step was another: optimizer, form, conditions, range."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from architectures import mlp
from test_modules_targets import check

from sizer.inspection.counts import StepSettings
from sizer.inspection.module import inspect_step
from sizer.inspection.networks import inspect_topologies
from sizer.method.coefficients import Coefficients
from sizer.method.training_step import Training
from sizer.models.topology import Topology
from sizer.report.hook import training_text
from sizer.report.inspection import module_report

CALIBRATED = Coefficients(
    "calibrated",
    "calibrated",
    "time",
    {"step": 1e-4, "operation": 1e-11, "optimizer.RAM": 1e-4, "addition": 1e-5},
    (0.9, 1.1),
    conditions={"dtype": "float32", "optimizer": "adam"},
)


def inspect(device, make, coefficients=CALIBRATED, batch_size=64, widths=(20, 30, 10)):
    module = mlp(*widths)
    settings = StepSettings((torch.empty(batch_size, widths[0], device="meta"),), {})
    optimizer = make if isinstance(make, str) else make(module.parameters())
    return inspect_step(module, settings, optimizer, None, device, coefficients)


FUSED = lambda p: torch.optim.Adam(p, fused=True)  # noqa: E731


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"foreach": False}])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_an_unfused_optimizer_is_an_estimate_with_a_wider_interval(small_cpu, kind, options):
    fused, other = inspect(small_cpu, FUSED), inspect(small_cpu, lambda p: kind(p, **options))
    assert (fused.label, fused.notes) == ("calibrated", ())
    assert 1.4 <= other.time_per_step_s / fused.time_per_step_s <= 1.6
    assert (other.label, other.outside) == ("estimated", None)
    low, high = other.interval
    assert low <= fused.time_per_step_s
    assert high > 1.6 * fused.interval[1]
    form = "foreach" if options.get("foreach") else "single-tensor"
    assert any(f"{form} form, which was not measured" in note for note in other.notes)
    check(other.to_dict())


def test_an_unfused_sgd_costs_about_what_the_fused_does(small_cpu):
    for options, most in (({}, 1.0), ({"momentum": 0.9}, 1.1)):
        made = [functools.partial(torch.optim.SGD, lr=0.1, fused=fused, **options) for fused in (True, False)]
        forms = [inspect(small_cpu, make) for make in made]
        assert forms[1].time_per_step_s == pytest.approx(most * forms[0].time_per_step_s)
        assert forms[1].interval[0] <= forms[0].interval[0] < forms[0].interval[1] <= forms[1].interval[1]


def test_an_unfused_optimizer_on_a_gpu_that_timed_the_fused_one_is_an_estimate(small_cpu):
    gpu = replace(small_cpu, kind="cuda")
    fused, other = inspect(gpu, FUSED), inspect(gpu, torch.optim.Adam)
    assert (other.label, other.outside) == ("estimated", None)
    assert other.interval[0] <= fused.time_per_step_s < other.interval[1]
    assert any("single-tensor form, which was not measured" in note for note in other.notes)


def test_the_form_that_a_gpus_calibration_timed_is_predicted_as_calibrated(small_cpu):
    gpu = replace(small_cpu, kind="cuda")
    forms = {"optimizer_forms": ["foreach", "fused", "single-tensor"]}
    terms = {"launch": 1e-4, "launch_layer": 3e-5, "launch_foreach": 9e-5, "launch_single_tensor": 2e-5}
    timed = replace(CALIBRATED, terms=terms | CALIBRATED.terms, conditions=CALIBRATED.conditions | forms)
    fused, foreach, single = (
        inspect(gpu, lambda p, options=options: torch.optim.Adam(p, **options), timed)
        for options in ({"fused": True}, {"foreach": True}, {"foreach": False})
    )
    assert {each.label for each in (fused, foreach, single)} == {"calibrated"}
    assert foreach.time_per_step_s - fused.time_per_step_s == pytest.approx(9e-5)
    assert single.time_per_step_s - fused.time_per_step_s == pytest.approx(4 * 2e-5)
    check(foreach.to_dict())


def test_a_step_that_waits_for_its_launches_is_told_up_to_which_width_size_is_free(small_cpu):
    gpu = replace(small_cpu, kind="cuda")
    launches = Coefficients("calibrated", "calibrated", "time", {"launch": 1e-3, "operation": 1e-12}, (0.9, 1.1))
    record = inspect(gpu, FUSED, launches, widths=(20, 30, 30, 10))
    (advice,) = [each for each in record.advice if each.kind == "launch"]
    width = max(advice.widths[:-1])
    assert advice.change == f"size is free up to width {width}"
    assert "CUDA graphs or torch.compile(mode='reduce-overhead') would help" in advice.reason
    wider = [inspect(gpu, FUSED, launches, widths=(20, *[round(width * by)] * 2, 10)) for by in (1, 1.2)]
    assert wider[0].time_per_step_s == record.time_per_step_s == 1e-3
    assert wider[1].time_per_step_s > 1e-3
    assert not any(each.kind == "launch" for each in wider[1].advice)
    assert not any(each.kind == "free room" for each in record.advice)
    assert not any("size is free" in note for note in record.notes), "the advice has it"
    check(record.to_dict())
    topologies = [Topology(None, 20, (30, 30, 10)), Topology(None, 20, (round(1.2 * width),) * 2 + (10,))]
    (note,) = inspect_topologies(topologies, Training(64), gpu, replace(launches, conditions={})).notes[-1:]
    assert note.startswith(f"20-30-30-10: size is free up to width {width}: a step waits for the program")


def test_an_unfused_optimizers_energy_has_no_prediction(small_cpu):
    energy = replace(CALIBRATED, quantity="energy")
    record = inspect(small_cpu, torch.optim.Adam, energy)
    assert record.time_per_step_s is record.energy_per_step_j is record.interval is None
    assert record.outside.startswith("outside what was calibrated: Adam is in its single-tensor form")
    assert inspect(small_cpu, FUSED, energy).outside is None


def test_another_optimizer_than_the_calibrated_is_an_estimate(small_cpu):
    for optimizer, label in (("adam", "calibrated"), ("adamw", "calibrated"), ("sgd", "estimated")):
        record = inspect(small_cpu, optimizer)
        assert record.label == label
        assert any("optimizer sgd (timed: adam)" in note for note in record.notes) == (label == "estimated")


@pytest.mark.parametrize(
    ("widths", "batch_size", "named"),
    [
        ((20, *[8] * 20, 10), 64, "depth 21 (timed: 2 to 20)"),
        ((20, 10), 64, "depth 1"),
        ((20, 3000, 3000, 10), 64, "parameters 9,"),
        ((20, 30, 10), 8, "batch 8 (timed: 32 to 1,024)"),
        ((20, 30, 10), 2048, "batch 2,048"),
        ((2000, 30, 10), 64, "input 2,000"),
        ((20, 30, 100), 64, "output 100"),
    ],
)
def test_beyond_the_calibrated_range_the_label_and_the_interval_say_so(small_cpu, widths, batch_size, named):
    record = inspect(small_cpu, "adam", batch_size=batch_size, widths=widths)
    assert record.label == "estimated"
    assert record.outside is None
    assert any("outside what was calibrated" in note and named in note for note in record.notes)
    assert record.interval[1] / record.interval[0] > 10
    topology = Topology(None, widths[0], widths[1:])
    inspection = inspect_topologies([topology], Training(batch_size), small_cpu, CALIBRATED)
    network = inspection.networks[0]
    assert (network.label, network.interval) == (record.label, record.interval)
    assert any(named in remark for remark in inspection.remarks())
    borrowed = replace(CALIBRATED, source="shipped", label="estimated")
    assert inspect_topologies([topology], Training(batch_size), small_cpu, borrowed).notes == ()


def test_the_set_that_pushes_another_is_said(small_cpu):
    """f and b are placed above the largest inter-layer set (the paper's rule), o on its own."""
    network = inspect_topologies([Topology(None, 4000, (8, 10))], Training(128), small_cpu, CALIBRATED).networks[0]
    levels = {name: placed.level for name, placed in network.working_sets.items() if placed is not None}
    sizes = {name: placed.bytes for name, placed in network.working_sets.items() if placed is not None}
    assert sizes["f"] < sizes["o"]
    assert (levels["f"], levels["o"]) == ("L3", "L2")
    assert network.pushed_by == {"f": "t_max", "b": "t_max"}
    small = inspect_topologies([Topology(None, 4, (8, 10))], Training(4), small_cpu, CALIBRATED).networks[0]
    assert small.pushed_by == {}
    record = inspect(small_cpu, "adam", batch_size=128, widths=(4000, 8, 10))
    assert record.pushed_by == network.pushed_by
    assert "L3 (activations already fill L2)" in str(list(module_report(record)))
    assert "in L3 (activations already fill L2), " in training_text([record]).replace("\nsizer:  ", "")


def test_many_networks_outside_are_counted_in_one_note(small_cpu):
    topologies = [Topology(None, 20, (8,) * depth) for depth in range(1, 31)]
    inspection = inspect_topologies(topologies, Training(64), small_cpu, CALIBRATED)
    assert [network.label for network in inspection.networks] == ["estimated"] + ["calibrated"] * 19 + [
        "estimated"
    ] * 10
    assert inspection.notes[-1] == "8 more networks are outside what was calibrated"


def test_a_choice_is_made_once_until_something_changes(monkeypatch, tmp_path):
    from sizer import devices

    monkeypatch.setattr(devices, "_known", {})
    asked = []
    monkeypatch.setattr(devices, "choose", lambda name, dtype: asked.append((name, dtype)))
    for _ in range(2):
        devices.chosen_for("cpu", "float32")
    assert len(asked) == 1
    for change in (
        lambda: monkeypatch.setenv("SIZER_PROFILES", str(tmp_path)),
        lambda: (tmp_path / "calibrated-cpu.json").write_text("{}"),
    ):
        before = len(asked)
        change()
        devices.chosen_for("cpu", "float32")
        assert len(asked) == before + 1, asked
    before = len(asked)
    for _ in range(2):
        devices.chosen_for("aws-graviton3", "float32")
    assert len(asked) == before + 2
