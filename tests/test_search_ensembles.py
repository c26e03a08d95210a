"""Averages of networks that a search trained anyway: which are chosen, and what they are as one network, the winner."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
import torch

import sizer
from sizer.base.storage import read_objects
from sizer.models.topology import Topology
from sizer.size_search.data.halves import Validation
from sizer.size_search.data.metrics import CLASSIFICATION, REGRESSION
from sizer.size_search.ensemble_record import MeanNetwork, Trained
from sizer.size_search.ensembles import Kept, averageable, select
from sizer.size_search.saved_network import load

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


def noisy(rows: int = 1600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(2)
    x = generator.standard_normal((rows, 5))
    return x, np.sin(2 * x[:, 0]) * x[:, 1] + 0.5 * generator.standard_normal(rows)


FAMILY = {"depth": 3, "batch_size": 32, "threads": 1, "device": "cpu", "priced_for": "x86-vm-2cpu", "meter": "none"}


@pytest.fixture(scope="module")
def averaged(tmp_path_factory) -> sizer.SearchResult:
    """A search whose target an average meets before a single network does."""
    x, y = noisy()
    folder = tmp_path_factory.mktemp("search")
    best = sizer.search((x, y), target_loss=0.01, folder=folder / "hopeless", ensemble="off", max_epochs=15, **FAMILY)
    losses = sorted(trial.best_loss for trial in best.trials)
    return sizer.search((x, y), target_loss=0.985 * losses[0], folder=folder / "found", max_epochs=40, **FAMILY)


def test_an_average_that_meets_the_target_is_the_winner(averaged, tmp_path):
    assert averaged.reached
    ensemble = averaged.ensemble
    assert ensemble is not None
    assert averaged.winner.name == averaged.best.name == "ensemble"
    assert averaged.winner.best_value == ensemble.value <= averaged.task.target
    members = {trial.name: trial for trial in averaged.trials}
    assert {member.name for member in ensemble.members} <= set(members)
    assert averaged.winner.num_free_parameters == sum(member.num_free_parameters for member in ensemble.members)
    assert not any(trial.is_met for trial in averaged.trials)
    assert ensemble.inference_ratio > 1
    assert ensemble.measured_ratio > 0
    record = json.loads(averaged.to_json())
    jsonschema.validate(record, json.loads(files("sizer.schemas").joinpath("search-1.json").read_text("utf-8")))
    x, _ = noisy()
    averaged.network.save(tmp_path / "m.pt2")
    again = load(tmp_path / "m.pt2")
    assert np.allclose(again.predict(x), averaged.network.predict(x), rtol=1e-6)
    assert [member["widths"] for member in again.facts["members"]] == [list(m.widths) for m in ensemble.members]


def test_a_finished_search_answers_the_same_and_goes_on_to_one_network_when_asked(averaged):
    log = (averaged.folder / "log.jsonl").read_bytes()
    again = sizer.search(noisy(), target_loss=averaged.task.target, folder=averaged.folder, max_epochs=40, **FAMILY)
    assert (averaged.folder / "log.jsonl").read_bytes() == log
    assert replace(again, ensemble=None).winner == averaged.winner
    assert again.ensemble.members == averaged.ensemble.members
    noted = [line for line in read_objects(averaged.folder / "log.jsonl") if line["event"] == "ensemble"]
    assert len(noted) == 1
    assert noted[0]["shares"] == {member.name: member.share for member in again.ensemble.members}
