"""What people type: numbers and names as they are printed and spoken, typos, help, completion."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

import sizer
from sizer.base.errors import did_you_mean
from sizer.cli import COMMANDS, LazyGroup, run
from sizer.cli import sizer as commands
from sizer.cli.commands import GROUPS
from sizer.inspection.networks import parse_mlp
from sizer.method.epochs_to_loss import Pilot
from sizer.method.request import check_training, parse_pilots

SIZER = [sys.executable, "-c", "from sizer.cli import main; main()"]


@pytest.mark.parametrize("text", ["30-64-1", "30,64,1", "30x64x1", "30 , 64, 1", "(30, 64, 1)", "30->64->1"])
def test_widths(text):
    assert parse_mlp(text).full == (30, 64, 1)


def test_a_repeated_width_keeps_its_meaning():
    assert parse_mlp("784-512x2-10").full == (784, 512, 512, 10)
    assert parse_mlp("784,512x2,10").full == (784, 512, 512, 10)


@pytest.mark.parametrize(
    ("dtype", "optimizer", "found"),
    [
        ("fp16", "AdamW", ("float16", "adamw")),
        ("bf16", "SGD", ("bfloat16", "sgd")),
        ("torch.float64", "sgd_momentum", ("float64", "sgd-momentum")),
        ("half", "torch.optim.Adam", ("float16", "adam")),
        ("FP32", "momentum", ("float32", "sgd-momentum")),
    ],
)
def test_names(dtype, optimizer, found):
    training = check_training(256, dtype, optimizer, None)
    assert (training.dtype, training.optimizer) == found
    request = sizer.recommend(
        input_dim=8, depth=2, dtype=dtype, optimizer=optimizer, device="butter-e-cpu", top=1
    ).request
    assert (request.dtype, request.optimizer) == found


def test_pilots_are_numbers_as_they_are_spoken():
    assert parse_pilots(["4k=0.3", "20,000=0.2"])[1] == Pilot(20_000, 0.2)


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("prize", ["size", "price"], "price"),
        ("batch_size", ["--batch-size"], "--batch-size"),
        ("Price", ["price", "prices"], "price"),
        ("h200", ["nvidia-a100", "nvidia-h200"], "nvidia-h200"),
        ("zzz", ["price"], None),
    ],
)
def test_the_nearest_name(name, known, nearest):
    assert did_you_mean(name, known) == (f"did you mean {nearest}? " if nearest else "")


LINES = [
    (["recomend"], "did you mean recommend?"),
    (["profiles", "shw"], "did you mean show?"),
    (["help", "profles"], "did you mean profiles?"),
    (["recommend", "--inputdim", "3"], "no such option --inputdim; did you mean --input-dim?"),
    (["recommend", "--input-dim", "8", "--depth", "4", "--device", "nvidia-h20"], "did you mean nvidia-h200"),
    (["recommend", "--input-dim", "8", "--depth", "4", "--optimizer", "adamm"], "did you mean adam?"),
    (["recommend", "--input-dim", "8", "--depth", "4", "--shape", "rectangel"], "did you mean rectangle?"),
    (["recommend", "--input-dim", "8", "--depth", "4", "--max-time", "soon"], "no time"),
    (["recommend", "--input-dim", "8", "--depth", "4", "--max-bytes", "much"], "no amount of memory"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), LINES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_typo_gets_one_line_with_the_nearest(arguments, said, capsys):
    assert run(arguments) in (1, 2)
    out, err = capsys.readouterr()
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


@pytest.mark.parametrize("name", ["", "profiles", "study"])
def test_a_bare_group_prints_its_help(name, capsys):
    assert run(name.split()) == 0
    bare = capsys.readouterr()
    assert run([*name.split(), "--help"]) == 0
    assert bare.out == capsys.readouterr().out
    assert bare.out.startswith(f"Usage: sizer {name}".strip())
    assert bare.err == ""


@pytest.mark.parametrize("names", [[], ["recommend"], ["profiles", "compare"], ["study", "fit"]])
def test_help_of_a_command(names, capsys):
    assert run(["help", *names]) == 0
    text = capsys.readouterr().out
    assert run([*names, "--help"]) == 0
    assert text == capsys.readouterr().out


@pytest.mark.parametrize("name", list(GROUPS))
def test_long_helps_are_in_groups_and_show_every_option_once(name, capsys):
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    command = commands.get_command(click.Context(commands), name)
    present = [title for title, options in GROUPS[name].items() if f"\n{title}:\n" in text]
    assert len(present) >= 3
    for param in command.params:
        if isinstance(param, click.Option):
            assert text.count(f"  {param.opts[0]} ") + text.count(f"  {param.opts[0]}\n") == 1, param.opts
    rest = text.partition("\nOther options:\n")[2]
    assert rest.split() == ["-h,", "--help", "Show", "this", "message", "and", "exit."], "an option is in no group"


@pytest.mark.parametrize("names", [("calibrate",), ("validate",), ("search",), ("study", "run")])
def test_one_name_and_unit_for_how_long_a_command_may_work(names):
    command = commands
    for name in names:
        command = command.get_command(click.Context(command), name)
    option = next(param for param in command.params if "--budget" in param.opts)
    assert option.opts[:2] == ["--budget", "--max-time"]
    assert option.type.convert("1h30m", option, None) == 5400


def completed(words: str, folder) -> list[str]:
    given = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_SIZER_COMPLETE": "bash_complete"}
    done = subprocess.run(SIZER, capture_output=True, text=True, check=True, cwd=folder, env={**os.environ, **given})
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_shells_complete_names_columns_and_profiles(tmp_path):
    (tmp_path / "a.csv").write_text("size;price;kind\n1;2;a\n", encoding="utf-8")
    assert completed("sizer search a.csv --target p", tmp_path) == ["price"]
    assert completed("sizer recommend --dtype ", tmp_path)[:2] == ["float32", "float64"]
    assert completed("sizer recommend --shape rectangle,tr", tmp_path) == ["rectangle,trapezoid"]
    assert "nvidia-h200" in completed("sizer profiles compare cpu nvidia-h", tmp_path)
    assert completed("sizer help cali", tmp_path) == ["calibrate"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_once(shell, isolated_user, capsys, monkeypatch):
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    start = isolated_user / f".{shell}rc"
    start.write_text("alias l=ls", encoding="utf-8")
    for _ in range(2):
        assert run(["completion", "--install"]) == 0
    assert "wrote" in capsys.readouterr().out
    written = [
        path for path in isolated_user.rglob("*") if path.is_file() and "_SIZER_COMPLETE" in path.read_text("utf-8")
    ]
    assert len(written) == 1
    if shell != "fish":
        lines = start.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "alias l=ls"
        assert len(lines) == 2
        assert str(written[0]) in lines[1]


def test_an_unknown_shell_is_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert run(["completion"]) == 2
    assert "name one of bash, zsh, fish" in capsys.readouterr().err


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear({features}, 10)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
"""


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before[0]:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    sys.path[:] = before[1]


