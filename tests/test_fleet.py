"""Comparing kinds of node: the cheapest by predicted cost to a loss, and nodes that cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import sizer
from sizer.base.errors import ProfileError, UnreachableError, UsageError
from sizer.cli import sizer as command
from sizer.fleet.fleet import Node, recommend_fleet
from sizer.method.advisor import recommend
from sizer.method.coefficients import Coefficients
from sizer.method.epochs_to_loss import relative_epochs
from sizer.method.hardware import Level
from sizer.method.request import Request
from sizer.profiles import load, save

REQUEST = Request(input_dim=100, depth=(4,), output_dim=5)


def node(name: str, device, coefficients: Coefficients, *others: Coefficients) -> Node:
    return Node(name, device, {found.quantity: found for found in (coefficients, *others)})


def slower(coefficients: Coefficients, factor: float) -> Coefficients:
    return replace(coefficients, terms={name: factor * value for name, value in coefficients.terms.items()})


def test_nodes_are_ordered_by_what_reaching_a_loss_costs(small_cpu, time_coefficients):
    slow, fast = node("slow", small_cpu, slower(time_coefficients, 3.0)), node("fast", small_cpu, time_coefficients)
    fleet = recommend_fleet(REQUEST, [slow, fast])
    assert [found.name for found in fleet.nodes] == ["fast", "slow"]
    assert fleet.nodes[0].relative_cost_to_loss == 1.0
    assert fleet.nodes[1].relative_cost_to_loss == pytest.approx(3.0)
    assert fleet.cheapest.candidate.widths == recommend(REQUEST, small_cpu, time_coefficients).optimum.widths


def test_each_node_has_a_size_of_its_own(small_cpu, time_coefficients):
    """A node whose memory is dear has its optimum where everything stays in a cache."""
    dear = replace(time_coefficients, terms={**time_coefficients.terms, "traffic.L2": 1e-2, "traffic.L3": 1e-1})
    fleet = recommend_fleet(REQUEST, [node("flat", small_cpu, time_coefficients), node("dear", small_cpu, dear)])
    sizes = {found.name: found.candidate.num_free_parameters for found in fleet.nodes}
    assert sizes["dear"] < sizes["flat"]
    for found, coefficients in zip(fleet.nodes, (time_coefficients, dear), strict=True):
        alone = recommend(REQUEST, small_cpu, coefficients)
        assert found.candidate.widths == alone.optimum.widths
        least = min(recommend(REQUEST, small_cpu, each).least_cost_to_loss for each in (time_coefficients, dear))
        assert found.relative_cost_to_loss == pytest.approx(alone.least_cost_to_loss / least)


def test_by_equation_10_nodes_are_compared_by_epochs_alone(small_cpu, time_coefficients):
    request = replace(REQUEST, law="paper")
    nodes = [node("slow", small_cpu, slower(time_coefficients, 3.0)), node("fast", small_cpu, time_coefficients)]
    fleet = recommend_fleet(request, nodes)
    best = fleet.cheapest.candidate
    cost = best.time_per_datum_s * float(relative_epochs(best.num_free_parameters))
    assert recommend(request, small_cpu, time_coefficients).least_cost_to_loss == pytest.approx(cost)
    assert fleet.nodes[1].relative_cost_to_loss == pytest.approx(3.0)


def test_energy_is_compared_where_every_node_knows_it(small_cpu, time_coefficients):
    joules = replace(slower(time_coefficients, 100.0), quantity="energy")
    frugal = replace(slower(time_coefficients, 50.0), quantity="energy")
    hot = node("hot", small_cpu, time_coefficients, joules)
    cool = node("cool", small_cpu, slower(time_coefficients, 2.0), frugal)
    assert recommend_fleet(REQUEST, [hot, cool]).quantity == "energy"
    assert recommend_fleet(REQUEST, [hot, cool]).cheapest.name == "cool"
    by_time = recommend_fleet(REQUEST, [hot, node("cool", small_cpu, slower(time_coefficients, 2.0))])
    assert (by_time.quantity, by_time.cheapest.name) == ("time", "hot")
    assert "least time" in by_time.notes[0]


def test_nodes_without_a_common_quantity_are_named(small_cpu, time_coefficients):
    joules = replace(time_coefficients, quantity="energy")
    with pytest.raises(UsageError, match="energy is not known of clock, nor the time of meter"):
        recommend_fleet(REQUEST, [node("clock", small_cpu, time_coefficients), node("meter", small_cpu, joules)])
    with pytest.raises(UsageError, match="no node"):
        recommend_fleet(REQUEST, [])


def test_a_node_that_can_train_nothing_is_last_with_its_reason(small_cpu, time_coefficients):
    tiny = replace(small_cpu, levels=(Level("L1", 64, 1), Level("RAM", 4096, 1)))
    fleet = recommend_fleet(REQUEST, [node("tiny", tiny, time_coefficients), node("fit", small_cpu, time_coefficients)])
    assert [found.name for found in fleet.nodes] == ["fit", "tiny"]
    assert "fits the device's memory" in fleet.nodes[1].refused
    with pytest.raises(UnreachableError, match="tiny: no network"):
        recommend_fleet(REQUEST, [node("tiny", tiny, time_coefficients)])


def test_a_difficulty_counts_on_every_node(small_cpu, time_coefficients):
    asked = {
        name: recommend_fleet(replace(REQUEST, difficulty=name), [node("only", small_cpu, time_coefficients)])
        for name in ("easy", "hard")
    }
    easy, hard = (asked[name].cheapest.candidate for name in ("easy", "hard"))
    assert easy.chance > hard.chance
    assert easy.chance == pytest.approx(hard.chance_to_reach["easy"], abs=0.1)
    assert hard.chance == pytest.approx(hard.chance_to_reach["hard"])


def test_what_no_learning_curve_tells_is_said_of_a_fleet_too(small_cpu, time_coefficients):
    deep = recommend_fleet(replace(REQUEST, depth=(4, 40)), [node("only", small_cpu, time_coefficients)])
    assert any("no learning curve was recorded of depths 40" in note for note in deep.notes)


def test_profiles_by_name_in_a_record_that_fits_its_schema():
    fleet = sizer.recommend_fleet(["nvidia-t4", "x86-vm-2cpu"], input_dim=784, depth=6)
    schema = json.loads(files("sizer.schemas").joinpath("fleet-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(fleet.to_json()), schema)
    assert fleet.cheapest.name == "nvidia-t4"
    assert [row["node"] for row in fleet.rows()] == ["nvidia-t4", "x86-vm-2cpu"]
    assert fleet.rows()[0]["widths"] == fleet.cheapest.candidate.widths
    with pytest.raises(ProfileError, match="no profile is named 'nvidia-t5'"):
        sizer.recommend_fleet("nvidia-t5", input_dim=784, depth=6)


def calibrated(name: str, threads: int) -> None:
    """A calibrated profile of the user's, from a shipped one."""
    shipped = json.loads(files("sizer.profiles").joinpath("x86-vm-2cpu.json").read_text(encoding="utf-8"))
    save({**shipped, "name": name, "match": {}, "calibration": {"identity": {"threads": threads}}})


