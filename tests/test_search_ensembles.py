"""Averages of networks that a search trained anyway: which are chosen, and what they are as one network, the winner."""

from __future__ import annotations

import io
import json
import shutil
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
import torch
from rich.console import Console

import sizer
from sizer.base.storage import read_objects
from sizer.models.topology import Topology
from sizer.size_search.data.halves import Validation
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.data.prepare import PreparingSettings, prepare
from sizer.size_search.data.sources import table_of
from sizer.size_search.ensemble_record import MeanNetwork, Trained
from sizer.size_search.ensembles import Kept, averageable, select
from sizer.size_search.saved_network import SavedNetwork, load

draw = np.random.default_rng(5)


def kept_for(validation: Validation, predictions: np.ndarray) -> Kept:
    halves = [rows[within] for rows, within in zip(validation.halves[:2], validation.kept, strict=True)]
    return Kept(1, *(averageable(predictions[rows], validation.kind) for rows in halves))


@pytest.mark.parametrize("rows", [300, 1000])
def test_networks_that_err_differently_are_averaged_and_a_bad_one_is_not(rows):
    truth = draw.standard_normal((rows, 1)).astype(np.float32)
    validation = Validation(REGRESSION, truth, 1)
    noises = {"a": 0.5, "b": 0.5, "c": 0.5, "bad": 5.0}
    library = {
        name: kept_for(validation, truth + noise * draw.standard_normal((rows, 1))) for name, noise in noises.items()
    }
    found = select(validation, library)
    assert set(found.shares) == {"a", "b", "c"}
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.value == pytest.approx(0.25 / 3, rel=0.25)
    assert (found.choosing is None) == validation.halves.is_crossed
    assert len(select(validation, library, most=2).shares) == 2


def test_copies_of_the_best_gain_nothing_and_are_no_ensemble():
    truth = draw.standard_normal((600, 1)).astype(np.float32)
    validation = Validation(REGRESSION, truth, 1)
    same = kept_for(validation, truth + 0.5 * draw.standard_normal((600, 1)))
    assert select(validation, {"a": same, "b": same}) is None


def test_probabilities_are_averaged_not_logits():
    classes = np.repeat([0, 1], 400)
    validation = Validation(CLASSIFICATION, classes, 2)
    sure = np.where(np.arange(800)[:, None] % 4 == 0, -8.0, 8.0) * np.where(classes[:, None] == [0, 1], 1, -1)
    other = np.where(np.arange(800)[:, None] % 4 == 1, -8.0, 8.0) * np.where(classes[:, None] == [0, 1], 1, -1)
    found = select(validation, {"a": kept_for(validation, sure), "b": kept_for(validation, other)})
    # Where the two disagree the mean of the probabilities is a half, whose loss is log 2.
    assert found.loss == pytest.approx(0.5 * np.log(2), rel=0.15)


@pytest.mark.parametrize("is_classifier", [True, False])
def test_a_mean_network_computes_what_was_selected(is_classifier):
    topologies = [Topology.of_first_width("rectangle", width, 3, 4, 3) for width in (8, 16)]
    members = [
        Trained(topology, topology.build().state_dict(), share)
        for topology, share in zip(topologies, (0.75, 0.25), strict=True)
    ]
    features = torch.randn(50, 4)
    outputs = [MeanNetwork([replace_share(member)], False)(features) for member in members]
    averaged = [averageable(of.detach().numpy(), CLASSIFICATION if is_classifier else REGRESSION) for of in outputs]
    found = MeanNetwork(members, is_classifier)(features).detach().numpy()
    found = averageable(found, CLASSIFICATION) if is_classifier else found
    assert np.allclose(found, 0.75 * averaged[0] + 0.25 * averaged[1], atol=1e-5)


def replace_share(member: Trained) -> Trained:
    return member._replace(share=1.0)


def test_several_networks_are_saved_as_one_program(tmp_path):
    x = draw.standard_normal((80, 4))
    found = prepare(table_of((x, np.repeat(["a", "b"], 40))), PreparingSettings())
    topologies = [Topology.of_first_width("rectangle", width, 3, 4, 2) for width in (8, 16)]
    members = [
        Trained(topology, topology.build().state_dict(), share)
        for topology, share in zip(topologies, (0.75, 0.25), strict=True)
    ]
    network = SavedNetwork.of_members(found.preparation, members, {"metric": "loss"})
    network.save(tmp_path / "m.pt2")
    again = load(tmp_path / "m.pt2")
    alone = [SavedNetwork.of_weights(found.preparation, m.topology, m.weights, {}).probabilities(x) for m in members]
    assert np.allclose(again.probabilities(x), 0.75 * alone[0] + 0.25 * alone[1], atol=1e-6)
    told = [(member["widths"], member["share"]) for member in again.facts["members"]]
    assert told == [(list(member.topology.widths), member.share) for member in members]


TRUTH = np.random.default_rng(2).standard_normal((800, 1))


