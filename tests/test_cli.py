"""The command line as a user meets it: real processes, real exit codes, one line an error."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from importlib.resources import files

import jsonschema
import pytest
from schemas import closed

from sizer.base.units import format_widths
from sizer.cli import COMMANDS, run

SIZER = [sys.executable, "-c", "from sizer.cli import main; main()"]


def sizer(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SIZER, *arguments], capture_output=True, text=True, check=False, timeout=120, **options)


def checked(record: str, text: str) -> dict:
    """The JSON text, valid by the published schema of its record."""
    data = json.loads(text)
    schema = json.loads(files("sizer.schemas").joinpath(f"{record}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, closed(schema))
    return data


RECOMMEND = ("recommend", "--input-dim", "784", "--depth", "6", "--device", "butter-e-cpu")


def test_recommend_prints_a_record_by_its_schema():
    done = sizer(*RECOMMEND, "--output-dim", "10", "--observations", "60000", "--batch-size", "64,256", "--json")
    assert done.returncode == 0, done.stderr
    record = checked("recommendation-1", done.stdout)
    assert record["request"]["batch_size"] == [64, 256]
    assert record["coefficients"]["source"] == "published"
    assert all(candidate["label"] == "published" for candidate in record["candidates"])
    assert {candidate["batch_size"] for candidate in record["candidates"]} <= {64, 256}


@pytest.mark.parametrize(
    "option", [["--explain"], ["--why-not", "300"], ["--for", "inference"], ["--max-energy", "5"], ["--levels", "L2"]]
)
def test_options_keep_to_the_schema(option):
    done = sizer(*RECOMMEND, *option, "--json")
    assert done.returncode == 0, done.stderr
    record = checked("recommendation-1", done.stdout)
    assert ("answers" in record) == (option[0] in ("--explain", "--why-not"))


def test_the_terminal_names_the_device_the_label_and_the_edges():
    done = sizer(*RECOMMEND, "--details", env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(done.stdout.split())
    assert "published" in text
    assert "optimum of all sizes" in text
    assert any(line.lstrip().startswith("backward  L") and "RAM" in line for line in lines)


@pytest.mark.parametrize("columns", ["40", "1"])
def test_a_narrow_terminal_degrades(columns):
    done = sizer(*RECOMMEND, env={**os.environ, "COLUMNS": columns})
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_ascii_terminals_get_ascii():
    done = sizer(*RECOMMEND, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_csv_and_markdown_have_a_row_a_candidate():
    record = json.loads(sizer(*RECOMMEND, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(sizer(*RECOMMEND, "--format", "csv").stdout)))
    assert [row["widths"] for row in rows] == [format_widths(c["widths"]) for c in record["candidates"]]
    assert [float(row["energy_per_datum_j"]) for row in rows] == [c["energy_per_datum_j"] for c in record["candidates"]]
    markdown = sizer(*RECOMMEND, "--format", "markdown").stdout.splitlines()
    assert len(markdown) == 2 + len(rows)
    assert len({line.count("|") for line in markdown}) == 1


def test_emitted_code_runs_and_has_the_recommended_parameters():
    for shape in ("rectangle", "rectangle_residual"):
        code = sizer(*RECOMMEND, "--shape", shape, "--emit", "torch").stdout
        best = json.loads(sizer(*RECOMMEND, "--shape", shape, "--json").stdout)["candidates"][0]
        check = (
            f"{code}\nimport torch\n"
            f"assert sum(p.numel() for p in model.parameters()) == {best['num_free_parameters']}\n"
            "print(tuple(model(torch.zeros(3, 784)).shape))"
        )
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.strip() == "(3, 1)"


@pytest.mark.parametrize("name", ["curve.svg", "curve.png"])
def test_plots_are_pictures(tmp_path, name):
    done = sizer(*RECOMMEND, "--plot", str(tmp_path / name))
    assert done.returncode == 0, done.stderr
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"\x89PNG") if name.endswith("png") else b"<svg" in content
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_inspect_takes_one_or_thousands():
    one = checked(
        "inspection-1", sizer("inspect", "--mlp", "784-512-512-10", "--device", "butter-e-gpu", "--json").stdout
    )
    network = one["networks"][0]
    assert network["num_free_parameters"] == 785 * 512 + 513 * 512 + 513 * 10
    assert network["label"] == "published"
    assert network["interval"][0] < network["energy_per_step_j"] < network["interval"][1]
    assert network["time_per_step_s"] is None
    lines = "".join(f"{width}-{width}-1\n" for width in range(1, 3001))
    many = checked(
        "inspection-1", sizer("inspect", "--mlp", "-", "--device", "butter-e-cpu", "--json", input=lines).stdout
    )
    assert len(many["networks"]) == 3000
    assert many["networks"][41]["num_free_parameters"] == 42 * 43 + 43


@pytest.mark.parametrize(
    ("arguments", "record"),
    [
        (["detect"], "machine-1"),
        (["doctor"], "diagnosis-1"),
        (["profiles", "list"], "profiles-1"),
        (["profiles", "show", "butter-e-gpu"], "profiles-1"),
    ],
)
def test_every_record_keeps_to_its_schema(arguments, record, capsys):
    assert run([*arguments, "--json"]) == 0
    assert checked(record, capsys.readouterr().out)["format"] == f"sizer.{record.replace('-', '/')}"


def test_doctor_is_one_page_with_versions_sources_and_meters(capsys):
    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    for said in ("torch 2", "/proc/meminfo", "rapl:", "nvml:", "cache:", "costs"):
        assert said in text


def test_a_network_that_fits_nowhere_says_so():
    done = sizer("inspect", "--mlp", "1000000-1000000-1", "--device", "butter-e-gpu", "--json")
    network = checked("inspection-1", done.stdout)["networks"][0]
    assert network["working_sets"]["f"]["level"] is None
    assert "GiB" in network["refused"]


BAD = [
    (["recommend", "--input-dim", "0", "--depth", "6"], "input_dim is 0"),
    (["recommend", "--input-dim", "-5", "--depth", "6"], "input_dim is -5"),
    (["recommend", "--input-dim", "7.5", "--depth", "6"], "'7.5' is not a whole number"),
    (["recommend", "--input-dim", "many", "--depth", "6"], "'many' is not a whole number"),
    (["recommend", "--input-dim", str(10**18), "--depth", "6"], "from 1 to 1073741824"),
    (["recommend", "--input-dim", "9" * 5000, "--depth", "6"], "whole number"),
    (["recommend", "--input-dim", "784", "--depth", "0"], "depth is 0"),
    (["recommend", "--input-dim", "784", "--depth", "1"], "without a hidden layer"),
    (["recommend", "--input-dim", "784", "--depth", "10000000"], "from 2 to 1000"),
    (["recommend", "--input-dim", "784", "--depth", "8-2"], "write it as 2-8"),
    (["recommend"], "say what to size: a file, such as house.csv --target price"),
    (["recommend", "--target", "price"], "name its file too"),
    (["recommend", "none.csv", "--target", "price"], "there is no file none.csv"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--batch-size", "0"], "batch_size is 0"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--shape", "circle"], "unknown shape 'circle'"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--dtype", "int3"], "unknown dtype 'int3'"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--optimizer", "magic"], "unknown optimizer 'magic'"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--max-time", "nan"], "'nan' is no time"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--plot", "curve.gif"], ".svg or .png"),
    (["recommend", "--input-dim", "784", "--depth", "6", "--levels", "L9"], "'L9' is no cache"),
    (["recommend", "--input-dim", "784", "--depth", "2-900", "--shape", "all"], "ask for fewer"),
    (["inspect", "--mlp", "784"], "has no layer"),
    (["inspect", "--mlp", "784--10"], "is no width"),
    (["inspect", "--mlp", "-"], "no network given"),
    (["detect", "--sysroot", "/nonexistent"], "/nonexistent"),
    (["recomend"], "no such command 'recomend'"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), BAD, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else ""
)
def test_bad_input_gets_one_clear_line(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    exit_code = run(arguments)
    out, err = capsys.readouterr()
    assert exit_code in (1, 2)
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_exit_codes_reach_the_shell():
    assert sizer("recommend", "--input-dim", "0", "--depth", "6").returncode == 2
    assert sizer("detect", "--sysroot", "/nonexistent").returncode == 1
    assert "Traceback" not in sizer("inspect", "--mlp", "784--10").stderr


def test_an_unknown_device_is_one_line():
    done = sizer("recommend", "--input-dim", "784", "--depth", "6", "--device", "nvidia-h2000")
    assert done.returncode == 1
    assert "nvidia-h200" in done.stderr


def test_an_output_wider_than_everything_still_gets_an_answer():
    done = sizer(
        "recommend", "--input-dim", "4", "--depth", "4", "--output-dim", "10000000", "--device", "butter-e-cpu"
    )
    assert done.returncode == 0
    assert "no size of this request fills a cache" in " ".join(done.stderr.split())
    assert done.stdout.startswith("Train 1x3-10000000: ")


@pytest.mark.parametrize("output", ["json", "table", "csv"])
def test_a_closed_pipe_is_no_traceback(output):
    process = subprocess.Popen(
        [*SIZER, *RECOMMEND, "--top", "500", "--format", output], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in errors
    assert b"Broken" not in errors


@pytest.mark.parametrize("closed_streams", [(1,), (0, 1, 2)])
def test_streams_that_are_closed_from_the_start_keep_nothing_from_being_done(tmp_path, closed_streams):
    """As `>&-` in a shell, or a supervisor that gives no output, leaves them."""
    page = tmp_path / "page.html"
    command = "; ".join(["import os, sys", *(f"os.close({number})" for number in closed_streams)])
    command += "; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", command, *SIZER, *RECOMMEND, "--html", str(page)], capture_output=True, check=False
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_standard_input_that_is_closed_is_an_empty_one():
    command = "import os, sys; os.close(0); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", command, *SIZER, "inspect", "--mlp", "-"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sizer: no network given")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_output_that_takes_no_more_is_one_line(options):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([*SIZER, *RECOMMEND, *options], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, b"sizer: the output: No space left on device")


def test_an_unwritable_cache_folder_only_slows(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = sizer("detect", "--json", env={**os.environ, "XDG_CACHE_HOME": str(blocked)})
    assert done.returncode == 0
    checked("machine-1", done.stdout)


def test_neither_torch_nor_pandas_is_loaded():
    script = (
        "import sys; from sizer.cli import run; code = run(sys.argv[1:]); "
        "print(code, sorted({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *RECOMMEND], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.splitlines()[-1] == "0 []"


def test_detect_does_without_numpy():
    script = "import sys; from sizer.cli import run; run(['detect']); print('numpy' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "False"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_an_example(name):
    done = sizer(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"sizer {name}" in done.stdout.split("Usage:")[1].split("\n", 1)[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell):
    done = sizer("completion", shell)
    assert "_SIZER_COMPLETE" in done.stdout
