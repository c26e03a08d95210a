"""Records and functions in Python: what they print, hold and refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sizer
from sizer.base.records import Record
from sizer.base.units import format_network, format_widths


@pytest.fixture
def record():
    return sizer.recommend(input_dim=784, depth=6, device="butter-e-cpu", top=3)


def test_repr_is_one_line_and_str_what_the_terminal_shows(record, monkeypatch, capsys):
    from sizer.cli import run

    monkeypatch.setenv("COLUMNS", "80")
    assert "\n" not in repr(record)
    assert len(repr(record)) < 120
    named = format_network(record.best.widths, record.best.num_free_parameters)
    assert f"train {named} on butter-e-cpu; 3 candidates" in repr(record)
    assert run(["recommend", "--input-dim", "784", "--depth", "6", "--device", "butter-e-cpu", "--top", "3"]) == 0
    shown = capsys.readouterr()
    assert str(record) == shown.out.rstrip("\n") + (f"\n{shown.err}".rstrip("\n") if shown.err else "")


def test_every_record_has_a_line_of_its_own():
    for kind in Record.__subclasses__():
        assert kind.__repr__ is Record.__repr__, kind
    inspection = sizer.inspect(["784-64-10", "784-32-10"], device="butter-e-cpu")
    assert repr(inspection) == "<sizer.Inspection: 784-64-10, 784-32-10 on butter-e-cpu>"
    assert "cpu" in repr(sizer.detect())


def test_length_and_iteration_are_those_of_the_candidates(record):
    assert len(record) == 3
    assert list(record) == list(record.candidates)
    assert [network.num_free_parameters for network in sizer.inspect(["784-10", "10-3"], device="butter-e-cpu")] == [
        7850,
        33,
    ]


def test_an_answer_without_candidates_is_an_answer():
    record = sizer.recommend(input_dim=4, depth=4, output_dim=10**7, device="butter-e-cpu")
    assert len(record) == 0
    assert record


def test_a_frame_begins_with_what_is_asked_for_first(record):
    frame = record.to_frame()
    assert list(frame)[:4] == ["rank", "widths", "num_free_parameters", "time_per_datum_s"]
    assert frame["widths"].tolist() == [format_widths(one.widths) for one in record]
    inspection = sizer.inspect("784-64x2-10", device="butter-e-cpu").to_frame()
    assert inspection["widths"].tolist() == ["64x2-10"]


def test_a_record_draws_itself(record, tmp_path):
    figure = record.plot(tmp_path / "curve.svg")
    assert len(figure.axes) == 2
    assert (tmp_path / "curve.svg").stat().st_size > 1000
    assert record.plot() is not figure
    with pytest.raises(sizer.UsageError, match="has no picture"):
        sizer.detect().plot()


def test_a_record_writes_itself(record, tmp_path):
    path = record.save(tmp_path / "r.json")
    assert path.read_text(encoding="utf-8").strip() == record.to_json()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: sizer.inspect("784-10", optimiser="adam"),
            "inspect has no option 'optimiser'; did you mean optimizer?",
        ),
        (lambda: sizer.calibrate(budget=3), "did you mean budget_s?"),
        (lambda: sizer.detect(root="/"), "detect has no option 'root'; did you mean sysroot?"),
        (lambda: sizer.watch(silent=True), "watch has no option 'silent'"),
        (
            lambda: sizer.recommend(784, 6),
            "recommend takes at most 1 arguments without a name, and 2 are given; write input_dim=",
        ),
    ],
)
def test_what_a_function_does_not_take_is_refused_with_the_nearest(call, said):
    with pytest.raises(sizer.UsageError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_swapped_arguments_are_one_line_with_the_remedy(capsys):
    import torch

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sizer.advise(optimizer, model)
    sizer.advise(model.weight)
    sizer.advise(model, 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "swapped; write sizer.advise(model, optimizer)" in lines[0]
    assert "was given a Parameter" in lines[1]
    assert "was given a float" in lines[2]


def test_a_batch_size_beside_an_example_of_another_size_is_refused():
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with pytest.raises(sizer.UsageError, match=r"batch_size is 32 and the example has 8 observations .* leave out"):
        sizer.inspect(model, torch.zeros(8, 3), batch_size=32)
    assert sizer.inspect(model, torch.zeros(8, 3), batch_size=8).batch_size == 8
    assert sizer.inspect(model, torch.zeros(4, 2, 3), batch_size=8)  # (rows count)
    recurrent = torch.nn.GRU(3, 5)
    assert sizer.inspect(recurrent, torch.zeros(7, 4, 3), batch_size=4).batch_size == 4


def test_a_checkout_is_used_where_python_starts_in_it():
    """After `pip install .`, Python in the checkout finds `sizer` there first, and `models` beside it."""
    program = (
        "import sys; sys.meta_path = [one for one in sys.meta_path if 'editable' not in repr(one).lower()]; "
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r}); import sizer.models, sizer.profiles; "
        "print(sizer.recommend(input_dim=8).best)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
