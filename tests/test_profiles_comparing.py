"""Two machines side by side: crossings where a closed form says, the far ends of intervals, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from profile_records import sound, write

from sizer.base.errors import UnreachableError, UsageError
from sizer.base.storage import data_folder
from sizer.cli import run
from sizer.devices import Chosen
from sizer.fleet.comparison import Asked, compare
from sizer.fleet.nodes import compare_named
from sizer.method.coefficients import Coefficients
from sizer.method.cost import step_costs
from sizer.method.placement import Hierarchy
from sizer.method.training_step import Training
from sizer.method.working_sets import stack

ASKED = Asked(16, 3, 1, 64)


def machine(device, terms, interval=(0.9, 1.1), name="cpu", quantity="time"):
    found = Coefficients("calibrated", "calibrated", quantity, terms, interval, name, "made up")
    return Chosen(replace(device, id=name), found)


@pytest.fixture
def pair(small_cpu):
    """One machine with little overhead, one with little work."""
    return machine(small_cpu, {"step": 1e-4, "operation": 1e-9}, name="quick"), machine(
        small_cpu, {"step": 1e-3, "operation": 1e-11}, name="strong"
    )


def test_the_crossing_is_where_both_cost_the_same(pair):
    record = compare(*pair, ASKED)
    (crossing,) = record.crossings
    assert (crossing.cheaper_below, crossing.cheaper_from_here) == ("quick", "strong")

    def costs(width):
        full = stack([(16, width, width, 1)])
        hierarchy = Hierarchy.of(pair[0].device)
        return [step_costs(full, Training(64), hierarchy, one.coefficients)[0] for one in pair]

    quick, strong = costs(crossing.first_width)
    assert quick > strong
    quick, strong = costs(crossing.first_width - 1)
    assert quick < strong
    width = crossing.first_width
    assert crossing.num_free_parameters == 17 * width + (width + 1) * width + width + 1


def test_swapping_the_machines_turns_the_ratios_over(pair):
    record, swapped = compare(*pair, ASKED), compare(*reversed(pair), ASKED)
    assert np.allclose([p.ratio for p in record.points], [1 / p.ratio for p in swapped.points])
    assert [c.first_width for c in record.crossings] == [c.first_width for c in swapped.crossings]
    point = record.points[0]
    assert point.ratio == pytest.approx(point.costs[0] / point.costs[1])
    assert point.ratio_interval == pytest.approx((point.ratio * 0.9 / 1.1, point.ratio * 1.1 / 0.9))
    sizes = [p.num_free_parameters for p in record.points]
    assert sizes == sorted(set(sizes))
    assert len(sizes) == 12


def test_sizes_that_fit_one_machine_only_are_left_out(pair):
    tiny = replace(
        pair[1].device, levels=(*pair[1].device.levels[:-1], replace(pair[1].device.levels[-1], capacity_bytes=2**24))
    )
    record = compare(pair[0], pair[1]._replace(device=tiny), ASKED)
    # 4 P bytes of b's two replicated copies stay below the 16 MiB of RAM and the caches before it.
    assert record.points[-1].num_free_parameters < 2**23
    nothing = replace(tiny, levels=(replace(tiny.levels[-1], capacity_bytes=64),))
    with pytest.raises(UnreachableError, match="not even the smallest"):
        compare(pair[0], pair[1]._replace(device=nothing), ASKED)


def test_energy_is_not_compared_with_time(pair, small_cpu):
    joules = machine(small_cpu, {"pass": 1.0}, name="metered", quantity="energy")
    with pytest.raises(UsageError, match="quick states time and metered states energy"):
        compare(pair[0], joules, ASKED)
    unknown = pair[0]._replace(coefficients=Coefficients("none", "estimated", "time"))
    with pytest.raises(UsageError, match="not known"):
        compare(pair[1], unknown, ASKED)


def test_the_quantity_that_both_know_is_taken(capsys):
    """acme-one knows both, and joules first; the others know one each."""
    terms = {"pass": {"value": 1e-3, "unit": "s/pass"}}
    record = sound()
    record["coefficients"]["time"]["terms"] = terms
    write(data_folder() / "profiles", record)
    assert compare_named("acme-one", "nvidia-t4", ASKED).quantity == "time"
    assert compare_named("acme-one", "butter-e-gpu", ASKED).quantity == "energy"
    assert run(["profiles", "compare", "acme-one", "butter-e-gpu", "--quantity", "time"]) == 2
    assert "the time on butter-e-gpu is not known, only its energy" in capsys.readouterr().err
    assert run(["profiles", "compare", "nvidia-t4", "butter-e-gpu"]) == 2
    assert "cannot be compared" in capsys.readouterr().err
    assert run(["profiles", "compare", "nvidia-t4", "nvidia-t4"]) == 2
    assert "the same machine" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--depth", "1"), ("--batch-size", "0"), ("--input-dim", "-3")])
def test_values_out_of_range_are_named(option, value, capsys):
    assert run(["profiles", "compare", "nvidia-t4", "nvidia-l4", option, value]) == 2
    assert f"is {value}" in capsys.readouterr().err


def test_a_comparison_keeps_to_its_schema_and_to_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["profiles", "compare", "butter-e-gpu", "butter-e-cpu", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    schema = json.loads(files("sizer.schemas").joinpath("comparison-1.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(record, schema)
    assert run(["profiles", "compare", "butter-e-gpu", "butter-e-cpu", "--details"]) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("From 8,426,755 parameters (width 1355) on butter-e-gpu pays; below that")
    assert "0.487 J" in out or "487 mJ/pass" in out
    assert "joules of different meters are not comparable" in " ".join(err.split())


def test_a_frame_has_a_row_a_point(pair):
    frame = compare(*pair, ASKED).to_frame()
    assert list(frame.columns) == [
        "num_free_parameters",
        "first_width",
        "first_s",
        "second_s",
        "ratio",
        "ratio_low",
        "ratio_high",
    ]
    assert len(frame) == 12
