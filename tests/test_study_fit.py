"""The fit recovers known coefficients, says which the design identifies, and says what is wrong with bad input."""

from __future__ import annotations

import numpy as np
import pytest
from study_frames import modelled_runs

from sizer.base.errors import MeasurementError, UsageError
from sizer.method.coefficients import Coefficients
from sizer.study import published
from sizer.study.analysis.cost_fit import EXTENDED, FORMS, PUBLISHED, fit_costs, standard_errors, training_rows
from sizer.study.generated.design import Plan

LEVELS = published.hierarchies()


#: Published in form, with nothing on the terms that the study's grid cannot tell from k_p.
TERMS = {"experiment": 1e4, "pass": 0.5, "operation": 2.5e-10}
TERMS |= {"traffic.L2": 8e-3, "traffic.L3": 8e-3, "traffic.RAM": 1.2e-2}
APART = Coefficients("published", "published", "energy", TERMS)


@pytest.fixture(scope="module")
def runs():
    plan = Plan(9000, seed=3, noise=0.05, repeats=0.0, hardware=("cpu",), coefficients={"cpu": APART})
    return modelled_runs(plan)


def test_identified_coefficients_are_recovered_within_2_percent(runs):
    terms, ratios, step = fit_costs(runs, LEVELS)
    identified = terms[terms["identification"] == "identified"].set_index("term")["value"]
    assert {"operation", "traffic.RAM"} <= set(identified.index)
    for term, value in identified.items():
        assert value == pytest.approx(APART.terms[term], rel=0.02), term
    # 5 % noise: mean |error| of a normal one is 0.8 standard deviations.
    assert step.numbers["std_error_cpu"] == pytest.approx(0.05, rel=0.1)
    assert step.numbers["mean_error_cpu"] == pytest.approx(0.04, rel=0.1)
    assert (ratios["predicted"] / ratios["measured"]).tolist() == pytest.approx(ratios["ratio"].tolist())


def test_standard_errors_are_honest(runs):
    """Every coefficient lies within five of its standard errors, those that the design cannot tell apart as well."""
    terms, _, _ = fit_costs(runs, LEVELS)
    for row in terms.itertuples():
        assert abs(row.value - APART.terms.get(row.term, 0.0)) <= 5 * row.standard_error, row


def test_collinear_terms_are_not_identified(runs):
    """An access to each set of each pass adds up to layers and passes: the study's grid cannot tell them apart."""
    terms, _, step = fit_costs(runs, LEVELS)
    status = terms.set_index("term")["identification"]
    assert not set(status[["pass", "layer", "access.L1", "access.L2"]]) & {"identified", "rough"}
    assert step.numbers["condition_cpu"] > 100


def test_without_noise_the_fit_is_exact():
    plan = Plan(1500, noise=0.0, repeats=0.0, hardware=("gpu",))
    _, ratios, step = fit_costs(modelled_runs(plan), LEVELS)
    assert ratios["ratio"].to_numpy() == pytest.approx(1, abs=1e-3)
    assert step.numbers["mean_error_gpu"] < 1e-3


def test_rows_price_trainings_as_the_cost_model_does():
    plan = Plan(300, noise=0.0, repeats=0.0)
    runs = modelled_runs(plan)
    for hardware, some in runs.groupby("hardware"):
        row = training_rows(some, LEVELS, FORMS[EXTENDED])
        coefficients = published.node_profile(str(hardware)).coefficients
        cost = sum(value * row[name] for name, value in coefficients.terms.items())
        assert cost == pytest.approx(some["std_energy"].to_numpy(), rel=1e-12)


def test_the_extended_form_finds_the_optimizer():
    priced = Coefficients("published", "published", "energy", {**APART.terms, "optimizer.RAM": 0.03})
    plan = Plan(4000, seed=1, noise=0.0, repeats=0.0, hardware=("cpu",), coefficients={"cpu": priced})
    runs = modelled_runs(plan)
    extended, _, better = fit_costs(runs, LEVELS, EXTENDED)
    _, _, worse = fit_costs(runs, LEVELS, PUBLISHED)
    assert extended.set_index("term")["value"]["optimizer.RAM"] == pytest.approx(0.03, rel=0.05)
    assert better.numbers["mean_error_cpu"] < 0.2 * worse.numbers["mean_error_cpu"]


def test_standard_errors_by_hand():
    """Two terms, each alone in half of the experiments: the error of each is s k / sqrt(n / 2)."""
    matrix = np.kron(np.eye(2), np.ones((50, 1)))
    measured = np.tile([1.1, 1 / 1.1], 50)
    errors, condition = standard_errors(matrix, np.ones(100), measured)
    residual = np.sqrt(100 / 98) * np.log(1.1)
    assert errors == pytest.approx(residual / np.sqrt(50))
    assert condition == pytest.approx(1)
    twice, condition = standard_errors(np.column_stack([matrix, matrix[:, 0]]), np.ones(100), measured)
    assert twice.tolist() == [np.inf, pytest.approx(errors[1], rel=0.01), np.inf]
    assert condition == np.inf


def test_bad_input_is_one_line(runs):
    with pytest.raises(UsageError, match="unknown form 'cubic'; expected one of published, extended"):
        fit_costs(runs, LEVELS, "cubic")
    with pytest.raises(MeasurementError, match="8 experiments cannot tell"):
        fit_costs(runs[:8], LEVELS)
    with pytest.raises(MeasurementError, match="lack the column full"):
        fit_costs(runs.drop(columns="full"), LEVELS)
