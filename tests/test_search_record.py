"""The record of a search: its schema, its table, and what a terminal shows of it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from rich.console import Console

import sizer
from sizer.base.errors import UsageError
from sizer.base.units import format_widths
from sizer.size_search.data.table import TrainedEpoch
from sizer.size_search.result import Edge, FlopsChoice, ForwardCost, Pruned, SearchPoint, SearchResult

random = np.random.default_rng(11)
X = random.normal(size=(300, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * random.normal(size=300)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> SearchResult:
    return sizer.search(
        (X, Y), target_loss=0.3, depth=2, batch_size=32, folder=tmp_path_factory.mktemp("search"), learning_rate=0.01
    )


@pytest.fixture
def failed(found) -> SearchResult:
    """As the search would answer had no size reached the target."""
    trials = tuple(trial._replace(is_met=False, why_stopped="it cannot go on", energy_j=3.0) for trial in found.trials)
    spent = found.spent._replace(energy_j=3.0, energy_label="estimated", winner_time_s=None)
    return replace(
        found,
        status="unreachable",
        trials=trials,
        best=trials[0],
        winner=None,
        spent=spent,
        estimate="a million rows",
        flops_choice=None,
        network=None,
    )


@pytest.fixture
def pruned(found) -> SearchResult:
    forward = ForwardCost((8, 1), 49, "L2", 2e-6, 4e-6)
    smaller = replace(forward, widths=(4, 1), num_free_parameters=25, level="L1", measured_s=1e-6)
    record = Pruned(forward, smaller, "L1", True, 0.2, 0.21, ((4, True),), 3, 0.1, "time")
    return replace(found, pruned=record)


def valid(record: SearchResult) -> dict:
    data = json.loads(record.to_json())
    schema = json.loads(files("sizer.schemas").joinpath("search-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    return data


def shown(record: SearchResult, width: int = 80) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(record)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_record_keeps_to_its_schema(found, failed, pruned):
    for record in (found, failed, pruned):
        data = valid(record)
        assert data["format"] == "sizer.search/1"
        assert len(data["trials"]) == len(record.trials)
    assert valid(found)["reached"] is True
    assert (valid(failed)["winner"], valid(failed)["estimate"]) == (None, "a million rows")
    assert valid(pruned)["pruned"]["measured_saving"] == 0.75


def test_the_winner_met_the_target_and_its_network_does(found):
    winner = found.winner
    assert winner.best_loss <= 0.3 < found.task.baseline
    assert found.spent.time_s >= found.spent.winner_time_s > 0
    assert found.spent.epochs == sum(trial.epochs for trial in found.trials)
    residual = found.network.predict(X) - Y
    assert np.mean(residual**2) < 0.3 * Y.var() * 1.3  # (the target held on the fifth that was set aside)
    assert found.network.topology.num_free_parameters == winner.num_free_parameters


def test_the_curve_is_in_order_with_edges_inside(found):
    sizes = [point.num_free_parameters for point in found.curve]
    assert sizes == sorted(sizes)
    assert {point.label for point in found.curve} <= {"measured", "estimated"}
    assert next(point for point in found.curve if point.name == found.winner.name).label == "measured"
    for name in {edge.working_set for edge in found.edges}:
        edges = [edge.num_free_parameters for edge in found.edges if edge.working_set == name]
        assert edges == sorted(edges)
        assert edges[0] == sizes[0]
        assert edges[-1] <= sizes[-1]


def test_a_frame_has_a_row_a_trial(found):
    frame = found.to_frame()
    assert len(frame) == len(found.trials)
    assert {"widths", "epochs", "best_loss", "time_s", "why_stopped", "anchor_level"} <= set(frame)


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_shows_the_answer_every_trial_and_the_edges(found, failed, pruned, width):
    for record in (found, failed, pruned):
        lines = shown(record, width)
        assert max(map(len, lines)) <= width
        text = " ".join(" ".join(lines).split())
        for trial in record.trials:
            assert format_widths(trial.widths) in text
            assert trial.why_stopped.removeprefix("it ").split()[0] in text
        assert text.startswith("Not reached: loss" if record.winner is None else "Reached loss")
    assert "a forward pass takes 75% less" in " ".join(" ".join(shown(pruned, width)).split())
    assert "energy estimated" in " ".join(" ".join(shown(failed, width)).split())


@pytest.mark.parametrize("width", [80, 40])
def test_a_terminal_says_which_trial_one_grew_from(found, width):
    smaller, larger = (
        found.trials[0],
        found.trials[0]._replace(number=2, name="larger", grown_from=found.trials[0].name),
    )
    text = " ".join(" ".join(shown(replace(found, trials=(smaller, larger)), width)).split())
    assert text.count("grew from 1") == 1
    assert "grew from" not in " ".join(shown(found, width))


def test_the_chart_draws_known_costs_with_the_winner_at_its_place(found):
    widths = (8, 1)
    curve = tuple(
        SearchPoint(f"p{size}", widths, size, 5.0, cost, "estimated") for size, cost in ((100, 9), (10_000, 3))
    )
    record = replace(
        found,
        curve=curve,
        winner=found.winner._replace(num_free_parameters=10_000),
        edges=(Edge("b", "L1", 100), Edge("b", "L2", 1000)),
        flops_choice=FlopsChoice("p100", widths, 100, 1e6, 9.0, "estimated"),
    )
    lines = shown(record)
    assert any("1x = 3 s" in line for line in lines)
    starred = next(line for line in lines if "*" in line and "│" in line)
    assert starred.lstrip().startswith("1.0x")
    edge = next(line for line in lines if line.lstrip().startswith("backward  L1"))
    assert abs(edge.index("L2") - 46) <= 2  # half way between 10^2 and 10^4
    unknown = replace(record, curve=tuple(point._replace(cost=None) for point in curve))
    assert not any("cost of reaching" in line for line in shown(unknown))


def test_the_same_request_goes_on_in_its_folder(found):
    again = sizer.search((X, Y), target_loss=0.3, depth=2, batch_size=32, folder=found.folder, learning_rate=0.01)
    assert again.trials == found.trials
    assert np.array_equal(again.network.predict(X), found.network.predict(X))
    with pytest.raises(UsageError, match="another search"):
        sizer.search((X, Y + 1), target_loss=0.3, depth=3, folder=found.folder)
    fresh = sizer.search(
        (X, Y), target_loss=0.3, depth=2, batch_size=32, folder=found.folder, learning_rate=0.01, fresh=True
    )
    assert fresh.winner.time_s != found.winner.time_s
    assert fresh.winner.best_loss == found.winner.best_loss


def test_a_function_that_trains(tmp_path):
    seen = []

    def train(topology, epochs, seed, resume_state):
        loss = 1.0 if resume_state is None else resume_state["loss"]
        for _ in range(epochs):
            loss *= 0.7
            seen.append(topology.num_free_parameters)
            yield TrainedEpoch(loss, 0.5, {"loss": loss})

    record = sizer.search(train, target_loss=0.2, input_dim=10, observations=1000, depth=3)
    assert record.reached
    assert record.winner.epochs == 5
    assert record.winner.time_s == pytest.approx(2.5)
    assert (record.folder, record.network, record.preparation) == (None, None, None)
    assert valid(record)["task"]["source"] == "train"
    assert shown(record)
    with pytest.raises(UsageError, match="input_dim and observations"):
        sizer.search(train, target_loss=0.2)
    with pytest.raises(UsageError, match="keeps to itself"):
        sizer.search(train, target_loss=0.2, input_dim=10, observations=1000, save=tmp_path / "m.pt2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say how good is good enough"),
        ({"target_loss": 0.1, "target_r2": 0.9}, "2 targets are given"),
        ({"target_loss": 5.0}, "needs no network: predicting the mean"),
        ({"target_loss": 0.1, "depht": 4}, "no option 'depht'"),
        ({"target_loss": 0.1, "engine": "spark"}, "unknown engine"),
        ({"target_loss": 0.1, "max_energy_j": 5.0, "meter": "none"}, "max_energy limits the joules"),
        ({"target_loss": 0.1, "save": "model.onnx"}, "does not end in .pt2"),
        ({"target_metric": ("accuracy", 0.9)}, "name a metric of regression"),
    ],
)
def test_requests_that_make_no_sense(tmp_path, options, said):
    with pytest.raises(sizer.SizerError, match=said):
        sizer.search((X, Y), folder=tmp_path / "state", **options)
    assert not (tmp_path / "state").exists()


def test_a_search_whose_trainings_all_diverge_says_so(tmp_path):
    few = {"max_epochs": 2, "max_time_s": 2.0, "meter": "none"}
    found = sizer.search((X, Y), target_loss=0.3, depth=2, learning_rate=1e30, folder=tmp_path, **few)
    assert not found.reached
    assert "a smaller learning rate may" in str(found)