def noisy(topology, epochs, seed, resume_state):
    """A training that ends at a loss of 0.25, each size with errors of its own: two of them together have 0.125."""
    errors = np.random.default_rng(topology.num_free_parameters).standard_normal(TRUTH.shape)
    for epoch in range((resume_state or 0) + 1, (resume_state or 0) + epochs + 1):
        predicted = TRUTH + (0.5 + 0.5 / epoch) * errors
        yield float(np.mean((predicted - TRUTH) ** 2)), 1e-3, epoch, predicted


ASKED = {"target_loss": 0.17, "input_dim": 8, "observations": 2000, "depth": 3, "device": "cpu"}
ASKED |= {"priced_for": "x86-vm-2cpu", "meter": "none"}


@pytest.fixture(scope="module")
def averaged(tmp_path_factory) -> sizer.SearchResult:
    """A search whose target an average meets, and no single network."""
    return sizer.search(noisy, TRUTH, folder=tmp_path_factory.mktemp("search"), **ASKED)


def test_an_average_that_meets_the_target_is_the_winner(averaged):
    assert averaged.reached
    ensemble = averaged.ensemble
    assert ensemble is not None
    assert averaged.winner.name == averaged.best.name == "ensemble"
    assert averaged.winner.best_value == ensemble.value <= averaged.task.target
    members = {trial.name: trial for trial in averaged.trials}
    assert {member.name for member in ensemble.members} <= set(members)
    assert averaged.winner.num_free_parameters == sum(member.num_free_parameters for member in ensemble.members)
    assert not any(trial.is_met for trial in averaged.trials)
    parts = {trial.name for trial in averaged.trials if "part of the average that met" in trial.why_stopped}
    assert parts == {member.name for member in ensemble.members}
    assert ensemble.inference_ratio > 1
    assert (ensemble.measured_ratio, averaged.network) == (None, None)  # (the weights are the function's own)
    valid(averaged)


def valid(record: sizer.SearchResult) -> None:
    schema = files("sizer.schemas").joinpath("search-1.json").read_text("utf-8")
    jsonschema.validate(json.loads(record.to_json()), json.loads(schema))


def shown(record: sizer.SearchResult) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80, highlight=False).print(record)
    return " ".join(stream.getvalue().split())


def test_a_terminal_says_what_is_averaged(averaged):
    text = shown(averaged)
    assert f"with the average of {len(averaged.ensemble.members)} networks" in text
    assert "times the FLOPs of the first of them" in text


def test_a_finished_search_answers_the_same(averaged):
    log = (averaged.folder / "log.jsonl").read_bytes()
    again = sizer.search(noisy, TRUTH, folder=averaged.folder, **ASKED)
    assert (averaged.folder / "log.jsonl").read_bytes() == log
    assert (again.winner, again.ensemble) == (averaged.winner, averaged.ensemble)
    noted = [line for line in read_objects(averaged.folder / "log.jsonl") if line["event"] == "ensemble"]
    assert len(noted) == 1
    assert noted[0]["shares"] == {member.name: member.share for member in again.ensemble.members}


@pytest.mark.parametrize("asked", [{"single": True}, {"ensemble": "off"}, {"explore": True}])
def test_going_on_to_one_network_looks_at_no_average(averaged, tmp_path, asked):
    shutil.copytree(averaged.folder, tmp_path / "copy")
    single = sizer.search(noisy, TRUTH, folder=tmp_path / "copy", **ASKED, **asked)
    assert single.ensemble is None
    assert not single.reached  # (none gets there)
    assert single.spent.epochs > averaged.spent.epochs


def test_the_best_average_of_a_search_that_fails_is_told(tmp_path):
    failed = sizer.search(noisy, TRUTH, folder=tmp_path, max_epochs=20, **ASKED | {"target_loss": 0.02})
    average = failed.best_average
    assert (failed.reached, failed.winner, failed.ensemble) == (False, None, None)
    assert failed.task.target < average.value < failed.best.best_value
    assert len(average.members) == 4
    assert f"The average of 4 networks that were trained comes nearer: {average.value:.4g}" in shown(failed)
    valid(failed)
    off = sizer.search(noisy, TRUTH, folder=tmp_path, max_epochs=20, ensemble="off", **ASKED | {"target_loss": 0.02})
    assert off.best_average is None


def test_a_function_without_the_targets_of_its_rows_is_searched_one_by_one():
    assert sizer.search(noisy, **ASKED).ensemble is None


@pytest.mark.parametrize(
    ("validation", "said"),
    [(TRUTH[:, [0, 0]], "rows of 1 numbers"), (TRUTH[:10], r"shape \(800, 1\); expected \(10, 1\)")],
)
def test_targets_that_do_not_fit_what_is_predicted_are_refused(validation, said):
    with pytest.raises(sizer.UsageError, match=said):
        sizer.search(noisy, validation, **ASKED)