def test_all_stands_for_every_calibrated_kind_of_node_once():
    with pytest.raises(UsageError, match="no calibrated profile is there"):
        sizer.recommend_fleet(input_dim=784, depth=6)
    calibrated("node-b", 2)
    calibrated("node-a", 2)  # (of the same kind: a calibration of the one holds for the other)
    calibrated("node-c", 4)
    fleet = sizer.recommend_fleet(input_dim=784, depth=6)
    assert sorted(found.name for found in fleet.nodes) == ["node-a", "node-c"]
    assert load("node-b").calibration is not None


def run(*arguments: str):
    return CliRunner().invoke(command, ["recommend", "--input-dim", "784", "--depth", "6", *arguments])


def test_the_command_compares_and_names_the_cheapest():
    done = run("--fleet", "nvidia-t4,x86-vm-2cpu")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Cheapest: nvidia-t4")
    assert "x86-vm-2cpu" in done.stdout
    data = json.loads(run("--fleet", "nvidia-t4,x86-vm-2cpu", "--json").stdout)
    assert (data["format"], data["cheapest"]) == ("sizer.fleet/1", "nvidia-t4")
    calibrated("node-a", 2)
    assert run("--fleet").stdout.startswith("Cheapest: node-a")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fleet", "nvidia-t4", "--device", "cpu"), "either --device or --fleet"),
        (("--fleet", "nvidia-t4", "--format", "csv"), "a table or JSON"),
        (("--fleet", "nvidia-t4", "--explain"), "a table or JSON"),
    ],
)
def test_options_that_do_not_go_together(arguments, said):
    done = run(*arguments)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_a_profile_may_be_a_file(tmp_path: Path):
    calibrated("node-a", 2)
    fleet = sizer.recommend_fleet([str(Path(load("node-a").origin))], input_dim=784, depth=6)
    assert fleet.cheapest.name == "node-a"
