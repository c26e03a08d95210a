"""Planning as people do it: from a file, for another machine, for few rows, down to a script that trains."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pandas as pd
import pytest
from schemas import closed

import sizer
from sizer.cli import run
from sizer.inspection.advice_larger import advise_fused, advise_size
from sizer.method.advisor import recommend
from sizer.method.cost import step_costs
from sizer.method.placement import Hierarchy
from sizer.method.request import BY_DEVICE, Request
from sizer.method.training_step import Training
from sizer.method.working_sets import stack
from sizer.models.topology import Topology

ROWS = 200


@pytest.fixture
def house(tmp_path, monkeypatch):
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"size": random.normal(90, 20, ROWS), "city": random.choice(["Bern", "Genoa", "Lyon"], ROWS)})
    frame["price"] = 3 * frame["size"] + 50 * (frame["city"] == "Bern") + random.normal(size=ROWS)
    frame["dear"] = np.where(frame["price"] > frame["price"].median(), "yes", "no")
    frame.to_csv(tmp_path / "house.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return frame


def test_rows_inputs_and_outputs_are_read_from_a_file(house, capsys):
    arguments = ["recommend", "house.csv", "--target", "price", "--device", "butter-e-cpu", "--json"]
    assert run(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    schema = json.loads(files("sizer.schemas").joinpath("recommendation-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(record, closed(schema))
    asked = record["request"]
    # price from size, three cities, and two answers to whether it is dear
    assert (asked["observations"], asked["input_dim"], asked["output_dim"], asked["depth"]) == (ROWS, 6, 1, [4])
    assert (asked["data"], asked["target"], asked["kind"]) == ("house.csv", ["price"], "regression")
    found = sizer.recommend(data=house, target="dear", device="butter-e-cpu", depth=3)
    assert (found.request.output_dim, found.request.kind, found.request.depth) == (2, "classification", (3,))
    stated = sizer.recommend(data=house, target="price", device="butter-e-cpu", observations=77)
    assert stated.request.observations == 77


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say what to size: a file"),
        ({"target": "price"}, "name its file too"),
        ({"data": "house.csv", "target": "price", "input_dim": 3}, "input_dim would be read from the data"),
        ({"data": "house.csv", "target": "prise"}, "did you mean price"),
        ({"data": "house.csv"}, "which column is the target"),
    ],
)
def test_sizes_are_stated_or_read_and_never_both(options, said, house):
    with pytest.raises(sizer.UsageError, match=said):
        sizer.recommend(device="butter-e-cpu", **options)


def test_the_emitted_script_prepares_trains_and_stops(house, capsys, tmp_path):
    for target, loss in (("price", "mse_loss"), ("dear", "cross_entropy")):
        arguments = ["recommend", "house.csv", "--target", target, "--device", "butter-e-cpu", "--max-bytes", "100k"]
        assert run([*arguments, "--emit", "torch"]) == 0
        script = capsys.readouterr().out
        assert f"nn.functional.{loss}" in script
        (tmp_path / "network.py").write_text(script.replace("range(1, 1001)", "range(1, 31)"), encoding="utf-8")
        command = [sys.executable, "network.py", "house.csv"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        lines = done.stdout.splitlines()
        first, last = (float(line.rsplit(" ", 1)[1]) for line in (lines[0], lines[-2]))
        assert float(lines[-1].split()[3]) < first
        assert last < first
    other = tmp_path / "other.csv"
    house[["size", "price"]].to_csv(other, index=False)
    done = subprocess.run([*command[:2], "other.csv"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1


def test_the_emitted_script_reads_dates_units_and_gaps(tmp_path, monkeypatch, capsys):
    """As many features as a search makes of them: a date one, a gap one more, texts one each."""
    draw = np.random.default_rng(4)
    rows = ["built;open;size;rooms;new;city;price"]
    for row in range(150):
        size, rooms = draw.normal(90, 20), row % 7 or ""
        price = f"{1000 * size + 5000 * (row % 7):,.2f}".translate({ord(","): "'", ord("."): ","})
        day, clock = f"{1 + row % 28:02}.{1 + row % 12:02}.{1990 + row % 30}", f"{row % 24:02}:30"
        city = ("Bern", "Genoa", "", "Lyon")[row % 4]
        rows.append(f"{day};{clock};{f'{size:.1f}'.replace('.', ',')} m;{rooms};{row % 2 == 0};{city};{price}")
    (tmp_path / "flats.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run(["recommend", "flats.csv", "--target", "price", "--device", "butter-e-cpu", "--emit", "torch"]) == 0
    script = capsys.readouterr().out.replace("range(1, 1001)", "range(1, 31)")
    (tmp_path / "network.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "network.py", "flats.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1].split()[3]) < 0.5


def test_the_emitted_script_of_stated_sizes_takes_arrays(house, capsys, tmp_path):
    assert run(["recommend", "--input-dim", "3", "--device", "butter-e-cpu", "--emit", "torch"]) == 0
    script = capsys.readouterr().out.replace("range(1, 1001)", "range(1, 3)")
    (tmp_path / "network.py").write_text(script, encoding="utf-8")
    x = np.random.default_rng(0).normal(size=(300, 3))
    np.savez(tmp_path / "data.npz", x=x, y=x.sum(axis=1))
    command = [sys.executable, "network.py", "data.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("epoch 1: training loss ")


def test_many_parameters_for_few_rows_are_said(small_cpu, time_coefficients):
    few, many = (
        recommend(Request(30, (4,), observations=rows), small_cpu, time_coefficients) for rows in (100, 1_000_000)
    )
    said = f"{few.best.num_free_parameters:,} parameters for 100 rows"
    assert any(said in remark for remark in few.remarks())
    assert not any("rows" in remark for remark in many.remarks())


def test_width_multiples_are_the_vector_width_on_gpus_only(small_cpu, time_coefficients):
    gpu = replace(small_cpu, id="cuda:0", kind="cuda")
    asked = Request(30, (4,), width_multiple=BY_DEVICE)
    multiples = [recommend(asked, device, time_coefficients).request.width_multiple for device in (small_cpu, gpu)]
    assert multiples == [1, 16]  # (lines of 64 bytes)
    found = sizer.recommend(input_dim=784, depth=6, device="nvidia-h200")
    assert all(width % 32 == 0 for one in found for width in one.widths[:-1])
    assert sizer.recommend(input_dim=784, device="nvidia-h200", width_multiple=1).request.width_multiple == 1


def test_nodes_are_compared_at_equal_size_beside_their_own_best():
    found = sizer.recommend_fleet(["nvidia-h200", "amd-epyc-zen4-vm-2cpu"], input_dim=30, observations=20_000)
    smallest = min((node.candidate for node in found), key=lambda size: size.num_free_parameters)
    assert found.equal_size == smallest
    for node in found:
        full = stack([smallest.topology.full])
        training = Training(smallest.batch_size, observations=20_000)
        step = step_costs(full, training, Hierarchy.of(node.device), node.coefficients)[0]
        assert node.equal_size_per_datum == pytest.approx(step / smallest.batch_size)
    own = next(node for node in found if node.candidate == smallest)
    assert own.equal_size_per_datum == pytest.approx(smallest.time_per_datum_s)
    assert "At equal size" in str(found)
    schema = json.loads(files("sizer.schemas").joinpath("fleet-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(found.to_json()), closed(schema))
    assert sizer.recommend_fleet("nvidia-h200", input_dim=30).equal_size is None


def test_a_network_far_too_large_is_told_the_size_to_train_first(small_cpu, time_coefficients):
    huge, training = Topology(None, 30, (4096, 4096, 1)), Training(256)
    step = float(step_costs(stack([huge.full]), training, Hierarchy.of(small_cpu), time_coefficients)[0])
    (advice,) = advise_size(huge, training, step, small_cpu, time_coefficients)
    best = recommend(Request(30, (3,), top=1), small_cpu, time_coefficients).best
    assert advice.widths == best.widths
    assert "times as much, failures included" in advice.reason
    usual = best.topology
    step = float(step_costs(stack([usual.full]), training, Hierarchy.of(small_cpu), time_coefficients)[0])
    assert list(advise_size(usual, training, step, small_cpu, time_coefficients)) == []
    tiny = Topology(None, 30, (2, 2, 1))
    step = float(step_costs(stack([tiny.full]), training, Hierarchy.of(small_cpu), time_coefficients)[0])
    (advice,) = advise_size(tiny, training, step, small_cpu, time_coefficients)
    assert advice.widths == best.widths
    assert advice.reason.endswith("so small a network misses most targets")


def test_the_fused_form_is_advised_where_even_its_worse_end_saves():
    (advice,) = advise_fused("adam", (1.5, 1.05, 2.0))
    assert advice.change == "torch.optim.Adam(..., fused=True)"
    assert advice.effect == pytest.approx(-1 / 3)
    assert advice.interval == pytest.approx((-0.5, 1 / 1.05 - 1))
    assert list(advise_fused("sgd", (1.0, 0.85, 1.15))) == []
