"""The library of operators: what is kept is read back, under its conditions alone, and damaged rows are left out."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import pytest
import torch

from sizer.base.errors import MeasurementError
from sizer.base.storage import data_folder, read_objects
from sizer.detection.detect import detected
from sizer.operators import library as library_module
from sizer.operators.call import Call, TensorSpec
from sizer.operators.library import (
    MOST_DAYS,
    OPERATORS_FORMAT,
    Library,
    Log,
    conditions,
    library_of,
    library_path,
    read_library,
)
from sizer.operators.timing import OperatorTime

NOW = {"torch": "2.13.0", "threads": 2}
STEP = {"block": "dense", "views": 3, "measured_s": 0.5}
_DAY_S = 86400


def product(rows: int = 2, operator: str = "aten.mm.default") -> Call:
    """The product of two matrices, (rows, 3) by (3, 4)."""
    shapes = ((rows, 3), (3, 4), (rows, 4))
    one, other, out = (TensorSpec(shape, (shape[1], 1), "float32") for shape in shapes)
    return Call(operator, (one, other), (), (out,), 2 * rows * 3 * 4)


CALL = product()


def row(*times: object, call: Call = CALL) -> list:
    return [call.key, call.to_json(), *times]


def header(days: float = 0, **changes: object) -> dict:
    """The line of conditions of so many days ago."""
    return {"format": OPERATORS_FORMAT, "conditions": NOW, "unix_s": time.time() - days * _DAY_S, **changes}


def written(path: Path, *lines: object) -> Library:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return read_library(path, NOW)


def test_the_quietest_of_several_timings_holds():
    library = Library()
    library.add(CALL, OperatorTime(2.0, 5.0))
    library.add(product(), OperatorTime(3.0, 4.0))
    library.add(product(7), OperatorTime(9.0, 9.0))
    assert library.times == {CALL.key: OperatorTime(2.0, 4.0), product(7).key: OperatorTime(9.0, 9.0)}
    assert library.calls == {CALL.key: CALL, product(7).key: product(7)}
    assert library.untimable == set()


def test_a_call_that_cannot_be_made_alone_has_no_time():
    library = Library()
    library.add(CALL, None)
    assert library == Library(untimable={CALL.key})


def test_what_is_kept_is_read_back(tmp_path):
    path = tmp_path / "made" / "if need be" / "library.jsonl"
    log = Log(path, NOW)
    log.timings([(CALL, OperatorTime(1.0, 2.0)), (product(7), None)])
    log.timings([])
    log.steps([STEP])
    log.steps([{**STEP, "views": 4}])
    log.close()
    assert read_library(path, NOW) == Library(
        calls={CALL.key: CALL},
        times={CALL.key: OperatorTime(1.0, 2.0)},
        untimable={product(7).key},
        steps=[STEP, {**STEP, "views": 4}],
    )
    assert len(read_objects(path)) == 4, "nothing to keep is no line"


def test_the_library_is_in_the_folder_of_measurements():
    assert library_path() == data_folder() / "measurements" / "operators-cpu.jsonl"


def test_timings_depend_on_torch_threads_cpu_and_kernel():
    assert conditions(3) == {
        "torch": torch.__version__,
        "threads": 3,
        "cpu": detected("cpu").name,
        "kernel": platform.release(),
    }


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        (header(), True),
        (header(MOST_DAYS - 0.1), True),
        (header(MOST_DAYS + 0.1), False),
        (header(conditions={**NOW, "threads": 1}), False),
        (header(conditions=3), False),
        (header(format="sizer.operators/9"), False),
        (header(unix_s="x"), False),
        (header(unix_s=None), False),
        ({"format": OPERATORS_FORMAT, "conditions": NOW}, False),
        ({"conditions": NOW, "unix_s": time.time()}, False),
    ],
)
def test_timings_hold_under_their_conditions_for_a_season(tmp_path, line, holds):
    library = written(tmp_path / "library.jsonl", line, {"timings": [row(1.0, 2.0)], "steps": [STEP]})
    assert library == (
        Library({CALL.key: CALL}, {CALL.key: OperatorTime(1.0, 2.0)}, set(), [STEP]) if holds else Library()
    )


def test_lines_are_of_the_conditions_before_them(tmp_path):
    path, other = tmp_path / "library.jsonl", header(conditions={})
    numbered = [{"steps": [{**STEP, "views": number}]} for number in range(4)]
    library = written(path, numbered[0], header(), numbered[1], other, numbered[2], header(), numbered[3])
    assert [step["views"] for step in library.steps] == [1, 3]


def test_a_library_that_is_not_there_is_empty(tmp_path):
    assert read_library(tmp_path / "none.jsonl", NOW) == Library()


# What is damaged

NO_ROWS = [
    row(0.0, 1.0), row(1.0, 0.0), row(-1.0, 1.0), row(1.0, 1e18), row(float("inf"), 1.0), row(float("nan"), 1.0),
    row("x", 1.0), row(1.0), row(1.0, 1.0, 1.0), row(10**400, 1.0),
    ["", [[], 0], 1.0, 1.0], ["[" * 100_000, [[], 0], 1.0, 1.0], ['["mm", [], []]', [[], 0], 1.0, 1.0],
    ['["aten..default", [], []]', [[], 0], 1.0, 1.0], ['["aten.mm.default", [], []]', [[], -1], 1.0, 1.0],
    ['["aten.mm.default", [{"shape": [-3], "dtype": "float32"}], []]', [[], 0], 1.0, 1.0],
    ['["aten.mm.default", [], []]', [[{"shape": [-3], "dtype": "float32"}], 0], 1.0, 1.0],
    ['["aten.mm.default", [{"a": 1, "b": 2}], []]', [[], 0], 1.0, 1.0], [CALL.key], 3, None, "ab",
]  # fmt: skip


@pytest.mark.parametrize("odd", NO_ROWS, ids=lambda odd: str(odd)[:40])
def test_a_row_that_is_no_timing_is_left_out_alone(tmp_path, odd):
    library = written(tmp_path / "library.jsonl", header(), {"timings": [odd, row(1.0, 2.0, call=product(7))]})
    assert list(library.times) == [product(7).key]
    assert library.untimable == set()


def test_times_and_counts_at_the_ends_of_their_range_are_read(tmp_path):
    free = Call("aten.relu.default", (), (), (), 0)
    rows = [row(1e-12, 9e17), row(1, 2, call=free)]
    library = written(tmp_path / "library.jsonl", header(), {"timings": rows})
    assert library.times == {CALL.key: OperatorTime(1e-12, 9e17), free.key: OperatorTime(1.0, 2.0)}


@pytest.mark.parametrize(
    "odd",
    [3, None, "ab", [1], {"views": None}, {"views": "3"}, {"views": -1}, {"views": 1e18}, {"views": float("nan")}],
    ids=str,
)
def test_a_step_that_is_none_is_left_out_alone(tmp_path, odd):
    assert written(tmp_path / "library.jsonl", header(), {"steps": [odd, STEP]}).steps == [STEP]


def test_a_step_may_count_nothing(tmp_path):
    step = {"block": "dense", "views": 0, "measured_s": 9e17}
    assert written(tmp_path / "library.jsonl", header(), {"steps": [step]}).steps == [step]


# This machine's library


def keep(*rounds: float, threads: int = 2) -> None:
    log = Log(library_path(), conditions(threads))
    for near_s in rounds:
        log.timings([(CALL, OperatorTime(near_s, 9.0))])
    log.close()


def test_without_timings_there_is_no_library():
    assert library_of(2) is None
    keep()
    assert library_of(2) is None
    keep(1.0)
    assert library_of(2).times == {CALL.key: OperatorTime(1.0, 9.0)}
    assert library_of(3) is None


def test_a_library_is_read_once_while_its_file_is_the_same(monkeypatch):
    keep(2.0)
    before = library_of(2)
    assert library_of(2) is before
    keep(1.0)
    assert library_of(2).times == {CALL.key: OperatorTime(1.0, 9.0)}
    assert len(library_module._read) == 1, "what was read before takes no memory"


# A library that has grown


def test_a_library_that_has_grown_is_written_anew_with_what_holds(tmp_path, monkeypatch):
    path = tmp_path / "library.jsonl"
    for now in ({"threads": 1}, NOW, NOW):
        log = Log(path, now)
        log.timings([(CALL, OperatorTime(len(path.read_bytes()), 9.0))])
        log.steps([STEP])
        log.close()
    before, content = read_library(path, NOW), path.read_bytes()
    monkeypatch.setattr(library_module, "MOST_BYTES", len(content))
    Log(path, NOW).close()
    assert path.read_bytes().startswith(content), "so large it may be"
    Log(path, NOW).close()
    assert len(path.read_bytes()) < len(content)
    assert read_library(path, NOW) == before
    assert read_library(path, {"threads": 1}) == Library()
    lines = read_objects(path)
    assert [set(each) for each in lines] == [set(header()), {"timings"}, {"steps"}, set(header())]
    assert abs(lines[0]["unix_s"] - time.time()) < 600


def test_a_library_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for path, why in ((tmp_path / "file" / "library.jsonl", "File exists"), (tmp_path, "Is a directory")):
        with pytest.raises(MeasurementError) as refusal:
            Log(path, NOW)
        assert str(refusal.value) == (
            f"{path} cannot be written ({why}); free some space, or set XDG_DATA_HOME to a folder that can"
        )
