"""`sizer run`: the script's own output, exit code and interrupts, with one report on standard error."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

TRAINING = """
import sys, os
assert "torch" not in sys.modules, "torch was imported before the script could set its environment"
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(int(sys.argv[1])):
    optimizer.zero_grad()
    model(torch.randn(64, 20)).square().mean().backward()
    optimizer.step()
print(__name__, sys.argv[1:], round(model[0].weight.sum().item(), 6))
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def script(tmp_path):
    def write(text, name="train.py"):
        (tmp_path / name).write_text(text)
        return name

    return write


def run(folder, *arguments, sizer=True, **options):
    command = [sys.executable, *(["-m", "sizer", "run"] if sizer else []), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False, **options)


def test_a_training_keeps_output_and_exit_code_and_reports_once(script, tmp_path):
    name = script(TRAINING)
    plain = run(tmp_path, name, "40", "7", sizer=False)
    done = run(tmp_path, "--measure", "--json-file", "o.json", name, "40", "7")
    assert (done.stdout, done.returncode) == (plain.stdout, 7)
    assert done.stderr.count("sizer: working sets:") == done.stderr.count("sizer: measured") == 1
    assert json.loads((tmp_path / "o.json").read_text())["widths"] == [20, 32, 1]


def test_a_script_that_first_asks_whether_torch_is_there_is_reported(script, tmp_path):
    asking = f"import importlib.util\nassert importlib.util.find_spec('torch') is not None\n{TRAINING}"
    done = run(tmp_path, script(asking), "3", "0")
    assert done.stderr.count("sizer: working sets:") == 1
    assert "no training step" not in done.stderr


DISTRIBUTED = """
import sys, time, torch
from torch import nn
torch.distributed.init_process_group("gloo")
model = nn.parallel.DistributedDataParallel(nn.Linear(20, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    model(torch.randn(8, 20)).square().mean().backward()
    optimizer.step()
rank = torch.distributed.get_rank()
sys.stdout.write(f"rank {rank} of {sys.argv[1:]}\\n")
sys.stdout.flush()
torch.distributed.barrier()  # the first that fails has the other killed
torch.distributed.destroy_process_group()
time.sleep(0.5)  # or torch aborts one training in three, with and without sizer: its threads end after the group
sys.exit(3 if "fail" in sys.argv else 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["end", "fail"])
def test_torchrun_reports_on_its_first_rank_and_keeps_exit_codes(script, tmp_path, wish):
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29512", "-m", "sizer", "run"]
    done = run(tmp_path, *launch, script(DISTRIBUTED), wish, sizer=False)
    assert sorted(done.stdout.splitlines()) == [f"rank {rank} of ['{wish}']" for rank in (0, 1)]
    assert done.stderr.count("sizer: working sets:") == 1
    assert (done.returncode == 0) == (wish == "end")
    assert ("exitcode  : 3" in done.stderr) == (wish == "fail")


def test_a_module_runs_as_python_m_does(script, tmp_path):
    script(TRAINING)
    done = run(tmp_path, "--quiet", "-m", "train", "1", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("__main__ ['1', '0']")


def test_a_script_that_never_trains_is_told_so(script, tmp_path):
    done = run(tmp_path, script("print('hello')"))
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert "no training step was seen" in done.stderr


@pytest.mark.parametrize(
    ("text", "code"),
    [("raise ValueError('boom')", 1), ("import sys; sys.exit('bye')", 1), ("print('x'", 1), ("raise SystemExit", 0)],
)
def test_exits_are_the_scripts_own(script, tmp_path, text, code):
    name = script(text)
    plain, done = run(tmp_path, name, sizer=False), run(tmp_path, "--quiet", name)
    assert done.returncode == plain.returncode == code
    assert done.stderr == plain.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_ends_by_its_signal(script, tmp_path):
    # (a shell's background job, such as a test run may be, ignores interrupts, and so do its children)
    heard = "import os, signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    name = script(f"{heard}\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)")
    assert run(tmp_path, name).returncode == run(tmp_path, name, sizer=False).returncode == -signal.SIGINT


def test_a_closed_pipe_ends_as_without_sizer(script, tmp_path):
    name = script("import sys\nfor i in range(100000): print(i)")
    codes = []
    for prefix in ([], ["-m", "sizer", "run"]):
        started = subprocess.Popen(
            [sys.executable, *prefix, name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        started.stdout.readline()
        started.stdout.close()
        codes.append(started.wait(60))
    assert codes[0] == codes[1]


@pytest.mark.parametrize("missing", [["none.py"], ["."], ["-m", "no_such_module"]])
def test_what_is_no_script_is_wrong_usage(tmp_path, missing):
    done = run(tmp_path, *missing)
    assert done.returncode == 2
    assert done.stderr.startswith("sizer: ")
    assert done.stderr.count("\n") == 1


def test_off_does_nothing(script, tmp_path, monkeypatch):
    monkeypatch.setenv("SIZER", "off")
    done = run(tmp_path, script(TRAINING), "2", "0")
    assert (done.returncode, done.stderr) == (0, "")
