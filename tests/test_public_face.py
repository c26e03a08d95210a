"""The public face: what is importable from `sizer`, that it completes and is checked, and that it loads nothing."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sizer
from sizer.method.request import SIZED, FleetOptions, RecommendOptions, Request, SweepOptions
from sizer.size_search.request import ARGUMENTS
from sizer.size_search.settings import SearchOptions, SearchSettings

ROOT = Path(__file__).parents[1]
TYPING = Path(__file__).parent / "typing"


#: Options that take more than the request keeps: one value or several, or text.
SWEPT = SweepOptions.__annotations__


def in_fresh_process(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_is_there_and_listed():
    assert [name for name in sizer.__all__ if not hasattr(sizer, name)] == []
    assert set(sizer.__all__) <= set(dir(sizer))
    listed = {name for names in sizer._RECORDS.values() for name in names}
    assert listed <= set(sizer.__all__)


def test_names_that_were_not_asked_for_are_listed_and_not_imported():
    script = (
        "import sys, sizer; names = dir(sizer); assert 'SearchResult' in names and 'profiles' in names; "
        "sizer.UsageError; print([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules])"
    )
    assert in_fresh_process(script) == "[]"


def test_a_machine_record_needs_no_torch():
    script = "import sys, sizer; sizer.Machine, sizer.MeterOptions, sizer.Level; print('torch' in sys.modules)"
    assert in_fresh_process(script) == "False"


def test_what_public_functions_return_is_public():
    functions = [getattr(sizer, name) for name in sizer.__all__ if inspect.isfunction(getattr(sizer, name))]
    assert len(functions) == 12
    returned = {name for function in functions for name in re.findall(r"\w+", str(function.__annotations__["return"]))}
    assert returned - {"None", "Any"} <= set(sizer.__all__)


def test_typed_options_are_the_fields_of_the_request():
    fields = {field.name for field in dataclasses.fields(Request)}
    assert set(RecommendOptions.__annotations__) | set(SIZED) == fields
    assert set(FleetOptions.__annotations__) == set(RecommendOptions.__annotations__) - {"device"}
    for function in (sizer.recommend, sizer.recommend_fleet):
        assert set(SIZED) == set(inspect.signature(function).parameters) - {"options", "fleet", "make"}


def test_typed_options_have_the_types_of_the_request():
    for options, record in ((RecommendOptions, Request), (SearchOptions, SearchSettings)):
        types = {field.name: field.type for field in dataclasses.fields(record)}
        annotations = {name: each for name, each in options.__annotations__.items() if name not in SWEPT}
        written = {name: annotation.__forward_arg__ for name, annotation in annotations.items()}
        assert written == {name: types[name] for name in written}


def test_typed_settings_are_the_fields_of_the_search():
    fields = {field.name for field in dataclasses.fields(SearchSettings)}
    assert set(SearchOptions.__annotations__) == fields - {"target"}
    assert set(ARGUMENTS) == set(inspect.signature(sizer.search).parameters) - {"train", "validation", "settings"}


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: sizer.recommend(input_dim=8, depth=2, optimiser="adam"), "optimizer"),
        (lambda: sizer.recommend(input_dim=8, depth=2, batchsize=3), "batch_size"),
        (lambda: sizer.recommend_fleet(input_dim=8, depth=2, pilot=[]), "pilots"),
        (lambda: sizer.search("sklearn:iris", target_loss=0.1, max_time=3), "max_time_s"),
        (lambda: sizer.search("sklearn:iris", target_los=0.1, target_loss=0.1), "target_loss"),
    ],
)
def test_an_unknown_option_is_refused_in_one_line_with_the_nearest(call, meant):
    with pytest.raises(sizer.UsageError, match=f"has no option .*; did you mean {meant}\\?") as error:
        call()
    assert "\n" not in str(error.value)


def test_a_saved_network_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(sizer.UsageError, match=r"there is no file .*model\.pt2"):
        sizer.load(tmp_path / "model.pt2")


def test_a_record_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(sizer.UsageError, match=r"there is no file .*sizes\.json; `--json`"):
        sizer.load(tmp_path / "sizes.json")


def test_what_is_loaded_is_what_is_wanted(tmp_path):
    path = sizer.inspect("8-4-1", device="nvidia-h200").save(tmp_path / "record")
    assert sizer.load(path, sizer.Inspection).networks[0].widths == (4, 1)
    with pytest.raises(sizer.DataError, match="holds Inspection, not SavedNetwork"):
        sizer.load(path, sizer.SavedNetwork)


@pytest.mark.parametrize(
    ("record", "change"),
    [
        ("validation", lambda data: data["device"]["levels"][0].update(capacity_bytes="much", effective_bytes=None)),
        ("recommendation", lambda data: data["candidates"][0].update(memory_bytes={})),
        ("search", lambda data: data.update(trials=[{"widths": "x"}])),
    ],
)
def test_a_damaged_record_is_refused_in_one_line_before_it_is_printed(tmp_path, record, change):
    data = json.loads((Path(__file__).parent / "data" / "records" / f"{record}.json").read_text())
    change(data)
    (tmp_path / "damaged.json").write_text(json.dumps(data))
    with pytest.raises(sizer.DataError, match=r"damaged\.json") as error:
        sizer.load(tmp_path / "damaged.json")
    assert len(str(error.value).splitlines()) == 1


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Lines that mypy strict has something to say about, by file: {name: [(line, kind), ...]}."""
    api = pytest.importorskip("mypy.api")
    # The tree as it is installed: `models` and `profiles` lie inside the package.
    root = tmp_path_factory.mktemp("typed")
    for folder, place in (("sizer", "sizer"), ("models", "sizer/models"), ("profiles", "sizer/profiles")):
        shutil.copytree(ROOT / folder, root / place, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TYPING, root / "typed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("MYPYPATH", str(root))
        options = ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports=silent", "--no-error-summary"]
        output, errors, _ = api.run([*options, "--cache-dir", str(root / "cache"), "typed"])
    assert not errors
    found: dict[str, list[tuple[int, str]]] = {"accepted.py": [], "refused.py": []}
    for name, line, kind in re.findall(r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", output, re.MULTILINE):
        found[name].append((int(line), kind))
    return found


@pytest.mark.slow
def test_mypy_strict_accepts_what_is_right(checked):
    assert checked["accepted.py"] == []


@pytest.mark.slow
def test_mypy_strict_refuses_what_is_wrong(checked):
    lines = (TYPING / "refused.py").read_text(encoding="utf-8").splitlines()
    wanted = [(n, line.rpartition("refused: ")[2]) for n, line in enumerate(lines, 1) if "# refused: " in line]
    assert list(dict.fromkeys(checked["refused.py"])) == wanted  # (a call may be wrong for each overload)