def test_a_file_is_searched_for_what_builds_a_module(in_folder, capsys):
    (in_folder / "one_net.py").write_text(NET.format(features=256), encoding="utf-8")
    assert run(["inspect", "one_net.py", "--input", "8x3x8x8"]) == 0
    assert "Net" in capsys.readouterr().out
    (in_folder / "several.py").write_text(
        f"{NET.format(features=256)}\ndef build_small(width=3):\n    return Net()\n\ndef helper():\n    1 / 0\n",
        encoding="utf-8",
    )
    assert run(["inspect", "several.py", "--input", "8,3,8,8"]) == 2
    assert "several.py has build_small, Net; name one of them" in capsys.readouterr().err
    assert run(["inspect", "several.py:build_small", "--input", "8,3,8,8"]) == 0
    assert run(["inspect", "several.py:build_smal", "--input", "8,3,8,8"]) == 2
    assert "did you mean build_small?" in capsys.readouterr().err
    (in_folder / "none_here.py").write_text("x = 1\n", encoding="utf-8")
    assert run(["inspect", "none_here.py"]) == 2
    assert "name it: none_here.py:make" in capsys.readouterr().err


def test_a_module_at_hand_stands_for_its_class(in_folder, capsys):
    (in_folder / "made_net.py").write_text(f"{NET.format(features=256)}\nmodel = Net()\n", encoding="utf-8")
    assert run(["inspect", "made_net.py", "--input", "8,3,8,8"]) == 0


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            "8,3,8,8",
            "layer 'fc' (Linear) expected a last dimension of 100; the module was given (8, 3, 8, 8): it got 256",
        ),
        ("3,8,8", "the dimension of the batch is missing; give 64,3,8,8"),
        ("8,8,8,3", "the channels stand last; give 8,3,8,8"),
        ("8,1,8,8", "give 8,3,8,8, or build the layer for 1 channels"),
    ],
)
def test_a_shape_that_does_not_fit_is_named_with_the_layer_and_the_fix(shape, said, in_folder, capsys):
    (in_folder / "wrong_head.py").write_text(NET.format(features=100), encoding="utf-8")
    assert run(["inspect", "wrong_head.py", "--input", shape]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_listing_the_commands_imports_none_of_them():
    script = (
        "import sys; from sizer.cli import run; run([]); print([n for n in sys.modules if n.startswith('sizer.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['sizer.cli.commands']"
    assert issubclass(type(commands), LazyGroup)
    assert "help" in COMMANDS
