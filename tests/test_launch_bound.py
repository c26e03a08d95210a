"""Launching and work told apart on a made-up card: its plan, its fit, what is predicted and advised with it.

Launching takes 60 us a step and 25 us a layer, a foreach optimizer 90 us and 2 us a tensor more, a single-tensor one 30
us a tensor; the card does 30 TFLOP/s and moves 2 TB/s.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from calibrating_fakes import make_quick
from rich.console import Console

from sizer.calibration import calibration, rounds, validity
from sizer.calibration import plan as planning
from sizer.calibration.fit import design, fit, predict_terms
from sizer.calibration.launch_bound import fit_times
from sizer.calibration.measurements import Case, Timing
from sizer.calibration.validation import validate
from sizer.method.advisor import recommend
from sizer.method.coefficients import LAUNCH_TERMS, Coefficients, why_outside
from sizer.method.placement import Hierarchy
from sizer.method.request import Request
from sizer.method.training_step import Training
from sizer.models.topology import Topology, num_free_parameters
from sizer.profiles import load

HIERARCHY = Hierarchy.of(load("nvidia-h100-sxm").device)


def launch_s(case: Case) -> float:
    tensors = 2 * len(case.widths)
    forms = {"fused": 0.0, "foreach": 90e-6 + 2e-6 * tensors, "single-tensor": 30e-6 * tensors}
    return 60e-6 + 25e-6 * len(case.widths) + forms[case.form]


def work_s(case: Case) -> float:
    parameters = num_free_parameters(case.input_dim, case.widths)
    again = 1 if case.form == "fused" else 2.5
    moved = 4 * (again * 7 * parameters + 6 * case.batch_size * sum(case.full))
    return 2 * planning.operations(case) / 30e12 + moved / 2e12 + 6e-6 * len(case.widths)


def step_s(case: Case) -> float:
    return max(launch_s(case), work_s(case))


def speed() -> planning.Speed:
    small, large = ((case, step_s(case)) for case in (planning.CORNERS[1], planning.GPU_LARGE[-1]))
    return planning.Speed.of_gpu(small, large, 80 * 2**30)


@pytest.fixture(scope="module")
def plan() -> list[Case]:
    return planning.plan(90.0, 8, speed())


@pytest.fixture(scope="module")
def found(plan):
    measured = np.array([step_s(case) for case in plan])
    noise = np.random.default_rng(1).lognormal(0.0, 0.01, len(plan))
    return fit_times(design(plan, Training(), HIERARCHY, on_gpu=True), measured * noise)


def test_half_of_the_plan_keeps_the_card_busy_in_every_form(plan):
    busy = [work_s(case) > launch_s(case) for case in plan]
    assert len(plan) >= 60
    assert 0.4 < np.mean(busy) < 0.6
    for form in ("fused", "foreach", "single-tensor"):
        of_form = [is_busy for is_busy, case in zip(busy, plan, strict=True) if case.form == form]
        assert 0.2 < np.mean(of_form) < 0.8
    usual = planning.plan(90.0, 8, planning.Speed(25e-6, 1e-13))
    assert np.mean([work_s(case) > launch_s(case) for case in usual]) < 0.05, "a CPU's plan tells nothing of the card"
    assert all(planning.fits_gpu(case, 80 * 2**30) for case in plan)


def test_a_small_card_gets_networks_that_fit_it(monkeypatch):
    assert not planning.fits_gpu(planning.GPU_LARGE[-1], 2**30)
    slow = planning.Speed(1e-4, 1e-18, overlaps=True, memory_bytes=2**30)  # (nothing keeps it busy)
    monkeypatch.setattr(planning, "_MOST_ATTEMPTS", 20)
    assert len(planning.plan(90.0, 8, slow)) > 60


def test_the_card_is_found_again(found):
    assert 0.35 < found.waiting < 0.65
    terms = found.fit.terms
    assert terms["operation"] == pytest.approx(2 / 30e12, rel=0.1)
    assert terms["launch"] == pytest.approx(60e-6, rel=0.15)
    assert terms["launch_layer"] == pytest.approx(25e-6, rel=0.05)
    assert terms["launch_single_tensor"] == pytest.approx(30e-6, rel=0.05)
    assert terms["launch_foreach"] + 20 * terms["launch_foreach_tensor"] == pytest.approx(130e-6, rel=0.15)
    assert terms["unfused"] > 0


def test_new_networks_are_priced_within_three_percent_on_either_side_in_every_form(found):
    cases = planning.plan(90.0, 8, speed(), seed=77)
    predicted = predict_terms(design(cases, Training(), HIERARCHY, on_gpu=True), found.fit.terms)
    true = np.array([step_s(case) for case in cases])
    waits = np.array([launch_s(case) >= work_s(case) for case in cases])
    for kind in (waits, ~waits):
        assert np.mean(np.abs(predicted / true - 1)[kind]) < 0.03
    low, high = found.fit.interval
    assert np.mean((true / predicted >= low) & (true / predicted <= high)) > 0.85


def test_one_sum_of_a_cpus_plan_prices_the_wide_network_wrong(found):
    """Of which 2 % keep the card busy: the sum makes cache edges of them."""
    usual = planning.plan(90.0, 8, planning.Speed(25e-6, 1e-13))
    summed = fit(design(usual, Training(), HIERARCHY), np.array([step_s(case) for case in usual]))
    wide = Case(None, 784, (*[4096] * 5, 10), 1024)
    apart, together = (
        predict_terms(design([wide], Training(), HIERARCHY, on_gpu=True), each.terms)[0] / step_s(wide)
        for each in (found.fit, summed)
    )
    assert apart == pytest.approx(1, abs=0.05)
    assert abs(together - 1) > 0.2


def test_networks_of_one_kind_are_one_sum_that_nothing_is_launched_in():
    small = [case for case in planning.plan(90.0, 8, planning.Speed(25e-6, 1e-13)) if work_s(case) < launch_s(case)]
    one = fit_times(design(small, Training(), HIERARCHY, on_gpu=True), np.array([step_s(case) for case in small]))
    assert one.waiting is None
    assert not one.fit.terms.keys() & LAUNCH_TERMS
    assert one.fit.mean_error < 0.1


def test_what_was_timed_on_a_gpu_is_not_outside_of_what_was_calibrated():
    usual = Coefficients("calibrated", "calibrated", "time", {"operation": 1.0}, conditions={"optimizer": "adam"})
    large = Coefficients(
        *("calibrated", "calibrated", "time", {"operation": 1.0}),
        conditions={"optimizer": "adam", "sizes": [6.0, 26.0], "batch_sizes": [32, 16384]},
    )
    wide = Topology(None, 784, (2048, 2048, 10))
    assert "parameters 5,824,522 (timed: 64 to 2,965,821), batch 8,192" in why_outside(wide, "adam", 8192, usual)
    assert why_outside(wide, "adam", 8192, large) is None
    assert "batch 32,768" in why_outside(wide, "adam", 32768, large)


@pytest.fixture
def card(monkeypatch):
    """A detected card on which steps take what the law says."""
    device = replace(load("nvidia-h100-sxm").device, id="cuda:0", warnings=())
    whole = planning.plan
    make_quick(monkeypatch, device)
    monkeypatch.setattr(planning, "plan", whole)
    for module in (calibration, rounds):
        monkeypatch.setattr(module, "time_run", lambda case, *_: Timing(0, 0, step_s(case), 5, None))
    monkeypatch.setattr(validity, "detected", lambda name: device)
    return device


def test_a_calibration_of_a_card_tells_both_apart_and_its_validation_splits_the_errors(card):
    record = calibration.calibrate(calibration.Settings("cuda:0", 60.0, meter="none"))
    assert 0.35 < record.launch_bound < 0.65
    assert record.to_dict()["launch_bound"] == record.launch_bound
    coefficients = load(record.name).by_quantity["time"]
    assert coefficients.conditions["optimizer_forms"] == ["foreach", "fused", "single-tensor"]
    assert (coefficients.conditions["sizes"], coefficients.conditions["batch_sizes"]) == ([6.0, 26.0], [32, 16384])
    text = " ".join(drawn(record).split())
    assert "of the networks wait for the program that launches their steps" in text
    validated = validate(calibration.Settings("cuda:0", 30.0), networks=80)
    errors = validated.by_bound()
    assert {name: found.networks > 20 for name, found in errors.items()} == {"launch_bound": True, "gpu_bound": True}
    assert max(found.mean for found in errors.values()) < 0.05
    schema = json.loads((files("sizer.schemas") / "validation-1.json").read_text())
    jsonschema.validate(json.loads(validated.to_json()), schema)
    assert "keeping the GPU busy: " in drawn(validated)


def drawn(record) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(record)
    return console.file.getvalue()


def test_a_recommendation_says_up_to_which_width_a_step_waits_for_its_launches(found):
    card = load("nvidia-h100-sxm").device
    coefficients = Coefficients("calibrated", "calibrated", "time", found.fit.terms, found.fit.interval)
    record = recommend(Request(input_dim=784, depth=(4,)), card, coefficients)
    (note,) = [note for note in record.notes if "waits for the program" in note]
    width = int(note.partition("up to width ")[2].partition(",")[0])
    times = [work_s(Case(None, 784, (*[wide] * 3, 1), 256)) for wide in (round(0.8 * width), round(1.25 * width))]
    assert times[0] < launch_s(Case(None, 784, (width, width, width, 1), 256)) < times[1]
    summed = replace(coefficients, terms={"operation": 1e-13})
    assert not any("waits" in note for note in recommend(Request(input_dim=784, depth=(4,)), card, summed).notes)
