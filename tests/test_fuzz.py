"""The fuzzer of the benchmarks: that it sees what is wrong, and that a few hundred odd inputs find nothing."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import random
import zipfile
from pathlib import Path

import pytest

from sizer.base.errors import SizerError

FUZZ = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FUZZ.parent))
        yield importlib.import_module("fuzz")


def test_it_tells_right_from_wrong(fuzz):
    def refuse(text):
        raise SizerError(text)

    assert fuzz.wrong(lambda: None) is None
    assert fuzz.wrong(lambda: refuse("line 3 is no table")) is None
    assert "several lines" in fuzz.wrong(lambda: refuse("a\nb"))
    assert "no letter" in fuzz.wrong(lambda: refuse(""))
    assert fuzz.wrong(lambda: [][1]).startswith("IndexError")


@pytest.mark.parametrize(
    "name", ["table", "power-log", "network", "profile", "search-log", "study-log", "measurements"]
)
def test_odd_inputs_are_read_or_refused_in_one_line(fuzz, tmp_path, name):
    draw = random.Random(7)  # noqa: S311 (inputs, no secrets)
    reader = fuzz.READERS[name]
    seeds = list(reader.seeds())
    trial = fuzz.Trial(name, tmp_path)
    for _ in range({"measurements": 8, "table": 20}.get(name, 60)):
        trial.give(fuzz.changed(draw.choice(seeds), reader.form, draw.getrandbits(32)))
    assert not trial.kinds


@pytest.mark.parametrize(
    "name",
    [
        "table",
        "power-log",
        "profile",
        "sysfs",
        "tuning",
        "record",
        "exported",
        "prepared",
        "family-log",
        "measurements",
    ],
)
def test_a_first_input_is_no_refusal(fuzz, tmp_path, name):
    """Else whatever is made of it ends where it does, and nothing behind that is tried."""
    reader = fuzz.READERS[name]
    path = tmp_path / f"input{reader.suffix}"
    path.write_bytes(next(iter(reader.seeds())))
    reader.read(path)


def test_options_that_go_with_a_content_are_those_it_is_aimed_at(fuzz):
    import fuzz_options

    for layout in fuzz_options.LAYOUTS:
        content = fuzz_options.aimed(b"time,watts\n", fuzz_options.LAYOUTS, layout)
        assert fuzz_options.chosen(content, fuzz_options.LAYOUTS) == layout


@pytest.mark.usefixtures("fuzz")
def test_a_packed_input_is_changed_inside_and_can_be_unpacked():
    import fuzz_inputs

    rows = b"a,b\n" + b"1,2\n" * 50
    for seed in range(5):
        draw = random.Random(seed)  # noqa: S311
        assert gzip.decompress(fuzz_inputs.changed_packed(gzip.compress(rows), draw))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("x.npy", rows)
        with zipfile.ZipFile(io.BytesIO(fuzz_inputs.changed_packed(archive.getvalue(), draw))) as changed:
            assert changed.testzip() is None


def test_what_once_went_wrong_is_right(fuzz, tmp_path):
    assert not list(fuzz.replay(tmp_path))


@pytest.mark.parametrize(
    "change", [{"device": 3}, {"device": {"id": 1}}, {"meter": None}, {"meter": {}}, {"device": None}]
)
def test_the_log_of_a_study_describes_a_machine_or_is_refused(tmp_path, change):
    from sizer.study.own_runs.log import LOG_NAME, read_log

    kept = (Path(__file__).parent / "data" / "before_the_move" / "study" / LOG_NAME).read_text().splitlines()
    (tmp_path / LOG_NAME).write_text("\n".join([json.dumps(json.loads(kept[0]) | change), *kept[1:]]) + "\n")
    with pytest.raises(SizerError, match="its first line does not describe a machine"):
        read_log(tmp_path)


def test_names_of_others_are_listed_short():
    from sizer.base.errors import listed

    assert listed(["a", "b"]) == "a, b"
    assert listed(["a" * 100]) == "a" * 37 + "..."
    assert listed(map(str, range(10))) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_faults_and_endurance_tell_right_from_wrong(monkeypatch):
    monkeypatch.syspath_prepend(str(FUZZ.parent))
    import endurance
    import fault_bench
    from fault_bench import Ended

    assert fault_bench.refused(Ended(1, ["a hint", "sizer: no room; make some"])) is None
    for wrong in (Ended(1, []), Ended(0, ["sizer: x"]), Ended(1, ["sizer: x", "sizer: y"]), Ended(-9, ["sizer: x"])):
        assert fault_bench.refused(wrong) is not None
    assert "a traceback" in fault_bench.refused(Ended(1, ["Traceback (most recent call last):", "ValueError: x"]))
    assert not fault_bench.lost(["a"], ["a", "b"])
    assert fault_bench.lost(["a", "b"], ["a"])
    assert fault_bench.lost(["a"], ["b"])
    told = [{"what": "log", "step": n, "step_s": 1e-3 * n, "longest_s": 1.0, "resident_mib": n} for n in range(1, 41)]
    (line,) = endurance.summary([*told[:3], *told])
    assert "40 steps" in line
    assert "8.500 to   36.500 ms a step (4.29)" in line
